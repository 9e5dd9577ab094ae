"""Load the outputs of training and evaluation as tables and arrays for the report."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError, and_more
from pipeline.core.files import PREPARED
from pipeline.core.recipe import Variant
from pipeline.core.records import Split, load_metadata
from pipeline.evaluation.outputs import EvaluationSet, load_masks, load_predictions, metrics_table
from pipeline.networks import display_name
from pipeline.settings.params import Params
from pipeline.settings.trainings import Training, label_history, load_history

EQUAL = 1.02  # ratio of compute up to which two trainings count as equally expensive
Key = tuple[str, Variant, int]  # a network's display name, variant, seed


@dataclass(frozen=True)
class Results:
    """The results of the trainings of one variant, or of all.

    Attributes:
        networks: display names of all networks in params.yaml; each is compared with
            the first.
        variants: the variants in params.yaml.
        metrics: a row per training: network, variant, seed, parameters, epochs, best_epoch,
            seconds_per_epoch, ..., `{best,last}_{train,val,test}_{accuracy,loss,...}`, and by how
            much accuracy and loss are better on training images than on the scored ones,
            `accuracy_gap` and `loss_gap`.
        history: a row per epoch of each training, with network, variant and seed;
            `watched_loss` and `watched_accuracy` are of the split scored after each epoch.
        predictions: the log-probabilities (n, classes) of each (network, variant, seed).
        masks: the (h, w, 4) DropBlock masks by layer, of each (network, variant, seed).
        images: the scored images.
        metadata: of the prepared data.
        watched: the split scored after each epoch: "val", "test" (the tutorial's own protocol), or
            None.
        scored: "test", or "val" if evaluate.test is false.
    """

    networks: tuple[str, ...]
    variants: tuple[Variant, ...]
    metrics: pd.DataFrame
    history: pd.DataFrame
    predictions: dict[Key, np.ndarray]
    masks: dict[Key, dict[str, np.ndarray]]
    images: EvaluationSet
    metadata: dict[str, Any]
    watched: str | None
    scored: Split

    def of(self, variant: Variant) -> "Results":
        """Return the results of one variant alone."""
        return replace(
            self,
            metrics=self.metrics[self.metrics["variant"] == variant],
            history=self.history[self.history["variant"] == variant],
            predictions={
                key: value for key, value in self.predictions.items() if key[1] == variant
            },
            masks={key: value for key, value in self.masks.items() if key[1] == variant},
        )

    @property
    def sections(self) -> dict[str, str]:
        """The section of params.yaml of each network, by display name."""
        return self.metrics.groupby("network", sort=False)["section"].first().to_dict()

    @property
    def reference(self) -> str:
        """The network that all others are compared with."""
        return self.networks[0]

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order; all networks have the same."""
        return sorted(self.metrics["seed"].unique())

    def of_network(self, name: str) -> pd.DataFrame:
        """Return a network's rows of the metrics."""
        return self.metrics[self.metrics["network"] == name]

    @property
    def means(self) -> pd.DataFrame:
        """The mean of each number of the metrics over the seeds, by network."""
        return self.metrics.groupby("network").mean(numeric_only=True)

    @property
    def uncounted(self) -> list[str]:
        """The layers whose operations are missing from the compute."""
        found = self.metrics.get("uncounted", pd.Series(dtype=object)).explode().dropna()
        return sorted(set(found))

    @property
    def unsettled(self) -> list[str]:
        """The networks with batch norms that had too few steps for their moving averages."""
        found = self.metrics.get("unsettled", pd.Series(dtype=object)).explode().dropna()
        return list(dict.fromkeys(self.metrics.loc[found.index, "network"]))

    def predictions_of(self, name: str) -> dict[int, np.ndarray]:
        """Return a network's log-probabilities by seed."""
        return {seed: p for (network, _, seed), p in self.predictions.items() if network == name}

    @cached_property
    def probabilities(self) -> dict[str, np.ndarray]:
        """The probabilities (n, classes) of each network, as means over its seeds."""
        return {
            name: np.mean([np.exp(values) for values in self.predictions_of(name).values()], axis=0)
            for name in self.networks
        }

    def hits(self, name: str) -> np.ndarray:
        """Return which scored images a network classifies correctly, (seeds, n) booleans."""
        predictions = self.predictions_of(name)
        return np.array([predictions[s].argmax(axis=1) == self.images.labels for s in self.seeds])


def load_results(params: Params) -> Results:
    """Read the results of the trainings in params.yaml.

    Raises:
        UserError: some are missing, damaged or not numbers, or they belong to different data.
    """
    metadata = load_metadata(PREPARED, "content", "largest_class")
    trainings = params.trainings
    if missing := [t.title for t in trainings if not t.evaluation_folder.is_dir()]:
        raise UserError(f"no results for {and_more(missing)}; run `dvc repro`")
    metrics = metrics_table(trainings, metadata["digest"])
    watched = _same(metrics, "watched", "train.watch")
    scored = _same(metrics, "scored", "evaluate.test")
    _same(metrics, "precision", "train.precision")
    metrics["accuracy_gap"] = metrics["best_train_accuracy"] - metrics[f"best_{scored}_accuracy"]
    metrics["loss_gap"] = metrics[f"best_{scored}_loss"] - metrics["best_train_loss"]
    predictions = {training: load_predictions(training) for training in trainings}
    if wrong := [t.title for t, (values, _) in predictions.items() if np.isnan(values).any()]:
        raise UserError(
            f"predictions of {and_more(wrong)} are not numbers, because the training diverged; try "
            "a lower learning_rate, for all seeds"
        )
    histories = [label_history(load_history(t, watched), t, watched) for t in trainings]
    return Results(
        tuple(display_name(network) for network in params.train.networks),
        tuple(params.train.variants),
        metrics,
        pd.concat(histories, ignore_index=True),
        {
            _key(training): log_probabilities
            for training, (log_probabilities, _) in predictions.items()
        },
        {_key(training): load_masks(training) for training in trainings},
        _common_images({training: images for training, (_, images) in predictions.items()}),
        metadata,
        watched,
        scored,
    )


def _same(metrics: pd.DataFrame, column: str, key: str) -> Any:
    """Return a value that must be the same for all trainings.

    Raises:
        UserError: they differ, so that they cannot be compared.
    """
    values = metrics[column].drop_duplicates().to_list()
    if len(values) > 1:
        found = "; ".join(f"{row['name']}: {row[column]}" for _, row in metrics.iterrows())
        raise UserError(
            f"the trainings differ in {key}, so they cannot be compared ({found}); set "
            f"{key} and run `dvc repro`"
        )
    return values[0]


def _key(training: Training) -> Key:
    return training.display_name, training.variant, training.seed


def _common_images(sets: dict[Training, EvaluationSet]) -> EvaluationSet:
    """Return the scored images, which must be the same for all trainings to be comparable."""
    first, *others = sets
    for other in others:
        for name, expected in vars(sets[first]).items():
            if not np.array_equal(expected, getattr(sets[other], name)):
                raise UserError(
                    f"{other.evaluation_folder} and {first.evaluation_folder} were "
                    f"scored on different images ({name} differ); run `dvc repro`"
                )
    return sets[first]
