"""One training of a sweep, in a clone of its own on whatever machine it lands on."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import filelock

from pipeline.core.files import NEEDS_GPU, read_json
from pipeline.evaluation.outputs import LOGGED_MODEL, METRICS
from pipeline.settings.params import PARAMS_FILE
from pipeline.settings.trainings import Training
from pipeline.sweep.checkpoints import shared_checkpoints
from pipeline.sweep.fence import run_fenced
from pipeline.sweep.ledger import Ledger, Objects, Record
from pipeline.sweep.plan import Evaluation, Training, digest, override_params
from pipeline.sweep.snapshot import Snapshot, dvc, last_lines, unpack, user_environment
from pipeline.tracking.context import SWEEP_TRAINING
from pipeline.versioning.repository import Stages, read_lock, write_lock
from pipeline.versioning.storage import Storage, local_storage, remote_storage

PAUSES = (5.0, 30.0)  # seconds before a training that failed is tried again: a server may be gone
PUSH_PAUSES = (5.0, 15.0, 30.0, 60.0, 120.0)  # a result is worth waiting for
Result = TypeVar("Result")


class Place(NamedTuple):
    """Where trainings run and where their results go.

    Attributes:
        ledger: names where results are recorded, for one MLflow server may see several ledgers.
        root: the main repository, whose cache, store and checkpoints are shared; None on the
            machines of a cluster, which share DVC's remote only.
        cache: DVC's cache of the main repository.
        environment: of each training.
        gpu: whether each is given a GPU.
    """

    ledger: str
    root: Path | None
    cache: Path | None
    environment: dict[str, str]
    gpu: bool

    def mark(self, training: Training) -> str:
        """Return what tags the MLflow runs of a training, of which one counts."""
        return digest([self.ledger, training.key])


class TrainingFailedError(Exception):
    """A training that failed for good; the message is the end of what it said."""


def train(training: Training, snapshot: Snapshot, place: Place, prepared: Stages) -> list[Record]:
    """Train and evaluate, or take what the ledger has; return the record of each evaluation.

    Args:
        prepared: dvc.lock's entry of the data, where they are in DVC's remote.

    Raises:
        TrainingFailedError: it failed, after some more attempts.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # inherited from a shell's background job
        signal.signal(signal.SIGINT, signal.default_int_handler)  # by which Ray cancels a task
    with held(place.root, training.key), scratch_folder(place.root) as scratch:
        clone = scratch / "clone"
        unpack(snapshot, clone, place.cache)
        if place.root is not None:
            reproduce = partial(_reproduce, training, snapshot, place, clone)
            return _evaluate_all(training, clone, local_ledger(place.root), reproduce)
        write_lock(clone, prepared)
        storage = remote_storage(clone)
        reproduce = partial(_reproduce_once, training, snapshot, place, clone, storage)
        with shared_checkpoints(clone / ".training", storage.within("sweep", training.key)):
            return _evaluate_all(training, clone, remote_ledger(storage), reproduce)


def local_ledger(root: Path) -> Ledger:
    """Return the ledger of the sweeps on this machine."""
    return Ledger(local_storage(root / ".training" / "sweep"))


def remote_ledger(storage: Storage) -> Ledger:
    """Return the ledger of the sweeps on clusters."""
    return Ledger(storage.within("sweep", "ledger"))


def _evaluate_all(
    training: Training, clone: Path, ledger: Ledger, reproduce: Callable[[Evaluation], Record]
) -> list[Record]:
    original = (clone / PARAMS_FILE).read_bytes()
    records = []
    for evaluation in training.evaluations:
        record = persist(partial(ledger.get, evaluation.key))
        if record is None:
            (clone / PARAMS_FILE).write_bytes(original)
            override_params(clone, evaluation.overrides)
            record = persist(partial(ledger.add, evaluation.key, reproduce(evaluation)))
        records.append(record)
    return records


def _reproduce_once(
    training: Training,
    snapshot: Snapshot,
    place: Place,
    clone: Path,
    storage: Storage,
    evaluation: Evaluation,
) -> Record:
    """Evaluate the training that is in DVC's remote, or the first that comes there.

    Another evaluation of it may have been asked for before, or at the same time elsewhere.
    """
    trained = Ledger(storage.within("sweep", "trained"))
    first = persist(partial(trained.get, training.key))
    if first and Objects(storage).missing(first.stages):
        trained.remove(training.key)
        first = None
    if first:
        take_training(clone, first)
    new = _reproduce(training, snapshot, place, clone, evaluation)
    first = persist(partial(trained.add, training.key, new))
    if first.run_id == new.run_id:
        return new
    take_training(clone, first)
    return _reproduce(training, snapshot, place, clone, evaluation)


