"""The training loop: one model, one recipe, one data set."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import tensorflow as tf

from pipeline.core.errors import UserError
from pipeline.core.records import Images, Prepared, Split
from pipeline.core.sections import AugmentParams, Recipe
from pipeline.networks.shared.devices import has_gpu
from pipeline.networks.shared.models import at_size
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
from pipeline.training.callbacks import (
    DropoutSetter,
    EpochHook,
    EpochRecorder,
    ProgressBar,
)
from pipeline.training.compiling import create_variables
from pipeline.training.epochs import has_ended
from pipeline.training.interrupts import traced_undisturbed
from pipeline.training.optimizers import RateTable

Tensor = Any
AT_ONCE = 50  # most steps that a GPU runs before the host looks at the loss
ON_GPU = 4 << 30  # most bytes of training images that a GPU keeps
SCORED_AT_ONCE = 500  # most images in a batch that is scored
SCORED_PIXELS = SCORED_AT_ONCE * 32 * 32  # most pixels in it, to bound the memory of large images

# Keras refuses images of another size than the model's input. Smaller ones work if the network's
# last maps keep their size (check_image_size).
ANY_SIZE = keras.InputSpec(shape=(None, None, None, 3))


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


def scored_at_once(size: int, most: int = SCORED_AT_ONCE) -> int:
    """Return how many images of a size, in pixels, to score at a time.

    >>> scored_at_once(20), scored_at_once(32), scored_at_once(224)
    (500, 500, 10)
    """
    return min(most, SCORED_PIXELS // size**2)


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
                EpochRecorder(
                    self.recipe,
                    self.watched,
                    self.steps * self.recipe.batch_size,
                    size,
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
        load = batch_loader(images, self.augment, self.seed, size, self._read_on_device)
        step = type(model).train_step
        model.train_step = lambda plan: step(model, load(*plan))
        return plan_batches(len(images), batch_size, self.seed, epoch, self.reshuffle)

    @cached_property
    def _read_on_device(self) -> Callable[[Tensor], Tensor]:
        """Reads training images from the GPU, to which they are copied once for all sizes."""
        return on_device(self.prepared["train"])

    def _scored(self, images: Images | None, size: int) -> tf.data.Dataset | None:
        if images is None:
            return None
        return make_eval_dataset(images, scored_at_once(size), size)
