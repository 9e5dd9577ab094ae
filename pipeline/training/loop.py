"""The training loop: what is set before each epoch and recorded after it, and when it ends."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.core.errors import UserError
from pipeline.core.records import Images, Prepared, Split
from pipeline.core.sections import AugmentParams, Recipe
from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.networks.shared.models import at_size, training_pflop
from pipeline.settings.trainings import HistoryRow
from pipeline.training import schedules
from pipeline.training.batches import (
    batch_loader,
    clean_sample,
    make_eval_dataset,
    make_train_dataset,
    on_device,
    plan_batches,
)
from pipeline.training.compiling import create_variables
from pipeline.training.interrupts import traced_undisturbed
from pipeline.training.machine import has_gpu, peak_memory
from pipeline.training.optimizers import RateTable

AT_ONCE = 50  # most steps that a GPU runs before the host looks at the loss
ON_GPU = 4 << 30  # most bytes of training images that a GPU keeps
SCORED_AT_ONCE = 500  # images per batch; without gradients they need less memory than in training
EpochHook = Callable[[keras.Model, list[HistoryRow]], None]

# The networks can take smaller images if their last maps keep their size; Keras would refuse them.
ANY_SIZE = keras.InputSpec(shape=(None, None, None, 3))


class DropoutSetter(keras.callbacks.Callback):
    """Sets the keep probability of DropBlock and the seeds of all random layers before each epoch.

    Keras does not save the state of seeds.
    """

    def __init__(self, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self._recipe, self._seed = recipe, seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set keep probability and seeds."""
        for number, layer in enumerate(self.model.layers):
            inside = layer._flatten_layers(include_self=False)
            for place, part in enumerate([layer, *sorted(inside, key=lambda part: part.name)]):
                if isinstance(part, DropBlock2D):
                    part.keep_prob.assign(self._recipe.keep_prob(epoch))
                where = (number, place) if place else (number,)
                for value in vars(part).values():
                    if isinstance(value, keras.random.SeedGenerator):
                        sequence = np.random.SeedSequence((self._seed, epoch, *where))
                        value.state.assign(sequence.generate_state(2))