def take_training(clone: Path, record: Record) -> None:
    """Have DVC take a record's training for the clone's, in place of any other."""
    kept = {name: entry for name, entry in record.stages.items() if not name.startswith("evaluate")}
    for out in (out for entry in kept.values() for out in entry["outs"]):
        path = clone / out["path"]
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_lock(clone, {**read_lock(clone), **kept})


def _reproduce(
    training: Training, snapshot: Snapshot, place: Place, clone: Path, evaluation: Evaluation
) -> Record:
    """Train and evaluate in the clone, and push the result where the cache is not shared."""
    target = f"evaluate@{training.trial.label}"
    environment = {
        **(user_environment() if place.root is None else {}),
        **place.environment,
        "DVC_EXP_NAME": evaluation.experiment,
        "DVC_EXP_BASELINE_REV": snapshot.head,
        "DVC_SITE_CACHE_DIR": str(clone.parent / "site"),
        SWEEP_TRAINING: place.mark(training),
        **({NEEDS_GPU: "1"} if place.gpu else {}),
    }
    if place.root is not None:
        # As in `dvc exp run --queue`: the main repository's checkpoints, locks of GPUs, store.
        environment["DVC_ROOT"] = str(place.root)
        _run(dvc("repro", target), clone, environment, PAUSES)
        return read_record(clone, training.trial)
    _run(dvc("repro", "--pull", "--no-run-cache", target), clone, environment, PAUSES)
    record = read_record(clone, training.trial)

    def push() -> None:
        _run(dvc("push", "--with-deps", target), clone, environment, ())
        if lost := Objects(remote_storage(clone)).missing(record.stages):
            raise TrainingFailedError(f"`dvc push` left out {', '.join(lost)}")

    persist(push)
    return record


def _run(
    command: list[str], clone: Path, environment: dict[str, str], pauses: Sequence[float]
) -> None:
    """Run a command, after a pause once more where it fails.

    Raises:
        TrainingFailedError: it failed at the last attempt too.
    """
    for pause in (*pauses, None):
        with (clone.parent / "log").open("w+") as log:
            if run_fenced(command, clone, environment, log) == 0:
                return
            log.seek(0)
            said = log.read()
        if pause is None:
            raise TrainingFailedError(last_lines(said))
        time.sleep(pause)


def persist(action: Callable[[], Result]) -> Result:
    """Try again where the storage is away for a while, whatever its error."""
    for pause in PUSH_PAUSES:
        try:
            return action()
        except Exception as error:
            print(f"tried again in {pause:.0f} s: {error}", flush=True)
            time.sleep(pause)
    return action()


def thread_limits(threads: int | None) -> dict[str, str]:
    """Return what keeps TensorFlow to so many threads."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) if threads else {}


def read_record(clone: Path, trial: Training) -> Record:
    """Collect what the ledger keeps of an evaluated training."""
    label, folder = trial.label, clone / trial.evaluation_folder
    metrics = read_json(folder / METRICS)
    stages = read_lock(clone)
    return Record(
        label,
        read_json(folder / LOGGED_MODEL)["run_id"],
        metrics["pflop"],
        metrics["training_seconds"],
        {name: stages[name] for name in ("prepare", f"train@{label}", f"evaluate@{label}")},
    )


@contextmanager
def held(root: Path | None, key: str) -> Iterator[None]:
    """Hold a training: of two sweeps at once on this machine, one waits for the other's.

    Machines of a cluster don't wait: there the first result counts.
    """
    if root is None:
        yield
        return
    folder = root / ".training" / "sweep"
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / f"{key}.lock"):
        yield


@contextmanager
def scratch_folder(root: Path | None) -> Iterator[Path]:
    """Make a folder that is gone afterwards, with those of processes that were killed.

    Beside DVC's cache, so that files can be linked; without a root among temporary files.
    """
    own = Path(tempfile.gettempdir(), f"sweep-{os.getuid()}")  # other users have theirs
    parent = own if root is None else root / ".dvc" / "tmp" / "sweep"
    parent.mkdir(parents=True, exist_ok=True)
    for lock in parent.glob("*.lock"):
        with suppress(filelock.Timeout), filelock.FileLock(lock, timeout=0):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    with filelock.FileLock(f"{folder}.lock"):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            Path(f"{folder}.lock").unlink(missing_ok=True)
