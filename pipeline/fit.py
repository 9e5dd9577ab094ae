"""Training of one network: input pipeline, schedules, stopping rule, history."""

import math
import os
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline import machine, schedules
from pipeline.augment import augment_batch
from pipeline.dropblock import DropBlock2D
from pipeline.errors import UserError
from pipeline.models import build_model
from pipeline.params import AugmentParams, Network, NetworkParams, TrainParams
from pipeline.prepared import Prepared, Split

HistoryRow = dict[str, float]
EpochHook = Callable[[keras.Model, list[HistoryRow]], None]


def configure_backend(params: TrainParams, seed: int) -> None:
    """Set precision, determinism and the seed of the weights; before anything is built."""
    keras.mixed_precision.set_global_policy(params.precision)
    keras.utils.set_random_seed(seed)
    if params.deterministic:
        tf.config.experimental.enable_op_determinism()


def distribution_strategy() -> tf.distribute.Strategy:
    """Return a strategy over all GPUs where there are several, else the default one."""
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def make_train_dataset(
    records: np.ndarray, batch_size: int, augment: AugmentParams, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """Make an endless dataset of augmented (images, labels) batches from `first_epoch` on.

    Order and augmentation are functions of seed, epoch and step alone, so that a training that
    starts at a later epoch sees the same batches. The incomplete last batch of an epoch is left
    out; the order changes each epoch, so no image is left out for good.

    Args:
        records: (n,) records with at least batch_size images.

    Returns:
        Batches of float32 (batch_size, 32, 32, 3), 0..255, and int32 (batch_size,).
    """
    steps = len(records) // batch_size
    with tf.device("CPU:0"):
        images = tf.constant(records["image"])
        labels = tf.constant(records["label"], tf.int32)

    def epoch_batches(epoch: Any) -> tf.data.Dataset:
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.random.experimental.stateless_shuffle(tf.range(len(records)), order_seed)
        batches = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        seeds = tf.random.experimental.stateless_split(order_seed, steps)
        return tf.data.Dataset.from_tensor_slices((batches, seeds))

    def load_batch(indices: Any, batch_seed: Any) -> tuple[Any, Any]:
        batch = augment_batch(tf.gather(images, indices), augment, batch_seed)
        return batch, tf.gather(labels, indices)

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    batches = epochs.flat_map(epoch_batches)
    workers = os.cpu_count() or 1
    dataset = batches.map(load_batch, num_parallel_calls=workers, deterministic=True)
    return without_autotuning(dataset.prefetch(workers))


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off tf.data's autotuning, whose thread holds up the end of an iteration.

    It sleeps for 10 ms, then twice as long each time, and the iterator waits until it wakes up
    (TensorFlow 2.21): at worst as long as the iteration took, for up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_eval_dataset(records: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Make a dataset of all (images, labels) in order: float32 0..255 and int32 labels."""
    arrays = (records["image"], records["label"].astype(np.int32))
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
    dataset = dataset.map(lambda image, label: (tf.cast(image, tf.float32), label))
    return without_autotuning(dataset.prefetch(2))


def compile_model(model: keras.Model, params: NetworkParams, train: TrainParams) -> keras.Model:
    """Give the model the tutorial's Adam, its loss and accuracy."""
    model.compile(
        optimizer=keras.optimizers.Adam(
            learning_rate=params.learning_rate,
            beta_1=train.adam_beta_1,
            beta_2=train.adam_beta_2,
            epsilon=train.adam_epsilon,
            global_clipnorm=train.clip_norm,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=train.jit_compile,
    )
    return model


class EpochSettings(keras.callbacks.Callback):
    """Before each epoch: learning rate, keep probability, and the seeds of all dropout."""

    def __init__(self, params: NetworkParams, seed: int) -> None:
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

    `seconds` are those of training and of the watched split, not of the score on `clean`.
    """

    def __init__(
        self,
        params: NetworkParams,
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
                "images_per_second": self._images / (self._trained - self._start),
                "seconds": seconds,
                "peak_memory_mb": peak_memory() / 1e6,
            }
        )
        self._after_epoch(self.model, self._rows)
        if has_ended(self._rows, self._recipe, self._watched):
            self.model.stop_training = True


def peak_memory() -> int:
    """Return the most memory used so far, in bytes: the GPUs' where there are any."""
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if not gpus:
        return machine.peak_memory()
    return sum(tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in gpus)


def has_ended(rows: list[HistoryRow], params: NetworkParams, watched: Split) -> bool:
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


def clean_sample(prepared: Prepared) -> np.ndarray:
    """Return as many training records as there are watched ones, the same in each epoch.

    Scored without augmentation and dropout, they tell how far the network generalises.
    """
    return prepared["train"][: len(prepared[prepared.watched])]


def check_batch_size(network: Network, params: NetworkParams, images: int) -> None:
    """Raise a UserError where not even one batch can be filled."""
    if params.batch_size > images:
        raise UserError(
            f"{network}.batch_size = {params.batch_size}: there are only {images} training images; "
            "use a smaller batch or more images (data.limit, data.validation_fraction)"
        )


def new_model(params: NetworkParams, train: TrainParams, classes: int) -> keras.Model:
    """Build and compile an untrained network."""
    return compile_model(build_model(params, classes), params, train)


def fit(
    model: keras.Model,
    prepared: Prepared,
    params: NetworkParams,
    augment: AugmentParams,
    seed: int,
    eval_batch_size: int,
    rows: list[HistoryRow],
    after_epoch: EpochHook,
    verbose: int,
) -> list[HistoryRow]:
    """Train a compiled model from the epoch after the last of `rows` to the end.

    Args:
        rows: the history so far, empty for a new training; extended in place.
        after_epoch: called with the model and the rows after each epoch.
        verbose: Keras' verbosity: 1 a progress bar, 2 a line an epoch.
    """
    if has_ended(rows, params, prepared.watched):  # cut off after the last checkpoint
        return rows
    records = prepared["train"]
    steps = len(records) // params.batch_size
    first_epoch = len(rows)
    model.fit(
        make_train_dataset(records, params.batch_size, augment, seed, first_epoch),
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
    return rows
