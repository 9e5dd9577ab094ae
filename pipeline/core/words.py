"""Texts for people: a recipe's DropBlock, durations."""

from collections.abc import Mapping
from typing import Any

from pipeline.core.recipe import keep_prob

NO_DROPBLOCK = "no DropBlock"


def describe_blocks(size: int) -> str:
    """Name the shape that is dropped as one.

    >>> describe_blocks(5), describe_blocks(1)
    ('5x5 blocks', 'single units')
    """
    return "single units" if size == 1 else f"{size}x{size} blocks"


def describe_dropblock(recipe: Mapping[str, Any]) -> str:
    """Describe the DropBlock of a resolved recipe; the only place that puts it into words.

    >>> describe_dropblock({"drop_block_size": 5, "conv_keep_start": 1.0, "conv_keep_step": 0.01,
    ...                     "conv_keep_end": 0.9, "epochs": 6})
    '5x5 blocks, keep 1 to 0.95'
    """
    first, last = keep_prob(recipe, 0), keep_prob(recipe, recipe.get("epochs", 1) - 1)
    if last == 1:
        return NO_DROPBLOCK
    keep = f"{first:g}" if first == last else f"{first:g} to {last:g}"
    clamped = " clamped to the map" if recipe.get("drop_block_oversize") == "clamp" else ""
    return f"{describe_blocks(recipe['drop_block_size'])}{clamped}, keep {keep}"


def duration(seconds: float) -> str:
    """Format a duration for people: 40 s, 12 min, 3.5 h.

    >>> [duration(value) for value in (4.4, 89, 90, 5_400, 12_600)]
    ['4 s', '89 s', '2 min', '90 min', '3.5 h']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds <= 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
