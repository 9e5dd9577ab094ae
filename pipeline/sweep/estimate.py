"""Estimate the compute of trainings from their networks, before anything is trained."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from typing import NamedTuple

from pipeline.core.loading import load_keras
from pipeline.core.sections import Recipe
from pipeline.settings.identity import digest
from pipeline.settings.params import check_batch_size, check_params
from pipeline.sweep.plan import Point

# All keys that every recipe has, except those that decide how many images of which size are seen.
RATES = Recipe.model_fields.keys() - {"batch_size", "epochs", "image_sizes"}


class Cost(NamedTuple):
    """What a training takes at most: its compute, and what its network consists of.

    Attributes:
        pflop: 1e15 floating-point operations, of all epochs.
        parameters: the number of trainable weights.
    """

    pflop: float
    parameters: int


def count_all(points: Sequence[Point]) -> dict[str, float]:
    """Return each training's maximum PFLOP, by the result's key; 0 if unknown.

    Runs in a subprocess, so that TensorFlow is not loaded in this process.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), load_keras) as executor:
        try:
            return executor.submit(_count_all, points).result()
        except BrokenProcessPool:
            return {}


def _count_all(points: Sequence[Point]) -> dict[str, float]:
    found: dict[str, float] = {}
    counted: dict[str, float] = {}
    for point in points:
        params = check_params(point.values)
        for task in point.tasks:
            network, data = task.training.network, point.data
            recipe = params.recipe(network)
            sized = digest([network, data, recipe.model_dump(exclude=RATES)])
            if data and sized not in counted:
                counted[sized] = 0.0
                with suppress(Exception):  # the training itself will report the error
                    cost = estimate(network, recipe, data.images, data.classes, data.image_size)
                    counted[sized] = cost.pflop
            found[task.result] = counted[sized]
    return found


def estimate(network: str, recipe: Recipe, images: int, classes: int, side: int) -> Cost:
    """Return what all epochs of a training take.

    Args:
        images: the number of training images.
        side: of the images, in pixels.

    Raises:
        UserError: the network cannot be built, or the images do not fill a batch.
    """
    from pipeline.networks.shared.models import build_model, trainable_parameters, training_pflop
    from pipeline.training.schedules import image_size

    check_batch_size(network, recipe, images)
    model = build_model(network, recipe, classes, side)
    seen = images // recipe.batch_size * recipe.batch_size
    sizes = Counter(image_size(recipe, epoch, side) for epoch in range(recipe.epochs))
    pflop = sum(training_pflop(model, epochs * seen, size) for size, epochs in sizes.items())
    return Cost(pflop, trainable_parameters(model))
