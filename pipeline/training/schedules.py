"""What changes during a training, as functions of epoch and step (counted from 0)."""

from pipeline.core.sections import Recipe

FIRST_SHARE = 0.04  # of the learning rate, from which it rises (as in PyTorch's OneCycleLR)


def learning_rate(recipe: Recipe, epoch: int, step: int = 0, steps: int = 1) -> float:
    """Return the learning rate of a step.

    Args:
        step: within the epoch, 0 to steps - 1.
        steps: the number of steps per epoch.

    `exponential` (the tutorial's) falls by a constant factor after each epoch. `linear` rises and
    falls along straight lines, with a constant part between, and reaches 0 after the last step.
    """
    if recipe.schedule == "exponential":
        return recipe.learning_rate * recipe.learning_rate_decay**epoch
    done = (epoch * steps + step) / (recipe.epochs * steps)
    if done < recipe.warmup:
        rise = done / recipe.warmup
        return recipe.learning_rate * (FIRST_SHARE + (1 - FIRST_SHARE) * rise)
    return recipe.learning_rate * min(1.0, (1 - done) / recipe.cooldown)


def all_rates(recipe: Recipe, steps: int) -> list[float]:
    """Return the learning rate of every step of a training.

    Args:
        steps: of an epoch.
    """
    return [
        learning_rate(recipe, epoch, step, steps)
        for epoch in range(recipe.epochs)
        for step in range(steps)
    ]


def image_size(recipe: Recipe, epoch: int, full: int) -> int:
    """Return the side of an epoch's images in pixels, by image_sizes; the last epoch's is full.

    Args:
        full: the side of the prepared images.
    """
    for share, side in recipe.image_sizes:
        if epoch < min(round(share * recipe.epochs), recipe.epochs - 1):
            return int(side)
    return full
