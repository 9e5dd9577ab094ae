"""What training and evaluation left, as pandas tables for the report."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.params import DISPLAY_NAMES, NETWORKS, Network, Params
from pipeline.paths import PREPARED, evaluation_folder, history_file

NAMES = [DISPLAY_NAMES[network] for network in NETWORKS]


@dataclass(frozen=True)
class Results:
    """The results of all trainings.

    Attributes:
        metrics: a row for each training: network, seed, parameters, epochs, best_epoch,
            seconds_per_epoch, ..., and `{best,last}_{train,val,test}_{accuracy,loss,...}`.
        history: a row for each epoch of each training, with network and seed; `watched_loss` and
            `watched_accuracy` are of the split that chose the epoch.
        predictions: the probabilities (n, classes) of each (network, seed) on the test set.
        labels, superclasses: (n,) of the test images.
        metadata: of the prepared data.
        watched: "val", or "test" in the tutorial's own protocol.
    """

    metrics: pd.DataFrame
    history: pd.DataFrame
    predictions: dict[tuple[str, int], np.ndarray]
    labels: np.ndarray
    superclasses: np.ndarray
    metadata: dict[str, Any]
    watched: str

    @property
    def seeds(self) -> list[int]:
        """The seeds in order."""
        return sorted(self.metrics["seed"].unique())

    def correct(self, network: str) -> np.ndarray:
        """Return for each test image the share of seeds that classify it correctly, (n,)."""
        hits = [
            probabilities.argmax(axis=1) == self.labels
            for (name, _), probabilities in self.predictions.items()
            if name == network
        ]
        return np.mean(hits, axis=0)


def load_prepared_metadata() -> dict[str, Any]:
    """Read what `prepare` noted of the data.

    Raises:
        UserError: the file is missing.
    """
    return json.loads(_read(PREPARED / "metadata.json"))


def load_metrics(params: Params, digest: str) -> pd.DataFrame:
    """Read the metrics of all trainings that params.yaml asks for, a row each.

    Raises:
        UserError: files are missing, or a training belongs to other data than `digest`.
    """
    rows = [
        _read_metrics(network, seed, digest) for network in NETWORKS for seed in params.train.seeds
    ]
    return pd.DataFrame(rows)


def load_results(params: Params) -> Results:
    """Read the files of all trainings that params.yaml asks for.

    Raises:
        UserError: files are missing, or the trainings belong to different data.
    """
    metadata = load_prepared_metadata()
    metrics = load_metrics(params, metadata["digest"])
    watched = metrics["watched"].iloc[0]
    history, predictions = [], {}
    labels = superclasses = np.empty(0)
    for network in NETWORKS:
        for seed in params.train.seeds:
            name = DISPLAY_NAMES[network]
            history.append(_read_history(network, seed, watched))
            saved = _read_predictions(network, seed)
            predictions[name, seed] = saved["probabilities"]
            labels, superclasses = saved["labels"], saved["superclasses"]
    return Results(
        metrics,
        pd.concat(history, ignore_index=True),
        predictions,
        labels,
        superclasses,
        metadata,
        watched,
    )


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); run `dvc repro`") from None


def _read_metrics(network: Network, seed: int, digest: str) -> dict[str, Any]:
    file = evaluation_folder(network, seed) / "metrics.json"
    metrics = json.loads(_read(file))
    if metrics["digest"] != digest:
        raise UserError(
            f"{file} belongs to other data than {PREPARED} (digest {metrics['digest'][:12]}, not "
            f"{digest[:12]}); run `dvc repro`"
        )
    scores = metrics.pop("scores")
    flat = {
        f"{weights}_{split}_{name}": value
        for weights, splits in scores.items()
        for split, values in splits.items()
        for name, value in values.items()
    }
    return {**metrics, **flat, "network": DISPLAY_NAMES[network]}


def _read_predictions(network: Network, seed: int) -> dict[str, np.ndarray]:
    file = evaluation_folder(network, seed) / "predictions.npz"
    try:
        with np.load(file) as saved:
            return dict(saved)
    except (OSError, ValueError, BadZipFile) as error:
        raise UserError(f"{file} cannot be read ({error}); run `dvc repro`") from None


def _read_history(network: Network, seed: int, watched: str) -> pd.DataFrame:
    file = history_file(network, seed)
    if not file.exists():
        raise UserError(f"{file} not found; run `dvc repro`")
    return label_history(
        pd.read_csv(file, float_precision="round_trip"), DISPLAY_NAMES[network], seed, watched
    )


def label_history(history: pd.DataFrame, name: str, seed: int, watched: str) -> pd.DataFrame:
    """Add network and seed to a training's history, and name the watched split's columns."""
    names = {f"{watched}_{what}": f"watched_{what}" for what in ("loss", "accuracy")}
    return history.rename(columns=names).assign(network=name, seed=seed)


def class_accuracy(results: Results) -> pd.DataFrame:
    """Return a row for each class: name, accuracy of both networks, difference in points."""
    table = pd.DataFrame({name: results.correct(name) for name in NAMES})
    table = table.groupby(results.labels).mean()
    table.insert(0, "class", np.array(results.metadata["class_names"])[table.index])
    baseline, resnet = NAMES
    table["difference"] = 100 * (table[resnet] - table[baseline])
    return table.sort_values("difference", ignore_index=True)


def confusions(results: Results, network: str, most: int) -> pd.DataFrame:
    """Return the `most` frequent (actual, predicted) errors as percent of the actual class."""
    names = np.array(results.metadata["class_names"])
    tables = [
        pd.crosstab(results.labels, probabilities.argmax(axis=1), normalize="index")
        .rename_axis(index="actual", columns="predicted")
        .stack()
        for (name, _), probabilities in results.predictions.items()
        if name == network
    ]
    share = 100 * pd.concat(tables, axis=1).fillna(0).mean(axis=1)
    errors = share[share.index.get_level_values(0) != share.index.get_level_values(1)]
    top = errors[errors > 0].sort_values(ascending=False).head(most).rename("percent").reset_index()
    return top.assign(actual=names[top["actual"]], predicted=names[top["predicted"]])


def coarse_predictions(results: Results, network: str) -> pd.DataFrame:
    """Return actual and predicted superclass names of all test images, over all seeds."""
    tables = [
        superclass_pairs(probabilities, results.labels, results.superclasses, results.metadata)
        for (name, _), probabilities in results.predictions.items()
        if name == network
    ]
    return pd.concat(tables, ignore_index=True)


def superclass_pairs(
    scores: np.ndarray, labels: np.ndarray, superclasses: np.ndarray, metadata: dict[str, Any]
) -> pd.DataFrame:
    """Return actual and predicted superclass names of (n, classes) logits or probabilities."""
    names = np.array(metadata["superclass_names"])
    superclass_of = np.zeros(len(metadata["class_names"]), int)
    superclass_of[labels] = superclasses
    predicted = superclass_of[scores.argmax(axis=1)]
    return pd.DataFrame({"actual": names[superclasses], "predicted": names[predicted]})
