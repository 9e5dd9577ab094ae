"""Batches of images: shuffled and augmented for training, plain for evaluation."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.core.cores import usable_cores
from pipeline.core.records import Images, Prepared, Split
from pipeline.core.sections import AugmentParams
from pipeline.training.augment import augment_batch

Tensor = Any
WORD = 8  # bytes
AHEAD = 1 << 30  # bytes of the batches that are made at once
FLIPS = -1  # in the flips' seed, where the order's seed has the epoch, which is never negative


def make_train_dataset(
    images: Images,
    batch_size: int,
    augment: AugmentParams,
    seed: int,
    first_epoch: int = 0,
    reshuffle: bool = True,
    size: int | None = None,
) -> tf.data.Dataset:
    """Make an endless dataset of augmented (images, labels) batches from `first_epoch` on.

    Args:
        images: at least batch_size of them; each batch is read when it is needed.
        first_epoch, reshuffle: as in plan_batches.
        size: shrink the images to this side in pixels; None: leave them as they are.

    Returns:
        Batches of float32 (batch_size, size, size, 3), 0..255, and int32 (batch_size,).
    """
    plans = plan_batches(len(images), batch_size, seed, first_epoch, reshuffle)
    with tf.device("CPU:0"):
        load = batch_loader(images, augment, seed, size, lambda which: _read(images, which))
    workers = _workers(batch_size * math.prod(images.shape[1:]) * tf.float32.size)
    return plans.map(load, num_parallel_calls=workers, deterministic=True).prefetch(2)


def plan_batches(
    images: int, batch_size: int, seed: int, first_epoch: int = 0, reshuffle: bool = True
) -> tf.data.Dataset:
    """Make an endless dataset of which images each batch has, and what it needs to augment them.

    Order and augmentation depend only on seed, epoch and step, so that a training that resumes at
    a later epoch sees the same batches. The incomplete last batch of an epoch is left out; with
    reshuffle, different images are left out each epoch.

    Args:
        images: their number, at least batch_size.
        reshuffle: use a new order each epoch; otherwise the order of the images, so that batches
            hold the same ones in all epochs, as in the tutorial.

    Returns:
        Arguments of batch_loader's function: int32 (batch_size,) positions of the images, the
        batch's (2,) seed, and the epoch.
    """
    steps = images // batch_size

    @tf.autograph.experimental.do_not_convert
    def plan_epoch(epoch: Tensor) -> tf.data.Dataset:
        order_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        order = tf.range(images)
        if reshuffle:
            order = tf.random.experimental.stateless_shuffle(order, order_seed)
        batches = tf.reshape(order[: steps * batch_size], (steps, batch_size))
        seeds = tf.random.experimental.stateless_split(order_seed, steps)
        return tf.data.Dataset.from_tensor_slices((batches, seeds, tf.repeat(epoch, steps)))

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    return without_autotuning(epochs.flat_map(plan_epoch))


def batch_loader(
    images: Images,
    augment: AugmentParams,
    seed: int,
    size: int | None,
    read: Callable[[Tensor], Tensor],
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return a function that makes a batch, see make_train_dataset, from what plan_batches gives.

    Args:
        read: returns the images at some positions.
    """
    labels = tf.constant(images["label"], tf.int32)
    flipped_first = first_flips(len(images), seed)

    @tf.autograph.experimental.do_not_convert
    def load(which: Tensor, batch_seed: Tensor, epoch: Tensor) -> tuple[Tensor, Tensor]:
        flips = None
        if augment.alternate_flips:
            flips = tf.gather(flipped_first, which) ^ (epoch % 2 == 1)
        batch = augment_batch(read(which), augment, batch_seed, flips)
        return resize(batch, size), tf.gather(labels, which)

    return load


def on_device(images: Images) -> Callable[[Tensor], Tensor]:
    """Copy all images to the GPU (or CPU) and return a function that reads some of them there.

    They are copied as 64-bit words: on a GPU, TensorFlow cannot gather bytes, and it keeps 32-bit
    integers in the host's memory.
    """
    count, *shape = images.shape
    size = math.prod(shape)
    filled = np.pad(images.read().reshape(count, size), ((0, 0), (0, -size % WORD)))
    words = tf.constant(filled.view(np.int64))

    def read(which: Tensor) -> Tensor:
        pixels = tf.cast(tf.bitcast(tf.gather(words, which), tf.uint8), tf.float32)
        return tf.reshape(tf.reshape(pixels, (-1, filled.shape[1]))[:, :size], (-1, *shape))

    return read


def _workers(batch_bytes: int) -> int:
    """Return how many batches to make at once: one per core, but not more than fit in AHEAD."""
    return min(usable_cores(), max(2, AHEAD // batch_bytes))


def _read(images: Images, which: Tensor) -> Tensor:
    """Read the uint8 pixels of images as a tensor, in the tf.data graph."""
    pixels = tf.numpy_function(images.read, [which], tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, (which.shape[0], *images.shape[1:]))


def first_flips(images: int, seed: int) -> Tensor:
    """Return (images,) bools: which half of the images is flipped in epochs 0, 2, 4, ...

    The other half is flipped in the epochs between, so that any two epochs in a row show each image
    both ways (alternating flip, Jordan, arXiv 2404.00498).
    """
    return tf.random.stateless_uniform((images,), (seed, FLIPS)) < 0.5


def resize(images: Tensor, size: int | None) -> Tensor:
    """Shrink float32 (n, side, side, 3) images to `size` x `size` pixels, antialiased.

    Uses the weights of tf.image.resize in two matrix products, which take a sixth of its time.
    """
    side, channels = images.shape[2:]
    if size in (None, side):
        return images
    lines = tf.eye(side)[..., tf.newaxis]
    weights = tf.image.resize(lines, (size, side), antialias=True)[..., 0]
    images = tf.matmul(weights, tf.reshape(images, (-1, side, side * channels)))
    images = tf.matmul(weights, tf.reshape(images, (-1, side, channels)))
    return tf.reshape(images, (-1, size, size, channels))


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch off tf.data's autotuning, whose thread delays the end of an iteration.

    It sleeps for 10 ms, then twice as long each time, and the iterator waits until it wakes up
    (TensorFlow 2.21). The wait can be as long as the iteration itself, up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def make_eval_dataset(
    images: Images, batch_size: int, size: int | None = None, mirrored: bool = False
) -> tf.data.Dataset:
    """Make a dataset of all (images, labels) in order: float32 images 0..255, int32 labels.

    Args:
        size: as in make_train_dataset.
        mirrored: flip each image left to right.
    """
    labels = images["label"].astype(np.int32)

    def load_batch(which: Tensor) -> tuple[Tensor, Tensor]:
        batch = resize(tf.cast(_read(images, which), tf.float32), size)
        return batch[:, :, ::-1] if mirrored else batch, tf.gather(labels, which)

    dataset = tf.data.Dataset.range(len(images)).batch(batch_size).map(load_batch)
    return without_autotuning(dataset.prefetch(2))


def clean_sample(prepared: Prepared, watched: Split) -> Images:
    """Return as many training images as there are watched ones, the same in each epoch.

    Scored without augmentation and dropout, they show the generalisation gap.
    """
    return prepared["train"].first(len(prepared[watched]))
