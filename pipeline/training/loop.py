"""The training loop: what is set before each epoch, recorded after it, and when it ends."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.core.declarations import Recipe
from pipeline.core.errors import UserError
from pipeline.core.params import AugmentParams
from pipeline.core.records import Prepared, Split
from pipeline.core.trials import HistoryRow
from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.networks.shared.models import training_pflop
from pipeline.training import schedules
from pipeline.training.batches import clean_sample, make_eval_dataset, make_train_dataset
from pipeline.training.machine import peak_memory

EpochHook = Callable[[keras.Model, list[HistoryRow]], None]


class EpochSettings(keras.callbacks.Callback):
    """Before each epoch: learning rate, keep probability, and the seeds of all dropout."""

    def __init__(self, params: Recipe, seed: int) -> None:
        super().__init__()
        self._recipe, self._seed = params, seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set what depends on the epoch alone."""
        self.model.optimizer.learning_rate = schedules.learning_rate(self._recipe, epoch)
        for number, layer in enumerate(self.model.layers):
            if isinstance(layer, DropBlock2D):
                layer.keep_prob.assign(schedules.keep_prob(self._recipe, epoch))
            if isinstance(layer, DropBlock2D | keras.layers.Dropout):
                words = np.random.SeedSequence((self._seed, epoch, number)).generate_state(2)
                layer.seed_generator.state.assign(words)


class DivergedError(UserError):
    """The loss is no longer a finite number."""


class EpochRecorder(keras.callbacks.Callback):
    """After each epoch: a row of history for the hooks, and the stopping rule.

    `seconds` are those of training and of the watched split, not of the score on `clean`; `pflop`
    is the compute since the start.
    """

    def __init__(
        self,
        params: Recipe,
        watched: Split,
        images: int,
        clean: tf.data.Dataset,
        rows: list[HistoryRow],
        after_epoch: EpochHook,
    ) -> None:
        super().__init__()
        self._recipe, self._watched, self._images = params, watched, images
        self._clean = clean
        self._rows, self._after_epoch = rows, after_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._epoch, self._start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop at once where the loss is not finite."""
        loss = (logs or {})["loss"]
        if not math.isfinite(loss):
            raise DivergedError(
                f"the training loss is {loss} in epoch {self._epoch + 1}, step {batch + 1};"
                " try a lower learning_rate in params.yaml"
            )

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Note when the training part of the epoch ended."""
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch and decide whether it was the last."""
        logs, seconds = logs or {}, time.perf_counter() - self._start
        clean = self.model.evaluate(self._clean, verbose=0, return_dict=True)
        self._rows.append(
            {
                "epoch": epoch + 1,
                "train_loss": logs["loss"],
                "train_accuracy": logs["accuracy"],
                "clean_train_loss": clean["loss"],
                "clean_train_accuracy": clean["accuracy"],
                f"{self._watched}_loss": logs["val_loss"],
                f"{self._watched}_accuracy": logs["val_accuracy"],
                "learning_rate": schedules.learning_rate(self._recipe, epoch),
                "keep_prob": schedules.keep_prob(self._recipe, epoch),
                "pflop": training_pflop(self.model, (epoch + 1) * self._images),
                "images_per_second": self._images / (self._trained - self._start),
                "seconds": seconds,
                "peak_memory_mb": peak_memory() / 1e6,
            }
        )
        self._after_epoch(self.model, self._rows)
        if has_ended(self._rows, self._recipe, self._watched):
            self.model.stop_training = True


def has_ended(rows: list[HistoryRow], params: Recipe, watched: Split) -> bool:
    """Whether the last epoch was the last of all, by number or by the stopping rule."""
    losses = [row[f"{watched}_loss"] for row in rows]
    stopped = schedules.should_stop(losses, params.stop_after_rising)
    if stopped:
        print(f"stop: {params.stop_after_rising} rising losses in a row", flush=True)
    return stopped or len(rows) >= params.epochs


def is_best(rows: list[HistoryRow], watched: Split) -> bool:
    """Whether the last epoch is the one to keep.

    The highest validation accuracy, at a tie the lowest validation loss, then the earliest. Where
    the test set is watched, always the last epoch: choosing by it would flatter the result.
    """
    if watched == "test":
        return True

    def rank(row: HistoryRow) -> tuple[float, float]:
        return row[f"{watched}_accuracy"], -row[f"{watched}_loss"]

    return all(rank(rows[-1]) > rank(row) for row in rows[:-1])


def check_batch_size(network: str, params: Recipe, images: int) -> None:
    """Raise a UserError where not even one batch can be filled."""
    if params.batch_size > images:
        raise UserError(
            f"{network}.batch_size = {params.batch_size}: there are only {images} training images; "
            "use a smaller batch or more images (data.limit, data.validation_fraction)"
        )


def fit(
    model: keras.Model,
    prepared: Prepared,
    params: Recipe,
    augment: AugmentParams,
    seed: int,
    reshuffle: bool,
    eval_batch_size: int,
    rows: list[HistoryRow],
    after_epoch: EpochHook,
    verbose: int,
) -> None:
    """Train a compiled model from the epoch after the last of `rows` to the end.

    Args:
        reshuffle: as in make_train_dataset.
        rows: the history so far, empty for a new training; extended in place.
        after_epoch: called with the model and the rows after each epoch.
        verbose: Keras' verbosity: 1 a progress bar, 2 a line an epoch.
    """
    if has_ended(rows, params, prepared.watched):  # cut off after the last checkpoint
        return
    records = prepared["train"]
    steps = len(records) // params.batch_size
    first_epoch = len(rows)
    model.fit(
        make_train_dataset(records, params.batch_size, augment, seed, first_epoch, reshuffle),
        validation_data=make_eval_dataset(prepared[prepared.watched], eval_batch_size),
        initial_epoch=first_epoch,
        epochs=params.epochs,
        steps_per_epoch=steps,
        callbacks=[
            EpochSettings(params, seed),
            EpochRecorder(
                params,
                prepared.watched,
                steps * params.batch_size,
                make_eval_dataset(clean_sample(prepared), eval_batch_size),
                rows,
                after_epoch,
            ),
        ],
        shuffle=False,  # the data set does it
        verbose=verbose,
    )
