"""Estimate the compute of trainings from their networks, before anything is trained."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from pipeline.core.sections import Recipe
from pipeline.settings.identity import setting_of
from pipeline.settings.params import Params, check_params
from pipeline.sweep.plan import Data, Point


def count_all(points: Sequence[Point]) -> dict[str, float]:
    """Return each training's maximum PFLOP, by the result's key; 0 if unknown.

    Runs in a subprocess, so that TensorFlow is not loaded in this process.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), _silence) as executor:
        try:
            return executor.submit(_count_all, points).result()
        except BrokenProcessPool:
            return {}


def _silence() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow logs a lot when it starts


def _count_all(points: Sequence[Point]) -> dict[str, float]:
    found: dict[str, float] = {}
    counted: dict[str, float] = {}  # all seeds of a setting take as much
    for point in points:
        params = check_params(point.values)
        for task in point.tasks if point.data else []:
            if (setting := setting_of(task.key)) not in counted:
                counted[setting] = _count(task.training.network, point, params)
            found[task.result] = counted[setting]
    return found


def _count(network: str, point: Point, params: Params) -> float:
    assert point.data is not None
    try:
        return count(network, params.network(network), point.data)
    except Exception:  # the training itself will report the error
        return 0.0


def count(network: str, recipe: Recipe, data: Data) -> float:
    """Return the compute of all epochs, in 1e15 floating-point operations."""
    from pipeline.networks.shared.models import build_model, training_pflop
    from pipeline.training.loop import check_batch_size
    from pipeline.training.schedules import image_size

    check_batch_size(network, recipe, data.images)
    model = build_model(network, recipe, data.classes)
    seen = data.images // recipe.batch_size * recipe.batch_size
    sizes = Counter(image_size(recipe, epoch) for epoch in range(recipe.epochs))
    return sum(training_pflop(model, epochs * seen, size) for size, epochs in sizes.items())
