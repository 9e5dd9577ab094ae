"""Random augmentation of batches of training images, in tensor operations without a loop.

The tutorial (part 5) applies a random subset of crop, horizontal flip and coarse dropout to each
image, in random order, as imgaug 0.2.8 does them. A flip commutes in distribution with the other
two, so order matters only between coarse dropout and crop (a crop after it enlarges the dropped
cells). Pixels are not rounded to whole numbers after a resize.

The other policy shifts each image by whole pixels, fills the border by reflection, and may flip it.
It is usual for short trainings (He et al., arXiv 1512.03385, 4.2).
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from pipeline.core.sections import AugmentParams

Tensor = Any
OPERATIONS = ("crop", "flip", "dropout")


class Plan(NamedTuple):
    """Which operations each image gets: (n,) bool tensors."""

    crop: Tensor
    flip: Tensor
    dropout: Tensor
    dropout_first: Tensor


def augment_batch(
    images: Tensor, params: AugmentParams, seed: Tensor, flips: Tensor | None = None
) -> Tensor:
    """Augment (n, h, w, 3) images 0..255; the result is a function of the (2,) integer seed.

    Args:
        flips: (n,) bools: which images to flip; None draws them with flip_probability. Only used by
            policy translate; the tutorial's policy always draws which images it flips.

    Returns:
        float32 images of the same shape, 0..255.
    """
    images = tf.cast(images, tf.float32)
    if params.policy == "translate":
        return translate(images, params, seed, flips)
    if params.max_operations == 0:
        return images
    plan_seed, crop_seed, flip_seed, dropout_seed = tf.unstack(
        tf.random.experimental.stateless_split(seed, 4)
    )
    plan = plan_operations(tf.shape(images)[0], params.max_operations, plan_seed)
    keep = coarse_dropout_mask(images.shape, tf.shape(images)[0], params, dropout_seed)
    flip = plan.flip & (
        tf.random.stateless_uniform(tf.shape(plan.flip), flip_seed) < params.flip_probability
    )
    images *= _where_applied(plan.dropout & plan.dropout_first, keep)
    images = _resample(images, plan.crop, flip, params, crop_seed)
    return images * _where_applied(plan.dropout & ~plan.dropout_first, keep)


def translate(images: Tensor, params: AugmentParams, seed: Tensor, flips: Tensor | None) -> Tensor:
    """Shift (n, h, w, 3) images by up to translate_pixels along both axes, and flip some."""
    shift_seed, flip_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    count, (height, width) = tf.shape(images)[0], images.shape[1:3]
    most = params.translate_pixels
    down, right = tf.unstack(
        tf.random.stateless_uniform((2, count, 1), shift_seed, -most, most + 1, dtype=tf.int32)
    )
    if flips is None:
        flips = tf.random.stateless_uniform((count,), flip_seed) < params.flip_probability
    rows = _reflect(tf.range(height) - down, height)
    columns = _reflect(tf.range(width) - right, width)
    columns = tf.where(flips[:, tf.newaxis], columns[:, ::-1], columns)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def _reflect(places: Tensor, size: int) -> Tensor:
    """Mirror positions outside a line at its first and last pixel, which are not repeated."""
    return (size - 1) - tf.abs((size - 1) - tf.abs(places))


def plan_operations(count: Tensor, max_operations: int, seed: Tensor) -> Plan:
    """Choose for each of `count` images 0 to max_operations operations and their order."""
    rank_seed, number_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    noise = tf.random.stateless_uniform((count, len(OPERATIONS)), rank_seed)
    rank = tf.argsort(tf.argsort(noise, axis=1), axis=1)
    number = tf.random.stateless_uniform(
        (count, 1), number_seed, minval=0, maxval=max_operations + 1, dtype=tf.int32
    )
    crop, flip, dropout = tf.unstack(rank < number, axis=1)
    return Plan(crop, flip, dropout, dropout_first=rank[:, 2] < rank[:, 0])


def _where_applied(applied: Tensor, keep: Tensor) -> Tensor:
    return tf.where(applied[:, tf.newaxis, tf.newaxis, tf.newaxis], keep, 1.0)


def _resample(
    images: Tensor, crop: Tensor, flip: Tensor, params: AugmentParams, seed: Tensor
) -> Tensor:
    """Crop 0..crop_pixels from each side, resize back and flip, all in one pass."""
    height, width = images.shape[1:3]
    sides = tf.random.stateless_uniform(
        (4, tf.shape(images)[0]), seed, minval=0, maxval=params.crop_pixels + 1, dtype=tf.int32
    )
    top, bottom, left, right = tf.unstack(tf.where(crop, tf.cast(sides, tf.float32), 0.0))
    rows = interpolation_matrix(height, top, bottom)
    columns = interpolation_matrix(width, left, right)
    columns = tf.where(flip[:, tf.newaxis, tf.newaxis], columns[:, ::-1], columns)
    return _map_lines(images, rows, columns)


def _map_lines(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Mix the rows of (n, h, w, c) images by (n, h', h) weights and the columns by (n, w', w)."""
    count, (height, width, channels) = tf.shape(images)[0], images.shape[1:]
    new_height, new_width = rows.shape[1], columns.shape[1]
    mixed = tf.matmul(rows, tf.reshape(images, (count, height, width * channels)))
    mixed = tf.transpose(tf.reshape(mixed, (count, new_height, width, channels)), (0, 2, 1, 3))
    mixed = tf.matmul(columns, tf.reshape(mixed, (count, width, new_height * channels)))
    mixed = tf.transpose(tf.reshape(mixed, (count, new_width, new_height, channels)), (0, 2, 1, 3))
    return tf.ensure_shape(mixed, (None, new_height, new_width, channels))


