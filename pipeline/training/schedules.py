"""The tutorial's schedules and stopping rule, as functions of the epoch (counted from 0)."""

import itertools
from collections.abc import Sequence

from pipeline.core.declarations import Recipe
from pipeline.core.trials import Variant

# What a variant of the comparison changes in every network's recipe.
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


def of_variant(params: Recipe, variant: Variant) -> Recipe:
    """Return a network's recipe as a variant has it: the same DropBlock in all, or none."""
    return params.model_copy(update=CHANGES[variant])


def learning_rate(params: Recipe, epoch: int) -> float:
    """Return the learning rate: it falls by a constant factor after each epoch."""
    return params.learning_rate * params.learning_rate_decay**epoch


def keep_prob(params: Recipe, epoch: int) -> float:
    """Return DropBlock's keep probability: it falls by a constant step down to its end."""
    return max(params.conv_keep_end, params.conv_keep_start - params.conv_keep_step * epoch)


def should_stop(losses: Sequence[float], rising: int) -> bool:
    """Whether the last `rising` losses each were strictly greater than the one before."""
    last = losses[-rising - 1 :]
    return len(last) > rising and all(a < b for a, b in itertools.pairwise(last))
