"""What training and evaluation left, as pandas tables and arrays for the report."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.params import DISPLAY_NAMES, NETWORKS, Params, Trial, Variant
from pipeline.paths import PREPARED, evaluation_folder, history_file

NAMES = [DISPLAY_NAMES[network] for network in NETWORKS]
DIGEST_SHOWN = 12  # characters


@dataclass(frozen=True)
class EvaluationSet:
    """The test images, the same for all trainings.

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


@dataclass(frozen=True)
class Results:
    """The results of the trainings of one variant, or of all.

    Attributes:
        metrics: a row for each training: network, variant, seed, parameters, epochs, best_epoch,
            seconds_per_epoch, ..., and `{best,last}_{train,val,test}_{accuracy,loss,...}`.
        history: a row for each epoch of each training, with network, variant and seed;
            `watched_loss` and `watched_accuracy` are of the split that chose the epoch.
        predictions: the log-probabilities (n, classes) of each (network, variant, seed).
        masks: of each (network, variant, seed), the (h, w, 4) DropBlock masks by layer.
        test: the test images.
        metadata: of the prepared data.
        watched: "val", or "test" in the tutorial's own protocol.
        missing: the labels of the trainings that params.yaml asks for and that have no results.
    """

    metrics: pd.DataFrame
    history: pd.DataFrame
    predictions: dict[tuple[str, str, int], np.ndarray]
    masks: dict[tuple[str, str, int], dict[str, np.ndarray]]
    test: EvaluationSet
    metadata: dict[str, Any]
    watched: str
    missing: tuple[str, ...] = ()

    def of(self, variant: Variant) -> "Results":
        """Return the results of one variant alone."""
        return Results(
            self.metrics[self.metrics["variant"] == variant],
            self.history[self.history["variant"] == variant],
            {key: value for key, value in self.predictions.items() if key[1] == variant},
            {key: value for key, value in self.masks.items() if key[1] == variant},
            self.test,
            self.metadata,
            self.watched,
            self.missing,
        )

    @property
    def names(self) -> list[str]:
        """The networks that have results, the baseline first."""
        return [name for name in NAMES if (self.metrics["network"] == name).any()]

    @property
    def variants(self) -> list[Variant]:
        """The variants that have results, in the order of params.yaml."""
        return list(self.metrics["variant"].unique())

    def seeds(self, name: str) -> list[int]:
        """The seeds of a network, in order."""
        return sorted(self.metrics.loc[self.metrics["network"] == name, "seed"].unique())

    @property
    def paired_seeds(self) -> list[int]:
        """The seeds that both networks have results of."""
        return sorted(set.intersection(*(set(self.seeds(name)) for name in NAMES)))

    def of_network(self, name: str) -> dict[int, np.ndarray]:
        """Return a network's log-probabilities by seed."""
        return {seed: p for (network, _, seed), p in self.predictions.items() if network == name}

    def hits(self, name: str, seeds: list[int]) -> np.ndarray:
        """Return which test images a network classifies correctly, (seeds, n) booleans."""
        predictions = self.of_network(name)
        return np.array([predictions[s].argmax(axis=1) == self.test.labels for s in seeds])

    @property
    def diverged(self) -> list[str]:
        """The trainings whose history or predictions hold a NaN or an infinite number."""
        losses = [c for c in self.history if c.endswith(("_loss", "_accuracy"))]
        wrong = ~np.isfinite(self.history[losses]).all(axis=1)
        keys = set(self.history.loc[wrong, ["network", "variant", "seed"]].itertuples(index=False))
        keys |= {k for k, values in self.predictions.items() if np.isnan(values).any()}
        return [f"{network} {variant} seed {seed}" for network, variant, seed in sorted(keys)]


