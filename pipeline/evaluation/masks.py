"""Measure how much DropBlock drops in a network, on masks that its layers draw."""

from typing import Any

import keras
import numpy as np

from pipeline.networks.shared.dropblock import DropBlock2D

SAMPLES = 64  # masks of each layer
SHOWN = 4  # channels of the first mask, for the figure


def measure_drop_blocks(
    network: keras.Model, keep: float
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Draw masks with each DropBlock layer at keep probability `keep`.

    Returns:
        A row per layer: the map's size, the block size in effect (0: nothing is dropped), the share
        of units to drop, the share expected given that blocks overlap, and the share measured; and
        a (h, w, 4) mask per layer, by name.
    """
    rows: list[dict[str, Any]] = []
    masks = {}
    for layer in (layer for layer in network.layers if isinstance(layer, DropBlock2D)):
        _, height, width, channels = layer.output.shape
        block = layer.block_size_on(height, width)
        mask = np.ones((SAMPLES, height, width, channels), np.float32)
        if block:
            layer.keep_prob.assign(keep)
            layer.seed_generator.state.assign([0, len(rows)])
            mask = np.asarray(layer.sample_mask(mask.shape))
        rows.append(
            {
                "layer": layer.name,
                "map": f"{height}x{width}",
                "channels": channels,
                "block_size": block,
                "to_drop": 1 - keep,
                "expected": expected_share(height, width, block, keep) if block else 0.0,
                "measured": float(1 - mask.mean(dtype=np.float64)),
            }
        )
        masks[layer.name] = mask[0, :, :, :SHOWN]
    return rows, masks


def expected_share(height: int, width: int, block: int, keep: float) -> float:
    """Return the expected share of dropped units, which is less than 1 - keep if blocks overlap.

    A unit is kept if none of the blocks that would cover it was drawn.
    """
    rows, columns = height - block + 1, width - block + 1
    gamma = (1 - keep) * height * width / (block**2 * rows * columns)
    covering = np.outer(*(np.convolve(np.ones(n), np.ones(block)) for n in (rows, columns)))
    return float(1 - ((1 - gamma) ** covering).mean())
