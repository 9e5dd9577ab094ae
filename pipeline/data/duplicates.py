"""Find groups of exact and near duplicates among images.

CIFAR-100 has many: with a network's features and by eye, ciFAIR (Barz and Denzler, arXiv
1902.00423) found that 891 of the 10,000 test images have a duplicate in the training set and 104
one in the test set. Comparing pixels, as here, misses duplicates that were shifted or cropped.
"""

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

COARSE, DETAIL = 4, 4  # cells per side of the coarse picture; pixels per side of a detail cell
BLOCK = 512  # images compared at a time
COARSE_CORRELATION = 0.95  # at least, for two images to be compared in detail


def find_duplicate_groups(
    images: np.ndarray, correlation: float | None, rows: np.ndarray | None = None
) -> np.ndarray:
    """Number the groups of duplicates among (n, h, w, 3) uint8 images; return (n,) int32.

    Args:
        correlation: see below.
        rows: compare only these images; then the result is for them, in their order.

    Two images are duplicates if all their pixels are equal, or if both their coarse pictures
    (4x4 mean colours) correlate by at least 0.95 and their details (the pixels minus the mean
    colour of each 4x4-pixel cell) by at least `correlation`. None: only equal pixels count. Two
    images that are both duplicates of a third are in one group too.
    """
    rows = np.arange(len(images)) if rows is None else rows
    hashes = [hashlib.sha256(images[row].tobytes()).digest() for row in rows]
    exact, _ = pd.factorize(np.array(hashes, object))
    if correlation is None:
        return exact.astype(np.int32)
    first, second = _near_pairs(images, rows, correlation)
    # Link each image to a node for its pixel values, which equal images share.
    nodes = len(rows) + exact.max() + 1
    one = np.concatenate([first, np.arange(len(rows))])
    other = np.concatenate([second, len(rows) + exact])
    links = coo_array((np.ones(len(one), bool), (one, other)), shape=(nodes, nodes))
    return connected_components(links, directed=False)[1][: len(rows)].astype(np.int32)


def _near_pairs(
    images: np.ndarray, rows: np.ndarray, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return all p pairs of near duplicates among these rows, as two (p,) arrays of positions.

    By matrix products of blocks of images: fast also where all images are alike in coarse.
    """
    starts = range(0, len(rows), BLOCK)
    coarse = np.concatenate([_coarse_picture(images[rows[i : i + BLOCK]]) for i in starts])
    found = [np.empty((0, 2), int)]
    for start in starts:
        likeness = coarse[start : start + BLOCK] @ coarse[start:].T
        near = np.triu(likeness >= COARSE_CORRELATION, 1)  # each pair once
        found += [start + pairs for pairs in _alike(images, rows[start:], near, correlation)]
    first, second = np.concatenate(found).T
    return first, second


def _alike(
    images: np.ndarray, rows: np.ndarray, near: np.ndarray, correlation: float
) -> Iterator[np.ndarray]:
    """Yield (p, 2) positions of pairs whose details correlate, some at a time.

    Args:
        near: (b, len(rows)), whether to compare one of the first b rows with another one.
    """
    mine, others = (np.flatnonzero(near.any(axis=axis)) for axis in (1, 0))
    details = _details(images[rows[mine]])
    for start in range(0, len(others), BLOCK):
        chunk = others[start : start + BLOCK]
        correlations = details @ _details(images[rows[chunk]]).T
        first, second = np.nonzero(near[np.ix_(mine, chunk)] & (correlations >= correlation))
        yield np.stack([mine[first], chunk[second]], axis=1)


def _cell_means(images: np.ndarray, cell: int) -> np.ndarray:
    """Return the mean colour, float32, of each cell of `cell` x `cell` pixels."""
    count, height, width, channels = images.shape
    rows, columns = height // cell, width // cell
    cells = images[:, : rows * cell, : columns * cell]  # without pixels that fill no cell
    cells = cells.reshape(count, rows, cell, columns, cell, channels)
    return cells.mean(axis=(2, 4), dtype=np.float32)


def _coarse_picture(images: np.ndarray) -> np.ndarray:
    means = _cell_means(images, images.shape[1] // COARSE)
    return _unit(means - means.mean(axis=(1, 2, 3), keepdims=True))


def _details(images: np.ndarray) -> np.ndarray:
    means = _cell_means(images, DETAIL).repeat(DETAIL, axis=1).repeat(DETAIL, axis=2)
    height, width = means.shape[1:3]
    return _unit(images[:, :height, :width] - means)


def _unit(pictures: np.ndarray) -> np.ndarray:
    """Scale to vectors of length one; a flat picture stays zero and correlates with nothing."""
    vectors = pictures.reshape(len(pictures), math.prod(pictures.shape[1:]))
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