def load_prepared_metadata() -> dict[str, Any]:
    """Read what `prepare` noted of the data.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _read_json(PREPARED / "metadata.json")


def load_metrics(params: Params, digest: str) -> pd.DataFrame:
    """Read the metrics of all trainings that params.yaml asks for, a row each.

    Raises:
        UserError: files are missing, or a training belongs to other data than `digest`.
    """
    return pd.DataFrame([_read_metrics(trial, digest) for trial in params.trials])


def load_results(params: Params) -> Results:
    """Read the files of the trainings that params.yaml asks for, those that there are.

    Raises:
        UserError: there is none, one is damaged or incomplete, or they belong to different data.
    """
    metadata = load_prepared_metadata()
    present = [t for t in params.trials if evaluation_folder(t).is_dir()]
    if not present:
        raise UserError(f"{evaluation_folder(params.trials[0]).parent} is empty; run `dvc repro`")
    metrics = pd.DataFrame([_read_metrics(trial, metadata["digest"]) for trial in present])
    watched = metrics["watched"].iloc[0]
    arrays = {trial: _read_arrays(trial, "predictions.npz") for trial in present}
    return Results(
        metrics,
        pd.concat([_read_history(trial, watched) for trial in present], ignore_index=True),
        {_key(trial): saved["log_probabilities"] for trial, saved in arrays.items()},
        {_key(trial): _read_arrays(trial, "masks.npz") for trial in present},
        _common_test_set(arrays),
        metadata,
        watched,
        tuple(trial.label for trial in params.trials if trial not in present),
    )


def _key(trial: Trial) -> tuple[str, str, int]:
    return DISPLAY_NAMES[trial.network], trial.variant, trial.seed


def _common_test_set(arrays: dict[Trial, dict[str, np.ndarray]]) -> EvaluationSet:
    """Return the test set, which must be the same for all: a comparison needs the same images."""
    names = list(EvaluationSet.__dataclass_fields__)
    first, *others = arrays
    for other in others:
        for name in names:
            if not np.array_equal(arrays[first][name], arrays[other][name]):
                raise UserError(
                    f"{evaluation_folder(other)} and {evaluation_folder(first)} are of different "
                    f"test sets ({name} differ); run `dvc repro`"
                )
    return EvaluationSet(**{name: arrays[first][name] for name in names})


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); run `dvc repro`") from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(_read(file))
    except ValueError as error:
        raise UserError(f"{file} cannot be read ({error}); run `dvc repro`") from None


def _read_metrics(trial: Trial, digest: str) -> dict[str, Any]:
    file = evaluation_folder(trial) / "metrics.json"
    metrics = _read_json(file)
    if metrics["digest"] != digest:
        raise UserError(
            f"{file} belongs to other data than {PREPARED} (digest "
            f"{metrics['digest'][:DIGEST_SHOWN]}, not {digest[:DIGEST_SHOWN]}); run `dvc repro`"
        )
    scores = metrics.pop("scores")
    flat = {
        f"{weights}_{split}_{name}": value
        for weights, splits in scores.items()
        for split, values in splits.items()
        for name, value in values.items()
    }
    return {**metrics, **flat, "network": DISPLAY_NAMES[trial.network]}


def _read_arrays(trial: Trial, name: str) -> dict[str, np.ndarray]:
    file = evaluation_folder(trial) / name
    try:
        with np.load(file) as saved:
            return dict(saved)
    except (OSError, ValueError, BadZipFile) as error:
        raise UserError(f"{file} cannot be read ({error}); run `dvc repro`") from None


def _read_history(trial: Trial, watched: str) -> pd.DataFrame:
    file = history_file(trial)
    try:
        history = pd.read_csv(file, float_precision="round_trip")
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}); run `dvc repro`") from None
    labelled = label_history(history, DISPLAY_NAMES[trial.network], trial.seed, watched)
    return labelled.assign(variant=trial.variant)


def label_history(history: pd.DataFrame, name: str, seed: int, watched: str) -> pd.DataFrame:
    """Add network, seed and seconds since the start; name the watched split's columns so."""
    names = {f"{watched}_{what}": f"watched_{what}" for what in ("loss", "accuracy")}
    return history.rename(columns=names).assign(
        network=name, seed=seed, elapsed=history["seconds"].cumsum()
    )


def superclass_pairs(
    scores: np.ndarray, labels: np.ndarray, metadata: dict[str, Any]
) -> pd.DataFrame:
    """Return actual and predicted superclass names of (n, classes) logits or probabilities."""
    names, superclass_of = np.array(metadata["superclass_names"]), metadata["superclass_of"]
    of_class = names[superclass_of]
    return pd.DataFrame({"actual": of_class[labels], "predicted": of_class[scores.argmax(axis=1)]})
