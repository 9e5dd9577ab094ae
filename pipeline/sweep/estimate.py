"""What a training will take: its compute, and at what speed."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from pipeline.core.files import PREPARED
from pipeline.core.records import Prepared
from pipeline.settings.params import Params, check_params
from pipeline.settings.trainings import Training
from pipeline.sweep.ledger import Record

OVERHEAD = 20.0  # seconds that a training takes beside its epochs: clone, imports, evaluation
STEPS = 3  # timed where nothing of a network is known


class Estimate(NamedTuple):
    """What a training will take: at most, for it may stop early; seconds None where unknown."""

    pflop: float
    seconds: float | None


class Asked(NamedTuple):
    """A training to estimate: its network, its experiment's params, how many images it has."""

    network: str
    values: dict[str, Any]
    images: int


def estimate(
    asked: Sequence[Asked],
    known: Iterable[Record],
    folder: Path,
    environment: dict[str, str],
    elsewhere: bool,
) -> list[Estimate]:
    """Estimate trainings by counting operations; by the speed of those known, or of a few steps.

    In a process of its own, which TensorFlow leaves again. What cannot be estimated, because it
    takes too much memory here or cannot be trained, has no operations.

    Args:
        known: results of the machines that will train.
        folder: holds prepared data.
        environment: of a training.
        elsewhere: whether other machines train, of whose speed steps here tell nothing.
    """
    speeds: dict[str, list[float]] = {}
    for record in known:
        trial = Training.parse(record.label)
        if trial and record.pflop:
            speeds.setdefault(trial.network, []).append(record.seconds / record.pflop)
    speed = {network: median(seen) for network, seen in speeds.items()}
    try:
        with ProcessPoolExecutor(1, get_context("spawn"), _start, (environment,)) as pool:
            return pool.submit(_estimate_all, asked, speed, folder, elsewhere).result()
    except BrokenProcessPool:
        return [Estimate(0.0, OVERHEAD)] * len(asked)


def _start(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow has much to say of itself


def _estimate_all(
    asked: Sequence[Asked], speeds: dict[str, float], folder: Path, elsewhere: bool
) -> list[Estimate]:
    counted: dict[str, Estimate] = {}
    found = []
    for one in asked:
        kind = json.dumps([one.network, one.values[one.network], one.images])
        if kind not in counted:
            try:
                counted[kind] = _estimate(one, speeds, folder, elsewhere)
            except Exception:  # the training will say why
                counted[kind] = Estimate(0.0, OVERHEAD)
        found.append(counted[kind])
    return found


def _estimate(one: Asked, speeds: dict[str, float], folder: Path, elsewhere: bool) -> Estimate:
    from pipeline.training.loop import check_batch_size

    params = check_params(one.values)
    check_batch_size(one.network, params.network(one.network), one.images)
    pflop = count_pflop(one.network, params, one.images, folder)
    if one.network not in speeds:
        if elsewhere:
            return Estimate(pflop, None)
        speeds[one.network] = measure(one.network, params, folder)
    return Estimate(pflop, OVERHEAD + pflop * speeds[one.network])


def count_pflop(network: str, params: Params, images: int, folder: Path) -> float:
    """Return the compute of all epochs over so many images, in 1e15 floating-point operations."""
    from pipeline.networks.shared.models import build_model, training_pflop
    from pipeline.training.schedules import image_size

    recipe = params.network(network)
    model = build_model(network, recipe, len(Prepared(folder / PREPARED).class_names))
    seen = images // recipe.batch_size * recipe.batch_size
    sizes = Counter(image_size(recipe, epoch) for epoch in range(recipe.epochs))
    return sum(training_pflop(model, epochs * seen, size) for size, epochs in sizes.items())


def measure(network: str, params: Params, folder: Path) -> float:
    """Return the seconds a PFLOP of a few training steps on this machine, after one to warm up."""
    from pipeline.networks.shared.models import training_pflop
    from pipeline.training.batches import make_train_dataset
    from pipeline.training.compiling import new_model
    from pipeline.training.loop import check_batch_size
    from pipeline.training.machine import configure_backend

    prepared, recipe = Prepared(folder / PREPARED), params.network(network)
    configure_backend(params.train, 0)
    model = new_model(network, recipe, params.train, len(prepared.class_names))
    check_batch_size(network, recipe, len(prepared["train"]))
    batches = make_train_dataset(prepared["train"], recipe.batch_size, params.augment, 0)
    model.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0)
    start = time.perf_counter()
    model.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    seconds = time.perf_counter() - start
    return seconds / training_pflop(model, STEPS * recipe.batch_size)
