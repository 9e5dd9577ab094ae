"""Which epoch of a training is its last, and which one is kept."""

import itertools
from collections.abc import Sequence

from pipeline.core.records import Split
from pipeline.core.sections import Recipe
from pipeline.settings.trainings import HistoryRow


def has_ended(rows: list[HistoryRow], recipe: Recipe, watched: Split | None) -> bool:
    """Whether training is over, by the number of epochs or by the stopping rule."""
    losses = [row[f"{watched}_loss"] for row in rows] if watched else []
    return len(rows) >= recipe.epochs or should_stop(losses, recipe.stop_after_rising)


def should_stop(losses: Sequence[float], rising: int | None) -> bool:
    """Whether each of the last `rising` losses was strictly greater than the one before it."""
    if rising is None:
        return False
    last = losses[-rising - 1 :]
    return len(last) > rising and all(a < b for a, b in itertools.pairwise(last))


def best_row(rows: list[HistoryRow], watched: Split | None) -> HistoryRow:
    """Return the epoch to keep.

    It has the highest validation accuracy at the full image size; at a tie, the lowest validation
    loss, then the earliest. If validation is not watched it is always the last epoch: choosing by
    the test set would make the result too optimistic.
    """
    if watched != "val":
        return rows[-1]
    return max(rows, key=lambda r: (r["image_size"], r["val_accuracy"], -r["val_loss"]))


def is_best(rows: list[HistoryRow], watched: Split | None) -> bool:
    """Whether the last epoch is the one to keep."""
    return best_row(rows, watched) is rows[-1]