class AverageWeights(keras.callbacks.SwapEMAWeights):
    """Puts the averaged weights into the model for scores and checkpoints.

    Meanwhile the variables of the average hold the weights that training continues with, also in a
    checkpoint.
    """

    def __init__(self, resumed: bool) -> None:
        super().__init__(swap_on_epoch=True)
        self._ema_weights_in_model = resumed

    def _finalize_ema_values(self) -> None:
        """Keep the weights at the end of `fit`: training goes on at another image size."""


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar without `loss`, which is cross_entropy plus the effect of smoothing."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the steps done and the scores so far."""
        super().on_train_batch_end(batch, _without_loss(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the scores of the epoch."""
        super().on_epoch_end(epoch, _without_loss(logs))


def _without_loss(logs: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (logs or {}).items() if key not in ("loss", "val_loss")}


class DivergedError(UserError):
    """The loss is no longer a finite number."""


class EpochRecorder(keras.callbacks.Callback):
    """After each epoch, records a row of history, calls the hook and applies the stopping rule.

    `seconds` covers training and scoring the watched split, but not scoring the clean sample.
    `pflop` is the compute since the start. Scores are for images of the epoch's training size.
    """

    def __init__(
        self,
        recipe: Recipe,
        watched: Split | None,
        images: int,
        clean: tf.data.Dataset | None,
        rows: list[HistoryRow],
        after_epoch: EpochHook,
    ) -> None:
        super().__init__()
        self._recipe, self._watched, self._images = recipe, watched, images
        self._clean = clean
        self._rows, self._after_epoch = rows, after_epoch

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Count the compute of an epoch at this image size."""
        size = self._image_size(len(self._rows))
        self._pflop = training_pflop(self.model, self._images, size)

    def _image_size(self, epoch: int) -> int:
        return schedules.image_size(self._recipe, epoch, self.model.input_shape[1])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._epoch, self._start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop if the loss is not finite; checked after each execution, of one step or many."""
        loss = (logs or {})["loss"]
        if not math.isfinite(loss):
            raise DivergedError(
                f"the training loss is {loss} in epoch {self._epoch + 1}, by step {batch + 1}; "
                "try a lower learning_rate in params.yaml"
            )
        if batch + 1 == self.params["steps"]:
            self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch and decide whether it was the last."""
        logs, seconds = logs or {}, time.perf_counter() - self._start
        row = {"epoch": epoch + 1, **_scores("train", logs)}
        if self._clean is not None:
            clean = self.model.evaluate(self._clean, verbose=0, return_dict=True)
            row |= _scores("clean_train", clean) | _scores(self._watched, logs, "val_")
        self._rows.append(
            {
                **row,
                "learning_rate": schedules.learning_rate(self._recipe, epoch),
                "keep_prob": self._recipe.keep_prob(epoch),
                "image_size": self._image_size(epoch),
                "pflop": self._pflop + (self._rows[-1]["pflop"] if self._rows else 0.0),
                "images_per_second": self._images / (self._trained - self._start),
                "seconds": seconds,
                "peak_memory_mb": peak_memory() / 1e6,
            }
        )
        self._after_epoch(self.model, self._rows)
        if has_ended(self._rows, self._recipe, self._watched):
            self.model.stop_training = True
            if epoch + 1 < self._recipe.epochs:
                rising = self._recipe.stop_after_rising
                print(f"stop: the loss rose {rising} epochs in a row", flush=True)


def _scores(name: str | None, logs: dict[str, float], prefix: str = "") -> HistoryRow:
    """Return loss (without smoothing) and accuracy from Keras' logs, under a split's name."""
    loss, accuracy = logs[f"{prefix}cross_entropy"], logs[f"{prefix}accuracy"]
    return {f"{name}_loss": loss, f"{name}_accuracy": accuracy}


def has_ended(rows: list[HistoryRow], recipe: Recipe, watched: Split | None) -> bool:
    """Whether training is over, by the number of epochs or by the stopping rule."""
    losses = [row[f"{watched}_loss"] for row in rows] if watched else []
    return len(rows) >= recipe.epochs or schedules.should_stop(losses, recipe.stop_after_rising)


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


def check_image_size(network: str, recipe: Recipe, model: keras.Model) -> None:
    """Raise a UserError if the small images do not fit the network's weights."""
    full = model.input_shape[1]
    smallest = schedules.image_size(recipe, 0, full)
    if smallest == full:
        return
    shapes = [weight.shape for weight in model.weights]
    if [weight.shape for weight in at_size(model, smallest).weights] != shapes:
        raise UserError(
            f"{network}.image_sizes = {recipe.image_sizes}: with {smallest} pixels the network's "
            f"last maps would be smaller than with {full}, which its dense layers need; use larger "
            f"sides, or full images throughout ({network}.image_sizes: [])"
        )


def steps_at_once(steps: int) -> int:
    """Return how many steps to run per call of TensorFlow: many on a GPU, one on a CPU.

    A GPU waits for the host at the end of each call; on a CPU more steps gain nothing. The number
    must divide the epoch's steps, as Keras would otherwise run into the next epoch.
    """
    most = AT_ONCE if has_gpu() else 1
    return max(count for count in range(1, most + 1) if steps % count == 0)


@dataclass(frozen=True)
class Trainer:
    """Trains compiled models with one recipe on one data set.

    Attributes:
        recipe: the network's resolved recipe.
        seed: decides the order of the images, their augmentation and all dropout.
        reshuffle: as in make_train_dataset.
        watched: the split that is scored after each epoch, or None.
    """

    prepared: Prepared
    recipe: Recipe
    augment: AugmentParams
    seed: int
    reshuffle: bool
    watched: Split | None

    @property
    def steps(self) -> int:
        """How many whole batches an epoch has."""
        return len(self.prepared["train"]) // self.recipe.batch_size

    @property
    def sizes(self) -> list[int]:
        """The image size of each epoch, in pixels."""
        full, epochs = self.prepared.image_size, range(self.recipe.epochs)
        return [schedules.image_size(self.recipe, epoch, full) for epoch in epochs]

    def fit(
        self, model: keras.Model, rows: list[HistoryRow], after_epoch: EpochHook, verbose: int
    ) -> None:
        """Train from the epoch after the last of `rows` to the end.

        Args:
            rows: the history so far, empty for a new training; extended in place.
            after_epoch: called with the model and the rows after each epoch.
            verbose: Keras' verbosity: 0 silent, 1 a progress bar, 2 one line per epoch.
        """
        model.optimizer.learning_rate = RateTable(schedules.all_rates(self.recipe, self.steps))
        create_variables(model)
        model.steps_per_execution = steps_at_once(self.steps)
        model.input_spec = ANY_SIZE
        while not has_ended(rows, self.recipe, self.watched):
            size = self.sizes[len(rows)]
            last_epoch = len(rows) + self.sizes[len(rows) :].count(size)
            self._fit_at(model, size, last_epoch, rows, after_epoch, verbose)

    def _fit_at(
        self,
        model: keras.Model,
        size: int,
        last_epoch: int,
        rows: list[HistoryRow],
        after_epoch: EpochHook,
        verbose: int,
    ) -> None:
        batches = self._batches(model, size, len(rows))
        # Trace again for each size: steps are faster if shapes are known.
        model.make_train_function(force=True)
        model.make_test_function(force=True)
        model.train_function = traced_undisturbed(model.train_function)
        model.test_function = traced_undisturbed(model.test_function)
        model.fit(
            batches,
            validation_data=self._scored(self.watched and self.prepared[self.watched], size),
            initial_epoch=len(rows),
            epochs=last_epoch,
            steps_per_epoch=self.steps,
            callbacks=[
                *([ProgressBar()] if verbose else []),
                DropoutSetter(self.recipe, self.seed),
                *([AverageWeights(resumed=bool(rows))] if self.recipe.weight_average else []),
                EpochRecorder(
                    self.recipe,
                    self.watched,
                    self.steps * self.recipe.batch_size,
                    self._scored(self.watched and clean_sample(self.prepared, self.watched), size),
                    rows,
                    after_epoch,
                ),
            ],
            shuffle=False,  # the data set shuffles
            verbose=verbose,
        )

    def _batches(self, model: keras.Model, size: int, epoch: int) -> tf.data.Dataset:
        """Return the batches from an epoch on; for a GPU, their plans, and its step makes them.

        The CPU would make them too slowly for a small network on a fast GPU.
        """
        images, batch_size = self.prepared["train"], self.recipe.batch_size
        if not has_gpu() or math.prod(images.shape) > ON_GPU:
            return make_train_dataset(
                images, batch_size, self.augment, self.seed, epoch, self.reshuffle, size
            )
        load = batch_loader(images, self.augment, self.seed, size, on_device(images))
        step = type(model).train_step
        model.train_step = lambda plan: step(model, load(*plan))
        return plan_batches(len(images), batch_size, self.seed, epoch, self.reshuffle)

    def _scored(self, images: Images | None, size: int) -> tf.data.Dataset | None:
        if images is None:
            return None
        return make_eval_dataset(images, SCORED_AT_ONCE, size)
