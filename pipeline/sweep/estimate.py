"""What a training will take: its compute, and at what speed."""

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from statistics import median
from typing import NamedTuple

import numpy as np

from pipeline.core.records import IMAGE_SHAPE, make_records
from pipeline.core.sections import Recipe
from pipeline.settings.identity import setting_of
from pipeline.settings.params import Params, check_params
from pipeline.settings.trainings import Training
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Data, Point

OVERHEAD = 20.0  # seconds that a training takes beside its epochs: clone, imports, evaluation
STEPS = 3  # timed where nothing of a network is known


class Estimate(NamedTuple):
    """What a training will take: at most, for it may stop early; seconds None where unknown."""

    pflop: float
    seconds: float | None


UNKNOWN = Estimate(0.0, OVERHEAD)  # of what takes too much memory here, or cannot be trained
Speeds = dict[str, float | None]  # seconds for a PFLOP, by network


def estimate(
    points: Sequence[Point], known: Iterable[Record], environment: dict[str, str], elsewhere: bool
) -> dict[str, Estimate]:
    """Estimate all trainings, by the speed of those known or of a few steps, by the result's key.

    In a process of its own, which TensorFlow leaves again.

    Args:
        known: results of the machines that will train.
        environment: of a training.
        elsewhere: whether other machines train, whose speed steps here do not tell.
    """
    seen: dict[str, list[float]] = {}
    for record in known:
        if (training := Training.parse(record.label)) and record.pflop:
            seen.setdefault(training.network, []).append(record.seconds / record.pflop)
    speeds: Speeds = {network: median(found) for network, found in seen.items()}
    with ProcessPoolExecutor(1, get_context("spawn"), _start, (environment,)) as executor:
        try:
            return executor.submit(_estimate_all, points, speeds, elsewhere).result()
        except BrokenProcessPool:
            return {task.result: UNKNOWN for point in points for task in point.tasks}


def _start(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow has much to say of itself


def _estimate_all(points: Sequence[Point], speeds: Speeds, elsewhere: bool) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    counted: dict[str, Estimate] = {}  # all seeds of a setting take as much
    for point in points:
        params = check_params(point.values)
        for task in point.tasks:
            if (setting := setting_of(task.key)) not in counted:
                network = task.training.network
                counted[setting] = _estimate(network, point, params, speeds, elsewhere)
            found[task.result] = counted[setting]
    return found


def _estimate(
    network: str, point: Point, params: Params, speeds: Speeds, elsewhere: bool
) -> Estimate:
    from pipeline.training.loop import check_batch_size

    assert point.data is not None
    try:
        check_batch_size(network, params.network(network), point.data.images)
        pflop = count_pflop(network, params.network(network), point.data)
        if network not in speeds:
            speeds[network] = None if elsewhere else measure(network, params, point.data.classes)
        speed = speeds[network]
        return Estimate(pflop, None if speed is None else OVERHEAD + pflop * speed)
    except Exception:  # the training will say why
        return UNKNOWN


def count_pflop(network: str, recipe: Recipe, data: Data) -> float:
    """Return the compute of all epochs, in 1e15 floating-point operations."""
    from pipeline.networks.shared.models import build_model, training_pflop
    from pipeline.training.schedules import image_size

    model = build_model(network, recipe, data.classes)
    seen = data.images // recipe.batch_size * recipe.batch_size
    sizes = Counter(image_size(recipe, epoch) for epoch in range(recipe.epochs))
    return sum(training_pflop(model, epochs * seen, size) for size, epochs in sizes.items())


def measure(network: str, params: Params, classes: int) -> float:
    """Return the seconds a PFLOP of a few training steps on this machine, after one to warm up."""
    from pipeline.networks.shared.models import training_pflop
    from pipeline.training.batches import make_train_dataset
    from pipeline.training.compiling import new_model
    from pipeline.training.machine import configure_backend

    recipe = params.network(network)
    configure_backend(params.train, 0)
    model = new_model(network, recipe, params.train, classes)
    count = STEPS * recipe.batch_size
    images = np.random.default_rng(0).integers(0, 256, (count, *IMAGE_SHAPE), np.uint8)
    records = make_records(images, np.arange(count) % classes, np.zeros(count))
    batches = make_train_dataset(records, recipe.batch_size, params.augment, 0)
    model.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0)
    start = time.perf_counter()
    model.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    return (time.perf_counter() - start) / training_pflop(model, count)
