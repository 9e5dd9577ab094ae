"""Trainings at the same time, by Ray: as many as there are GPUs, or processors for."""

import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from pipeline.core.errors import UserError
from pipeline.sweep.fence import GRACE
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Training
from pipeline.sweep.snapshot import Snapshot
from pipeline.sweep.task import Place, TrainingFailedError, train
from pipeline.versioning.repository import Stages

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # a training asks for as much as `dvc repro`'s

import ray

JOINING = 600.0  # seconds in which a cluster's machines may still be on their way
LOOK = 2.0  # seconds between two looks for them
RETRIES = 3  # of a training whose worker or machine is lost
OBJECTS = 128 << 20  # bytes of Ray's store, which holds the snapshot only
Outcome = list[Record] | TrainingFailedError


@contextmanager
def cluster_pool(cpus: int) -> Iterator[None]:
    """Use the cluster that this process was started on as a job, once it has a place to train.

    Args:
        cpus: processors of a training where there is no GPU.
    """
    ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
    try:
        deadline = time.monotonic() + JOINING
        while not count_slots(cpus) and time.monotonic() < deadline:
            time.sleep(LOOK)
        yield
    finally:
        ray.shutdown()


@contextmanager
def local_pool() -> Iterator[None]:
    """Start Ray on this machine, for this process alone and open to it alone."""
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=OBJECTS,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )
    try:
        yield
    finally:
        ray.shutdown()


def takes_gpu() -> bool:
    """Whether a training takes a GPU: where there are any."""
    return bool(ray.cluster_resources().get("GPU"))


def slots(cpus: int) -> int:
    """Return how many trainings run at once, of so many processors each where there is no GPU.

    Raises:
        UserError: not a single one.
    """
    if room := count_slots(cpus):
        return room
    there = ray.cluster_resources().get("CPU", 0)
    raise UserError(f"--cpus-per-training {cpus}: there are {there:.0f} processors in all")


def count_slots(cpus: int) -> int:
    """Return how many trainings there is room for at once, 0 where none is."""
    there = ray.cluster_resources()
    return int(there["GPU"]) if takes_gpu() else int(there.get("CPU", 0) // cpus)


def train_all(
    trainings: Sequence[tuple[Training, Stages]], snapshot: Snapshot, place: Place, cpus: int
) -> Generator[tuple[Training, Outcome], None, None]:
    """Yield each training as it ends. On Ctrl-C, or where the caller stops, the others are ended.

    They keep their checkpoints, and their MLflow runs end as KILLED.

    Args:
        trainings: each with dvc.lock's entry of its data (see task.train).
        cpus: processors of a training where there is no GPU.
    """
    takes = {"num_gpus": 1, "num_cpus": 0} if takes_gpu() else {"num_cpus": cpus}
    task = ray.remote(train).options(max_retries=RETRIES, **takes)
    shared = ray.put(snapshot)
    pending = {
        task.remote(training, shared, place, prepared): training for training, prepared in trainings
    }
    try:
        while pending:
            for reference in ray.wait(list(pending))[0]:
                training = pending.pop(reference)
                yield training, _outcome(reference)
    finally:
        for reference in pending:
            ray.cancel(reference)
        if pending:
            ray.wait(list(pending), num_returns=len(pending), timeout=GRACE)


def _outcome(reference: ray.ObjectRef) -> Outcome:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return TrainingFailedError(str(error.cause))
    except ray.exceptions.RayError as error:
        return TrainingFailedError(f"its process or machine was lost too often: {error}")
