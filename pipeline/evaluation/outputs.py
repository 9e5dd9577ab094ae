"""What `evaluate` leaves of one training, written and read here: metrics, predictions, masks."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.files import PREPARED, read_json, unreadable, write_json
from pipeline.core.records import Split
from pipeline.core.trials import DIGEST_SHOWN, Trial

METRICS, PREDICTIONS, MASKS = "metrics.json", "predictions.npz", "masks.npz"
LOGGED_MODEL = "logged_model.json"
Scores = dict[str, float]  # what they are: evaluation/scores, which takes a second to import


@dataclass(frozen=True)
class EvaluationSet:
    """The images that were scored, test or validation, the same for all trainings.

    Attributes:
        labels, superclasses: (n,) of the images.
        groups: (n,) numbers of the groups of duplicates.
        of_training: (n,) whether the image repeats one of training or validation.
    """

    labels: np.ndarray
    superclasses: np.ndarray
    groups: np.ndarray
    of_training: np.ndarray

    @property
    def unique(self) -> np.ndarray:
        """Which images, (n,), are left without duplicates: the first of each new group."""
        return ~(self.of_training | pd.Series(self.groups).duplicated().to_numpy())


def save_metrics(
    trial: Trial, metrics: dict[str, Any], scores: dict[str, dict[Split, Scores]]
) -> None:
    """Write what the report says of a training, with the scores by weights and split."""
    write_json(trial.evaluation_folder / METRICS, {**metrics, "scores": scores})


def load_metrics(trial: Trial, digest: str) -> dict[str, Any]:
    """Read what save_metrics wrote, the scores as `{best,last}_{train,val,test}_{accuracy,...}`.

    Raises:
        UserError: the file is missing or damaged, or of other data than `digest`.
    """
    file = trial.evaluation_folder / METRICS
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


def metrics_table(trials: list[Trial], digest: str) -> pd.DataFrame:
    """Read the metrics of trainings, a row each, the network by its name for people.

    Errors as in load_metrics.
    """
    return pd.DataFrame(
        [
            {
                **load_metrics(trial, digest),
                "network": trial.display_name,
                "section": trial.network,
            }
            for trial in trials
        ]
    )


def save_predictions(trial: Trial, log_probabilities: np.ndarray, test: EvaluationSet) -> None:
    """Write the scored images' log-probabilities, (n, classes) float32, and what describes them."""
    arrays = {field.name: getattr(test, field.name) for field in fields(test)}
    file = trial.evaluation_folder / PREDICTIONS
    np.savez_compressed(file, log_probabilities=log_probabilities, **arrays)


def load_predictions(trial: Trial) -> tuple[np.ndarray, EvaluationSet]:
    """Read what save_predictions wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    file = trial.evaluation_folder / PREDICTIONS
    arrays = _load_arrays(file)
    try:
        log_probabilities = arrays.pop("log_probabilities")
        return log_probabilities, EvaluationSet(**arrays)
    except (KeyError, TypeError) as error:
        raise unreadable(file, error) from None


def save_masks(trial: Trial, masks: dict[str, np.ndarray]) -> None:
    """Write the (h, w, channels) DropBlock mask of each layer."""
    np.savez_compressed(trial.evaluation_folder / MASKS, **masks)  # type: ignore[arg-type]


def load_masks(trial: Trial) -> dict[str, np.ndarray]:
    """Read what save_masks wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _load_arrays(trial.evaluation_folder / MASKS)


def _load_arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file) as saved:
            return dict(saved)
    except (OSError, ValueError, BadZipFile) as error:
        raise unreadable(file, error) from None


def save_logged_model(trial: Trial, run_id: str, model_uri: str) -> None:
    """Write the MLflow run that has the scores, and the model that was logged to it."""
    tracked = {"run_id": run_id, "model_uri": model_uri}
    write_json(trial.evaluation_folder / LOGGED_MODEL, tracked)


def load_logged_model(trial: Trial) -> dict[str, str]:
    """Read run_id and model_uri.

    Raises:
        UserError: the file is missing or damaged.
    """
    return read_json(trial.evaluation_folder / LOGGED_MODEL, "run_id", "model_uri")
