"""What changes during a training, as functions of epoch and step (counted from 0)."""

import itertools
import math
from collections.abc import Sequence

from pipeline.core.sections import Recipe

FIRST_SHARE = 0.04  # of the learning rate, from which it rises (as in PyTorch's OneCycleLR)


def learning_rate(params: Recipe, epoch: int, step: int = 0, steps: int = 1) -> float:
    """Return the learning rate of a step.

    Args:
        step: within the epoch, 0 to steps - 1.
        steps: the number of steps per epoch.

    `exponential` (the tutorial's) falls by a constant factor after each epoch. `one_cycle` (Smith
    and Topin, arXiv 1708.07120) rises and falls along half cosines. `linear` rises and falls along
    straight lines, with a constant part between. The last two end at 0.
    """
    if params.schedule == "exponential":
        return params.learning_rate * params.learning_rate_decay**epoch
    done = (epoch * steps + step) / (params.epochs * steps)
    if done < params.warmup:
        rise = done / params.warmup
        if params.schedule == "one_cycle":
            rise = (1 - math.cos(math.pi * rise)) / 2
        return params.learning_rate * (FIRST_SHARE + (1 - FIRST_SHARE) * rise)
    if params.schedule == "one_cycle":
        fall = (done - params.warmup) / (1 - params.warmup)
        return params.learning_rate * (1 + math.cos(math.pi * fall)) / 2
    return params.learning_rate * min(1.0, (1 - done) / params.cooldown)


def all_rates(params: Recipe, steps: int) -> list[float]:
    """Return the learning rate of every step of a training.

    Args:
        steps: of an epoch.
    """
    return [
        learning_rate(params, epoch, step, steps)
        for epoch in range(params.epochs)
        for step in range(steps)
    ]


def image_size(params: Recipe, epoch: int, full: int) -> int:
    """Return the side of the images in pixels: as in image_sizes, full in the last epoch.

    Args:
        full: the side of the prepared images.
    """
    for share, side in params.image_sizes:
        if epoch < min(round(share * params.epochs), params.epochs - 1):
            return int(side)
    return full


def should_stop(losses: Sequence[float], rising: int | None) -> bool:
    """Whether each of the last `rising` losses was strictly greater than the one before it."""
    if rising is None:
        return False
    last = losses[-rising - 1 :]
    return len(last) > rising and all(a < b for a, b in itertools.pairwise(last))
