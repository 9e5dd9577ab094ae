"""Batches of images: shuffled and augmented for training, plain for evaluation."""

import os
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.core.records import IMAGE_SIZE, Prepared, Split
from pipeline.core.sections import AugmentParams
from pipeline.training.augment import augment_batch

FLIPS = 1  # second part of the flips' seed, which makes them independent of other draws


def make_train_dataset(
    records: np.ndarray,
    batch_size: int,
    augment: AugmentParams,
    seed: int,
    first_epoch: int = 0,
    reshuffle: bool = True,
    size: int = IMAGE_SIZE,
) -> tf.data.Dataset:
    """Make an endless dataset of augmented (images, labels) batches from `first_epoch` on.

    Order and augmentation depend only on seed, epoch and step, so that a training that resumes at
    a later epoch sees the same batches. The incomplete last batch of an epoch is left out; with
    reshuffle, different images are left out each epoch.

    Args:
        records: (n,) records with at least batch_size images.
        reshuffle: use a new order each epoch; otherwise the order of the records, so that batches
            hold the same images in all epochs, as in the tutorial.
        size: side of the images in pixels, at most 32.

    Returns:
        Batches of float32 (batch_size, size, size, 3), 0..255, and int32 (batch_size,).
    """
    steps = len(records) // batch_size
    with tf.device("CPU:0"):
        images = tf.constant(records["image"])
        labels = tf.constant(records["label"], tf.int32)
        flipped_first = first_flips(len(records), seed)

    @tf.autograph.experimental.do_not_convert
    def epoch_batches(epoch: Any) -> tf.data.Dataset:
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.range(len(records))
        if reshuffle:
            order = tf.random.experimental.stateless_shuffle(order, order_seed)
        batches = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        seeds = tf.random.experimental.stateless_split(order_seed, steps)
        return tf.data.Dataset.from_tensor_slices((batches, seeds, tf.repeat(epoch, steps)))

    @tf.autograph.experimental.do_not_convert
    def load_batch(indices: Any, batch_seed: Any, epoch: Any) -> tuple[Any, Any]:
        flips = None
        if augment.alternate_flips:
            flips = tf.gather(flipped_first, indices) ^ (epoch % 2 == 1)
        batch = augment_batch(tf.gather(images, indices), augment, batch_seed, flips)
        return resize(batch, size), tf.gather(labels, indices)

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    batches = epochs.flat_map(epoch_batches)
    workers = os.cpu_count() or 1
    dataset = batches.map(load_batch, num_parallel_calls=workers, deterministic=True)
    return without_autotuning(dataset.prefetch(workers))


def first_flips(images: int, seed: int) -> Any:
    """Return (images,) bools: which half of the images is flipped in epochs 0, 2, 4, ...

    The other half is flipped in the epochs between, so that any two epochs in a row show each image
    both ways (alternating flip, Jordan, arXiv 2404.00498).
    """
    return tf.random.stateless_uniform((images,), (seed, FLIPS)) < 0.5


def resize(images: Any, size: int) -> Any:
    """Shrink float32 (n, 32, 32, 3) images to `size` x `size` pixels, antialiased.

    Uses the weights of tf.image.resize in two matrix products, which take a sixth of its time.
    """
    if size == IMAGE_SIZE:
        return images
    lines = tf.eye(IMAGE_SIZE)[..., tf.newaxis]
    weights = tf.image.resize(lines, (size, IMAGE_SIZE), antialias=True)[..., 0]
    images = tf.matmul(weights, tf.reshape(images, (-1, IMAGE_SIZE, IMAGE_SIZE * 3)))
    images = tf.matmul(weights, tf.reshape(images, (-1, IMAGE_SIZE, 3)))
    return tf.reshape(images, (-1, size, size, 3))


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off tf.data's autotuning, whose thread delays the end of an iteration.

    It sleeps for 10 ms, then twice as long each time, and the iterator waits until it wakes up
    (TensorFlow 2.21). The wait can be as long as the iteration itself, up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_eval_dataset(
    records: np.ndarray, batch_size: int, size: int = IMAGE_SIZE
) -> tf.data.Dataset:
    """Make a dataset of all (images, labels) in order: float32 images 0..255, int32 labels.

    Args:
        size: side of the images in pixels, at most 32.
    """
    arrays = (records["image"], records["label"].astype(np.int32))
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)
    dataset = dataset.map(lambda image, label: (resize(tf.cast(image, tf.float32), size), label))
    return without_autotuning(dataset.prefetch(2))


def clean_sample(prepared: Prepared, watched: Split) -> np.ndarray:
    """Return as many training records as there are watched records, the same in each epoch.

    Scored without augmentation and dropout, they show the generalisation gap.
    """
    return prepared["train"][: len(prepared[watched])]
