"""What a training will take: its compute, and at what speed."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from pipeline.core.files import PREPARED
from pipeline.core.params import Params, check_params
from pipeline.core.records import Prepared
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Experiment, Training

OVERHEAD = 20.0  # seconds that a training takes beside its epochs: clone, imports, evaluation
STEPS = 3  # timed where nothing of a network is known


class Estimate(NamedTuple):
    """What a training will take: at most, for it may stop early."""

    pflop: float
    seconds: float


def estimate(
    trainings: Iterable[Training],
    experiments: Iterable[Experiment],
    known: Iterable[Record],
    folder: Path,
    environment: dict[str, str],
) -> list[Estimate]:
    """Estimate trainings by counting operations; by the speed of those known, or of a few steps.

    In a process of its own, which TensorFlow leaves again.

    Args:
        known: results of the same machine.
        folder: holds prepared data.
        environment: of a training.
    """
    values = {experiment.name: experiment.values for experiment in experiments}
    asked = [(t.trial.network, values[t.evaluations[0].experiment]) for t in trainings]
    speeds: dict[str, list[float]] = {}
    for record in known:
        if record.pflop:
            network = record.label.rsplit("-", 2)[0]
            speeds.setdefault(network, []).append(record.seconds / record.pflop)
    with ProcessPoolExecutor(1, get_context("spawn"), _start, (environment,)) as pool:
        speed = {network: median(seen) for network, seen in speeds.items()}
        return pool.submit(_estimate_all, asked, speed, folder).result()


def _start(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TensorFlow has much to say of itself


def _estimate_all(
    asked: list[tuple[str, dict[str, Any]]], speeds: dict[str, float], folder: Path
) -> list[Estimate]:
    counted: dict[str, float] = {}
    found = []
    for network, values in asked:
        kind = json.dumps([network, values[network]])
        if kind not in counted:
            params = check_params(values)
            counted[kind] = count_pflop(network, params, folder)
            if network not in speeds:
                speeds[network] = measure(network, params, folder)
        pflop = counted[kind]
        found.append(Estimate(pflop, OVERHEAD + pflop * speeds[network]))
    return found


def count_pflop(network: str, params: Params, folder: Path) -> float:
    """Return the compute of all epochs, in 1e15 floating-point operations."""
    from pipeline.networks.shared.models import build_model, training_pflop
    from pipeline.training.schedules import image_size

    prepared, recipe = Prepared(folder / PREPARED), params.network(network)
    model = build_model(network, recipe, len(prepared.class_names))
    steps = len(prepared["train"]) // recipe.batch_size
    sizes = Counter(image_size(recipe, epoch) for epoch in range(recipe.epochs))
    images = steps * recipe.batch_size
    return sum(training_pflop(model, epochs * images, size) for size, epochs in sizes.items())


def measure(network: str, params: Params, folder: Path) -> float:
    """Return the seconds a PFLOP of a few training steps on this machine, after one to warm up."""
    from pipeline.networks.shared.models import training_pflop
    from pipeline.training.batches import make_train_dataset
    from pipeline.training.machine import configure_backend
    from pipeline.training.optimizers import new_model

    prepared, recipe = Prepared(folder / PREPARED), params.network(network)
    configure_backend(params.train, 0)
    model = new_model(network, recipe, params.train, len(prepared.class_names))
    batches = make_train_dataset(prepared["train"], recipe.batch_size, params.augment, 0)
    model.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0)
    start = time.perf_counter()
    model.fit(batches, steps_per_epoch=STEPS, shuffle=False, verbose=0)
    seconds = time.perf_counter() - start
    return seconds / training_pflop(model, STEPS * recipe.batch_size)
