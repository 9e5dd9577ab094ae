"""One training of the comparison: its name, its files, and the records of its epochs.

`train` writes history and facts; `evaluate`, `report` and `publish` read them. All use the
functions here.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.core.errors import UserError
from pipeline.core.files import OUTPUTS, PREPARED, read_json, unreadable, write_json
from pipeline.core.recipe import VARIANTS, Variant
from pipeline.networks import display_name, network_names

if TYPE_CHECKING:
    import pandas as pd

TRAINING_HELP = "network-variant-seed, like resnet-dropblock-0"
DIGEST_SHOWN = 12  # characters
SCHEDULES = ("learning_rate", "keep_prob")
HistoryRow = dict[str, float]
Facts = dict[str, Any]


class Training(NamedTuple):
    """One training: a network, a variant of DropBlock and a seed."""

    network: str
    variant: Variant
    seed: int

    @property
    def label(self) -> str:
        """Its name in files and stages, like `model-dropblock-0`."""
        return f"{self.network}-{self.variant}-{self.seed}"

    @property
    def title(self) -> str:
        """Its name for people, like `resnet-dropblock-0`, which `parse` reads too."""
        return f"{self.display_name}-{self.variant}-{self.seed}"

    @property
    def display_name(self) -> str:
        """The network's name for people, like `resnet`."""
        return display_name(self.network)

    @classmethod
    def parse(cls, label: str) -> "Training | None":
        """Parse a label with the network's section or display name; None if it is not a label."""
        sections = network_names()
        networks = {display_name(name): name for name in sections} | {n: n for n in sections}
        names = "|".join(map(re.escape, networks))
        found = re.fullmatch(rf"({names})-({'|'.join(VARIANTS)})-(\d+)", label)
        if not found:
            return None
        return cls(networks[found[1]], found[2], int(found[3]))  # type: ignore[arg-type]

    @property
    def train_stage(self) -> str:
        """The name of its training in dvc.yaml."""
        return f"train@{self.label}"

    @property
    def evaluate_stage(self) -> str:
        """The name of its evaluation in dvc.yaml."""
        return f"evaluate@{self.label}"

    @property
    def models_folder(self) -> Path:
        """Folder of the best and the last weights."""
        return OUTPUTS / "models" / self.label

    @property
    def history_file(self) -> Path:
        """File with a row per epoch."""
        return OUTPUTS / "history" / f"{self.label}.csv"

    @property
    def facts_file(self) -> Path:
        """File that records what was trained, on what."""
        return OUTPUTS / "facts" / f"{self.label}.json"

    @property
    def evaluation_folder(self) -> Path:
        """Folder of the scores and predictions."""
        return OUTPUTS / "evaluation" / self.label


def save_history(training: Training, rows: list[HistoryRow]) -> None:
    """Write a row per epoch."""
    import pandas as pd

    training.history_file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).astype({"epoch": int}).to_csv(training.history_file, index=False)


def load_history(training: Training, watched: str | None) -> "pd.DataFrame":
    """Read a row per epoch.

    Its columns: epoch (from 1), seconds, pflop (since the start), image_size (pixels),
    learning_rate, keep_prob, and loss and accuracy of each split that was scored.

    Args:
        watched: the split that was scored after each epoch, whose columns must be present; None:
            no split was, and only training scores are present.

    Raises:
        UserError: the file is missing or damaged.
    """
    import pandas as pd

    try:
        history = pd.read_csv(training.history_file, float_precision="round_trip")
    except (OSError, ValueError) as error:
        raise unreadable(training.history_file, error) from None
    splits = ("train", "clean_train", watched) if watched else ("train",)
    scores = [f"{split}_{what}" for split in splits for what in ("loss", "accuracy")]
    for column in ("epoch", "seconds", "pflop", "image_size", *SCHEDULES, *scores):
        if column not in history or history[column].dtype.kind not in "if":
            raise unreadable(training.history_file, f"it has no numeric column {column}")
    return history


def label_history(
    history: "pd.DataFrame", training: Training, watched: str | None
) -> "pd.DataFrame":
    """Add network (display name), variant, seed, and elapsed (seconds since the start).

    The columns of the watched split, if any, are called watched_loss and watched_accuracy.
    """
    names = {f"{watched}_{what}": f"watched_{what}" for what in ("loss", "accuracy")}
    return history.rename(columns=names).assign(
        network=training.display_name,
        variant=training.variant,
        seed=training.seed,
        elapsed=history["seconds"].cumsum(),
    )


def save_facts(training: Training, facts: Facts) -> None:
    """Write what was trained, on what."""
    write_json(training.facts_file, facts)


def load_facts(training: Training, digest: str) -> Facts:
    """Read the facts that `train` wrote.

    Raises:
        UserError: the file is missing or damaged, or the training used data of another digest.
    """
    facts = read_json(training.facts_file, "digest", "training", "watched", "name")
    if facts["digest"] != digest:
        raise UserError(
            f"{training.facts_file}: the network was trained on data "
            f"{facts['digest'][:DIGEST_SHOWN]}, but {PREPARED} holds {digest[:DIGEST_SHOWN]}; run "
            "`dvc repro` to train again"
        )
    return facts
