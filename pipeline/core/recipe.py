"""What a recipe means for a training: inheritance, variants of DropBlock, layer sizes.

A change here changes results, so the stage `train` depends on this file.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

# `nodrop` is the ablation: the same network and recipe without DropBlock. `unitdrop` makes every
# network drop single units with the same probability in all epochs, as the tutorial's part 6 does.
Variant = Literal["dropblock", "nodrop", "unitdrop"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
DROP_KEYS = (
    "drop_block_size",
    "drop_block_oversize",
    "conv_keep_start",
    "conv_keep_step",
    "conv_keep_end",
)
# What a variant changes in a recipe with DropBlock.
CHANGES: dict[Variant, dict[str, float]] = {
    "dropblock": {},
    "nodrop": {"conv_keep_start": 1.0, "conv_keep_step": 0.0, "conv_keep_end": 1.0},
    "unitdrop": {
        "drop_block_size": 1,
        "conv_keep_start": 0.85,
        "conv_keep_step": 0.0,
        "conv_keep_end": 0.85,
    },
}


def resolve(
    values: Mapping[str, Any], network: str, variant: Variant = "dropblock"
) -> dict[str, Any]:
    """Return a network's recipe: section `recipe`, overridden by the network's own section.

    Args:
        values: params.yaml, by section.

    >>> resolve({"recipe": {"epochs": 8, "momentum": 0.9}, "model": {"epochs": 6}}, "model")
    {'epochs': 6, 'momentum': 0.9}
    """
    merged = {**(values.get("recipe") or {}), **(values.get(network) or {})}
    return {**merged, **(CHANGES[variant] if "conv_keep_start" in merged else {})}


def scaled(count: int, width: float) -> int:
    """Return how many filters or units a layer has at a given width, at least one.

    >>> scaled(64, width=0.25)
    16
    """
    return max(1, round(count * width))


def drops_blocks(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe drops anything, if trained for enough epochs."""
    if "conv_keep_start" not in recipe or recipe["conv_keep_end"] == 1:
        return False
    return recipe["conv_keep_start"] < 1 or recipe["conv_keep_step"] > 0


def keep_prob(recipe: Mapping[str, Any], epoch: int) -> float:
    """Return DropBlock's keep probability in an epoch, counted from 0.

    It falls by a constant step per epoch until conv_keep_end. 1 for a recipe without DropBlock.

    >>> keep_prob({"conv_keep_start": 1.0, "conv_keep_step": 0.25, "conv_keep_end": 0.4}, epoch=2)
    0.5
    """
    if "conv_keep_start" not in recipe:
        return 1.0
    falling = recipe["conv_keep_start"] - recipe["conv_keep_step"] * epoch
    return max(recipe["conv_keep_end"], falling)
