"""Run trainings in parallel with Ray: as many as the GPUs or CPU cores allow."""

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.core.cores import usable_cores
from pipeline.core.errors import UserError, first_line
from pipeline.sweep.fence import GRACE, LAST, ParentLostError
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Task
from pipeline.sweep.task import Place, TrainingFailedError, train
from pipeline.versioning.repository import Stages

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # the same priority as in `dvc repro`
# If a process of Ray's own is killed, Ray would print pages of its state.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

JOIN_TIMEOUT = 600.0  # seconds to wait for a cluster's machines to join
POLL_SECONDS = 1.0  # between checks for machines or output lines
CANCEL_TIMEOUT = GRACE + LAST + 2 * POLL_SECONDS  # seconds that ending a training may take
RETRIES = 3  # for a training whose worker or machine is lost
OBJECTS = 128 << 20  # bytes of Ray's object store, which holds only the snapshot
WAITING = "no machine can run a training; waiting for one to join the cluster"
Ended = tuple[Task, Record | TrainingFailedError]


@contextmanager
def pool(cpus: int, cluster: bool) -> Iterator[None]:
    """Start Ray on this machine for this process only; or use the cluster that runs this job.

    Args:
        cpus: CPU cores per training, if there is no GPU.

    Raises:
        UserError: Ray cannot start, or there are too few CPU cores for a single training.
    """
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    own = {"include_dashboard": False, "object_store_memory": OBJECTS,
           "_node_ip_address": "127.0.0.1"}  # fmt: skip
    if (cores := usable_cores()) < (os.cpu_count() or 1):  # Ray would use all
        own["num_cpus"] = cores
    try:
        ray.init("auto", **quiet) if cluster else ray.init("local", **quiet, **own)
    except Exception as error:  # Ray raises many kinds
        raise UserError(f"Ray cannot start: {first_line(error)}; repeat the command") from None
    try:
        deadline = time.monotonic() + (JOIN_TIMEOUT if cluster else 0)
        if cluster and not slots(cpus, takes_gpu()):
            print(WAITING, flush=True)
        while not slots(cpus, takes_gpu()):
            if time.monotonic() > deadline:
                there = ray.cluster_resources().get("CPU", 0)
                raise UserError(
                    f"--cpus-per-training {cpus}: no machine has that many CPU cores ({there:.0f} "
                    "in total)"
                )
            time.sleep(POLL_SECONDS)
        yield
    finally:
        ray.shutdown()


def takes_gpu() -> bool:
    """Whether trainings use GPUs: if there are any."""
    return bool(ray.cluster_resources().get("GPU"))


def slots(cpus: int, gpu: bool) -> int:
    """Return how many trainings run at once: one per GPU, or else per `cpus` cores of a machine."""
    name, each = ("GPU", 1) if gpu else ("CPU", cpus)
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(int(machine.get(name, 0) // each) for machine in machines)


class OutputCollector:
    """A Ray actor that hands the Place to trainings, and collects their lines until they are shown.

    The sweep's own process must own no object in Ray's store: if Ray's process on this machine is
    killed, Ray tries to recover such objects and ends the process that owns them at once.
    """

    def __init__(self, place: Place) -> None:
        self._place = ray.put(place)
        self._lines: list[str] = []

    def place(self) -> ray.ObjectRef:
        """Return a reference to the place, whose code takes megabytes."""
        return self._place

    def add(self, line: str) -> None:
        """Add a line."""
        self._lines.append(line)

    def take(self) -> list[str]:
        """Return the lines added since the last call."""
        taken, self._lines = self._lines, []
        return taken


def train_all(
    tasks: Sequence[tuple[Task, Stages]], place: Place, cpus: int, say: Callable[[str], Any]
) -> Generator[Ended, None, None]:
    """Yield each training as it ends. On Ctrl-C, or if the caller stops, the others are ended.

    Ended trainings keep their checkpoints, and their MLflow runs end as KILLED.

    Args:
        tasks: each with the entry of its data in dvc.lock.
        cpus: CPU cores per training, if there is no GPU.
        say: a function that shows a line.
    """
    gpu = takes_gpu()
    takes = {"num_gpus": 1, "num_cpus": 0} if gpu else {"num_cpus": cpus}
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(OutputCollector).options(num_cpus=0, scheduling_strategy=here)
    collector = actor.remote(place)
    shared = ray.get(collector.place.remote())
    again = {"max_retries": RETRIES, "retry_exceptions": [ray.exceptions.WorkerCrashedError]}
    remote = ray.remote(_train).options(name="train", **again, **takes)
    pending: dict[ray.ObjectRef, Task] = {}
    first: dict[str, ray.ObjectRef] = {}  # by the training's identity
    for task, data in tasks:
        reference = remote.remote(task, data, collector, shared, first.get(task.key))
        first.setdefault(task.key, reference)
        pending[reference] = task
    room = True
    try:
        while pending:
            ended = ray.wait(list(pending), timeout=POLL_SECONDS)[0]
            with suppress(ray.exceptions.RayError):  # losing lines must not stop the sweep
                for line in ray.get(collector.take.remote(), timeout=GRACE):
                    say(line)
            for reference in ended:
                yield pending.pop(reference), _outcome(reference)
            if not ended:
                had, room = room, bool(slots(cpus, gpu))
                if had and not room:
                    say(WAITING)
    finally:
        for reference in pending:
            ray.cancel(reference)
        if pending:
            ray.wait(list(pending), num_returns=len(pending), timeout=CANCEL_TIMEOUT)


def _train(
    task: Task, prepared: Stages, collector: Any, place: Place, _first: Record | None
) -> Record:
    """Run a training. Ray starts it after `_first`, the same training with another evaluation.

    It must not wait for Ray: while a task waits, Ray starts another one on its cores.
    """
    try:
        return train(task, place, prepared, collector)
    except ParentLostError:  # Ray itself was killed; this process is about to end as well
        raise ray.exceptions.WorkerCrashedError from None


def _outcome(reference: ray.ObjectRef) -> Record | TrainingFailedError:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        lost = isinstance(cause, ray.exceptions.RayError)
        said = f"Ray lost its process or machine: {first_line(cause)}" if lost else str(cause)
        return TrainingFailedError(said)
