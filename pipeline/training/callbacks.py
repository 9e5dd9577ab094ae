"""What happens before and after each epoch: dropout is set, a row of history recorded."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.core.errors import DIVERGED, UserError
from pipeline.core.records import Split
from pipeline.core.sections import Recipe
from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.networks.shared.models import training_pflop
from pipeline.settings.trainings import HistoryRow
from pipeline.training import schedules
from pipeline.training.epochs import has_ended
from pipeline.training.machine import peak_memory

LOWER = "try a lower learning_rate in params.yaml"
EpochHook = Callable[[keras.Model, list[HistoryRow]], None]


class DropoutSetter(keras.callbacks.Callback):
    """Sets the keep probability of DropBlock and the seeds of all random layers before each epoch.

    Keras does not save the states of seed generators; a resumed training would drop other units.
    """

    def __init__(self, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self._recipe, self._seed = recipe, seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set keep probability and seeds."""
        for number, layer in enumerate(self.model.layers):
            for place, part in enumerate(layer._flatten_layers()):
                if isinstance(part, DropBlock2D) and hasattr(self._recipe, "conv_keep_start"):
                    part.keep_prob.assign(self._recipe.keep_prob(epoch))
                sequence = np.random.SeedSequence((self._seed, epoch, number, place))
                for value in vars(part).values():
                    if isinstance(value, keras.random.SeedGenerator):
                        value.state.assign(sequence.generate_state(2))


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


class EpochRecorder(keras.callbacks.Callback):
    """After each epoch, records a row of history, calls the hook and applies the stopping rule.

    `seconds` covers training and scoring the watched split, but not scoring the clean sample.
    `pflop` is the compute since the start, `learning_rate` that of the epoch's first step. Scores
    are for images of the size in training.

    Args:
        images: trained on in an epoch.
        size: of these images, in pixels.
    """

    def __init__(
        self,
        recipe: Recipe,
        watched: Split | None,
        images: int,
        size: int,
        clean: tf.data.Dataset | None,
        rows: list[HistoryRow],
        after_epoch: EpochHook,
    ) -> None:
        super().__init__()
        self._recipe, self._watched = recipe, watched
        self._images, self._size, self._clean = images, size, clean
        self._rows, self._after_epoch = rows, after_epoch

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Count the compute of an epoch."""
        self._pflop = training_pflop(self.model, self._images, self._size)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._epoch, self._start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop if the loss is not finite; checked after each execution, of one step or many."""
        loss = (logs or {})["loss"]
        if not math.isfinite(loss):
            place = f"in epoch {self._epoch + 1}, by step {batch + 1}"
            raise UserError(f"{DIVERGED}: the loss is {loss} {place}; {LOWER}")
        if batch + 1 == self.params["steps"]:
            self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch and decide whether it was the last."""
        logs, seconds = logs or {}, time.perf_counter() - self._start
        row = {"epoch": epoch + 1, **_scores("train", logs)}
        if self._clean is not None:
            clean = self.model.evaluate(self._clean, verbose=0, return_dict=True)
            row |= _scores("clean_train", clean) | _scores(self._watched, logs, "val_")
        if wrong := [key for key, value in row.items() if not math.isfinite(value)]:
            said = f"after epoch {epoch + 1} {', '.join(wrong)} is not a finite number"
            raise UserError(f"{DIVERGED}: {said}; {LOWER}")
        self._rows.append(
            {
                **row,
                "learning_rate": schedules.learning_rate(self._recipe, epoch),
                "keep_prob": self._recipe.keep_prob(epoch),
                "image_size": self._size,
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