def interpolation_matrix(size: int, before: Tensor, after: Tensor) -> Tensor:
    """Return (n, size, size) weights that resize a cropped line to its full length.

    Like OpenCV's INTER_AREA where it enlarges, as in the tutorial; sharper than INTER_LINEAR.

    Args:
        size: the length of the line in pixels.
        before, after: (n,) the pixels cropped at its start and end.
    """
    length = (float(size) - before - after)[:, tf.newaxis]
    places = tf.range(size, dtype=tf.float32)
    position = _area_position(places, length / size)
    position = before[:, tf.newaxis] + tf.clip_by_value(position, 0.0, length - 1.0)
    distance = tf.abs(position[:, :, tf.newaxis] - places)
    return tf.maximum(0.0, 1.0 - distance)


def _area_position(places: Tensor, step: Tensor) -> Tensor:
    """Return the source position that INTER_AREA reads for each place; `step` pixels per place.

    A place within one source pixel takes that pixel; a place across two mixes them by how much of
    it is in the second (OpenCV's imgproc/src/resize.cpp, area mode).
    """
    first = tf.floor(places * step)
    share = places + 1.0 - (first + 1.0) / step
    # Due to rounding, a border between pixels may look like a sliver of the next pixel; ignore it.
    return first + tf.where(share > 1e-4, share, 0.0)


def coarse_dropout_mask(
    shape: tf.TensorShape, count: Tensor, params: AugmentParams, seed: Tensor
) -> Tensor:
    """Draw (n, h, w, channels) float32 masks with 0 in the dropped cells of a coarse grid.

    Along each axis the grid has a random share of the image's pixels as cells, rounded down but at
    least dropout_min_cells; the shares of the two axes are drawn independently.
    """
    height, width, channels = shape[1:]
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
    shares = tf.random.stateless_uniform(
        (2, count, 1), seeds[0], params.dropout_grid_min, params.dropout_grid_max
    )
    least = params.dropout_min_cells
    rows, columns = (
        tf.maximum(tf.floor(share * size), float(least))
        for share, size in zip(tf.unstack(shares), (height, width), strict=True)
    )
    fraction = tf.random.stateless_uniform(
        (count, 1, 1, 1), seeds[1], maxval=params.dropout_fraction
    )
    shared = tf.random.stateless_uniform((count, 1, 1, 1), seeds[2]) >= params.dropout_per_channel
    most = max(least, math.floor(max(height, width) * params.dropout_grid_max))
    noise = tf.random.stateless_uniform((count, most, most, channels), seeds[3])
    noise = tf.where(shared, noise[..., :1], noise)
    keep = tf.cast(noise >= fraction, tf.float32)
    return _map_lines(
        keep, _cells_of_pixels(height, rows, most), _cells_of_pixels(width, columns, most)
    )


def _cells_of_pixels(size: int, cells: Tensor, most: int) -> Tensor:
    """Return (n, size, most) weights: 1 at each pixel's cell, for (n, 1) cells per line."""
    cell = tf.cast(tf.range(size, dtype=tf.float32) * cells / size, tf.int32)
    return tf.one_hot(cell, most)
