"""The images as a network sees them: shuffled and augmented batches, and plain ones."""

import os
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.core.params import AugmentParams
from pipeline.core.records import Prepared
from pipeline.training.augment import augment_batch


def make_train_dataset(
    records: np.ndarray,
    batch_size: int,
    augment: AugmentParams,
    seed: int,
    first_epoch: int = 0,
    reshuffle: bool = True,
) -> tf.data.Dataset:
    """Make an endless dataset of augmented (images, labels) batches from `first_epoch` on.

    Order and augmentation are functions of seed, epoch and step alone, so that a training that
    starts at a later epoch sees the same batches. The incomplete last batch of an epoch is left
    out; where the order changes each epoch, no image is left out for good.

    Args:
        records: (n,) records with at least batch_size images.
        reshuffle: a new order each epoch; else the records' own, so that the batches of all epochs
            hold the same images, as in the tutorial.

    Returns:
        Batches of float32 (batch_size, 32, 32, 3), 0..255, and int32 (batch_size,).
    """
    steps = len(records) // batch_size
    with tf.device("CPU:0"):
        images = tf.constant(records["image"])
        labels = tf.constant(records["label"], tf.int32)

    @tf.autograph.experimental.do_not_convert
    def epoch_batches(epoch: Any) -> tf.data.Dataset:
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.range(len(records))
        if reshuffle:
            order = tf.random.experimental.stateless_shuffle(order, order_seed)
        batches = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        seeds = tf.random.experimental.stateless_split(order_seed, steps)
        return tf.data.Dataset.from_tensor_slices((batches, seeds))

    @tf.autograph.experimental.do_not_convert
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


def clean_sample(prepared: Prepared) -> np.ndarray:
    """Return as many training records as there are watched ones, the same in each epoch.

    Scored without augmentation and dropout, they tell how far the network generalises.
    """
    return prepared["train"][: len(prepared[prepared.watched])]
