"""Write and read what `evaluate` records of one training: metrics, predictions, masks."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.files import DAMAGED, PREPARED, read_json, unreadable, write_json
from pipeline.core.records import Split
from pipeline.settings.trainings import DIGEST_SHOWN, Training

METRICS, PREDICTIONS, MASKS = "metrics.json", "predictions.npz", "masks.npz"
Scores = dict[str, float]  # evaluation/scores.py says what they are; its import takes a second


@dataclass(frozen=True)
class EvaluationSet:
    """The scored images (test or validation), the same for all trainings.

    Attributes:
        labels: (n,) per image.
        groups: (n,) the number of each image's group of duplicates.
        of_training: (n,) whether the image repeats a training or validation image.
    """

    labels: np.ndarray
    groups: np.ndarray
    of_training: np.ndarray

    @property
    def unique(self) -> np.ndarray:
        """Which images, (n,), remain without duplicates: the first of each group not trained on."""
        return ~(self.of_training | pd.Series(self.groups).duplicated().to_numpy())


def save_metrics(
    training: Training, metrics: dict[str, Any], scores: dict[str, dict[Split, Scores]]
) -> None:
    """Write what the report says about a training, with the scores by weights and split."""
    write_json(training.evaluation_folder / METRICS, {**metrics, "scores": scores})


def load_metrics(training: Training, digest: str) -> dict[str, Any]:
    """Read what save_metrics wrote, the scores as `{best,last}_{train,val,test}_{accuracy,...}`.

    Raises:
        UserError: the file is missing or damaged, or of other data than `digest`.
    """
    file = training.evaluation_folder / METRICS
    metrics = read_json(file, "digest", "scores")
    if metrics["digest"] != digest:
        raise UserError(
            f"{file} belongs to other data than {PREPARED} (digest "
            f"{metrics['digest'][:DIGEST_SHOWN]}, not {digest[:DIGEST_SHOWN]}); run `dvc repro`"
        )
    flat = {
        f"{weights}_{split}_{name}": value
        for weights, splits in metrics.pop("scores").items()
        for split, values in splits.items()
        for name, value in values.items()
    }
    return {**metrics, **flat}


def scores_table(training: Training) -> pd.DataFrame:
    """Return all scores of a training: a row per combination of weights and split."""
    scores = read_json(training.evaluation_folder / METRICS, "scores")["scores"]
    return pd.DataFrame(
        [
            {"weights": weights, "images": split, **values}
            for weights, splits in scores.items()
            for split, values in splits.items()
        ]
    )


def metrics_table(trainings: list[Training], digest: str) -> pd.DataFrame:
    """Read the metrics of trainings, one row each, with the network's display name.

    Raises the errors of load_metrics.
    """
    return pd.DataFrame(
        [
            {
                **load_metrics(training, digest),
                "network": training.display_name,
                "section": training.network,
            }
            for training in trainings
        ]
    )


def save_predictions(
    training: Training, log_probabilities: np.ndarray, test: EvaluationSet
) -> None:
    """Write the scored images' (n, classes) float32 log-probabilities, labels and groups."""
    arrays = {field.name: getattr(test, field.name) for field in fields(test)}
    file = training.evaluation_folder / PREDICTIONS
    np.savez_compressed(file, log_probabilities=log_probabilities, **arrays)


def load_predictions(training: Training) -> tuple[np.ndarray, EvaluationSet]:
    """Read what save_predictions wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    file = training.evaluation_folder / PREDICTIONS
    arrays = _load_arrays(file)
    try:
        log_probabilities = arrays.pop("log_probabilities")
        return log_probabilities, EvaluationSet(**arrays)
    except (KeyError, TypeError) as error:
        raise unreadable(file, error) from None


def save_masks(training: Training, masks: dict[str, np.ndarray]) -> None:
    """Write the (h, w, channels) DropBlock mask of each layer."""
    np.savez_compressed(training.evaluation_folder / MASKS, **masks)  # type: ignore[arg-type]


def load_masks(training: Training) -> dict[str, np.ndarray]:
    """Read what save_masks wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _load_arrays(training.evaluation_folder / MASKS)


def _load_arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file) as saved:
            return dict(saved)
    except DAMAGED as error:
        raise unreadable(file, error) from None
