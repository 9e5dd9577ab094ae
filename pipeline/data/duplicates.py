"""Find groups of exact and near duplicates among images.

CIFAR-100 has many: with a network's features and by eye, ciFAIR (Barz and Denzler, arXiv
1902.00423) found that 891 of the 10,000 test images have a duplicate in the training set and 104
one in the test set. Comparing pixels, as here, misses duplicates that were shifted or cropped.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.core.records import CHUNK

COARSE, DETAIL = 4, 4  # cells per side of the coarse picture; pixels per side of a detail cell
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
    """Return all p pairs of near duplicates among these rows, as two (p,) arrays of positions."""
    from sklearn.neighbors import radius_neighbors_graph

    coarse = _in_chunks(lambda chunk: _coarse_picture(images[chunk]), rows)
    # The squared distance between unit vectors is two minus twice their correlation.
    radius = np.sqrt(2 - 2 * COARSE_CORRELATION)
    graph = radius_neighbors_graph(coarse, radius, mode="connectivity", n_jobs=-1).tocoo()
    once = graph.row < graph.col
    pairs = np.stack([graph.row[once], graph.col[once]], axis=1)
    alike = _in_chunks(lambda chunk: _correlations(images, rows[chunk]), pairs) >= correlation
    return pairs[alike, 0], pairs[alike, 1]


def _in_chunks(function: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    starts = range(0, max(len(values), 1), CHUNK)
    return np.concatenate([function(values[start : start + CHUNK]) for start in starts])


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


def _correlations(images: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the correlation of the details of each of the (p, 2) pairs."""
    involved, places = np.unique(pairs, return_inverse=True)
    first, second = places.reshape(pairs.shape).T
    details = _details(images[involved])
    return np.einsum("pd,pd->p", details[first], details[second])


def _details(images: np.ndarray) -> np.ndarray:
    means = _cell_means(images, DETAIL).repeat(DETAIL, axis=1).repeat(DETAIL, axis=2)
    height, width = means.shape[1:3]
    return _unit(images[:, :height, :width] - means)


def _unit(pictures: np.ndarray) -> np.ndarray:
    """Scale to vectors of length one; a flat picture stays zero and correlates with nothing."""
    vectors = pictures.reshape(len(pictures), math.prod(pictures.shape[1:]))
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
