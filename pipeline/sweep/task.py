"""One training of a sweep, in a clone of its own on whatever machine it lands on."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import filelock

from pipeline.core.files import NEEDS_GPU, OUTPUTS, read_json, read_yaml
from pipeline.core.repeat import repeated
from pipeline.evaluation.outputs import METRICS
from pipeline.settings.params import PARAMS_FILE
from pipeline.settings.trainings import Training
from pipeline.sweep.checkpoints import shared_checkpoints
from pipeline.sweep.fence import run_fenced
from pipeline.sweep.ledger import Ledger, Record
from pipeline.sweep.plan import Task
from pipeline.versioning.command import dvc, last_lines, user_environment
from pipeline.versioning.overrides import override_params
from pipeline.versioning.repository import Stages, fit_lock, read_lock, write_lock
from pipeline.versioning.snapshot import Snapshot, unpack
from pipeline.versioning.storage import remote_storage

PAUSES = (5.0, 30.0)  # seconds before a training that failed is tried again: a server may be gone
PUSH_PAUSES = (5.0, 15.0, 30.0, 60.0, 120.0)  # a result is worth waiting for
LOOK = 1.0  # seconds between two looks at what a training says
EPOCH = "epoch "  # begins the line that it says at each epoch
Answer = TypeVar("Answer")


class Place(NamedTuple):
    """Where trainings run and where their results go.

    Attributes:
        root: the main repository, whose cache, store and checkpoints are shared; None on the
            machines of a cluster, which share DVC's remote only.
        environment: of each training.
        gpu: whether each is given a GPU.
    """

    root: Path | None
    environment: dict[str, str]
    gpu: bool


class TrainingFailedError(Exception):
    """A training that failed for good; the message is the end of what it said."""


def train(task: Task, snapshot: Snapshot, place: Place, prepared: Stages, board: Any) -> Record:
    """Train and evaluate in a clone, or take what is there already.

    Args:
        prepared: dvc.lock's entry of the data.
        board: Ray's handle of a pool.Board, which takes a line at each epoch.

    Raises:
        TrainingFailedError: it failed, after some more attempts.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # inherited from a shell's background job
        signal.signal(signal.SIGINT, signal.default_int_handler)  # by which Ray cancels a task
    with held(place.root, task.key), scratch_folder(place.root) as scratch:
        clone = scratch / "clone"
        unpack(snapshot, clone)
        override_params(clone, task.overrides)
        worker = Worker(task, snapshot.head, place, clone, board.add.remote)
        if place.root is not None:
            write_lock(clone, prepared)
            return worker.reproduce()
        storage = remote_storage(clone)
        with shared_checkpoints(clone / ".training", storage.within("sweep", task.key)):
            return worker.share(Ledger(storage), prepared)


@dataclass(frozen=True)
class Worker:
    """A training in its clone; `say` takes a line."""

    task: Task
    head: str
    place: Place
    clone: Path
    say: Callable[[str], Any]

    def share(self, ledger: Ledger, prepared: Stages) -> Record:
        """Return the result that is in DVC's remote, or the first that comes there."""
        if record := persist(partial(ledger.get, self.task.result)):
            return record
        # Another evaluation of the same training may have been asked for before, or elsewhere at
        # the same time: the first training counts.
        first = persist(partial(ledger.get, self.task.key))
        record = self._evaluate(first, prepared)
        first = persist(partial(ledger.add, self.task.key, record))
        if first.weights != record.weights:
            record = self._evaluate(first, prepared)
        return persist(partial(ledger.add, self.task.result, record))

    def _evaluate(self, trained: Record | None, prepared: Stages) -> Record:
        """Evaluate a training that DVC's remote has, or train first; push the result."""
        values = read_yaml(self.clone / PARAMS_FILE)
        lock = fit_lock(trained.stages, values, prepared) if trained else prepared
        shutil.rmtree(self.clone / OUTPUTS, ignore_errors=True)
        write_lock(self.clone, {k: v for k, v in lock.items() if not k.startswith("evaluate@")})
        record = self.reproduce("--pull", "--no-run-cache")

        def push() -> None:
            self._run(dvc("push", "--with-deps", self._target))
            if lost := remote_storage(self.clone).missing(record.stages):
                raise TrainingFailedError(f"`dvc push` left out {', '.join(lost)}")

        persist(push)
        return record

    def reproduce(self, *options: str) -> Record:
        """Train and evaluate."""
        self._run(dvc("repro", *options, self._target), PAUSES)
        return read_record(self.clone, self.task.training)

    @property
    def _target(self) -> str:
        return f"evaluate@{self.task.training.label}"

    def _run(self, command: list[str], pauses: Sequence[float] = ()) -> None:
        """Run a command, after a pause once more where it fails.

        Raises:
            TrainingFailedError: it failed at the last attempt too.
        """
        root, file = self.place.root, self.clone.parent / "log"
        environment = {
            **self.place.environment,
            "DVC_EXP_NAME": self.task.experiment,
            "DVC_EXP_BASELINE_REV": self.head,
            "DVC_SITE_CACHE_DIR": str(self.clone.parent / "site"),
            **({NEEDS_GPU: "1"} if self.place.gpu else {}),
            # As in `dvc exp run --queue`: the main repository's checkpoints, locks of GPUs, store.
            **({"DVC_ROOT": str(root)} if root else {}),
        }
        if root is None:
            environment = {**user_environment(), **environment}
        for pause in (*pauses, None):
            with file.open("w") as log, self._epochs_said(file):
                code = run_fenced(command, self.clone, environment, log)
            if code == 0:
                return
            if pause is None:
                raise TrainingFailedError(last_lines(file.read_text()))
            time.sleep(pause)

    @contextmanager
    def _epochs_said(self, log: Path) -> Iterator[None]:
        """Say each line of an epoch soon after it is in the log."""
        with log.open() as opened:

            def look() -> None:
                for line in opened:
                    if line.startswith(EPOCH):
                        self.say(f"{self.task.title}: {line.rstrip()}")

            with repeated(look, LOOK, (Exception,)):
                yield
            look()


def persist(action: Callable[[], Answer]) -> Answer:
    """Try again where the storage does not answer for a while, whatever its error."""
    for pause in PUSH_PAUSES:
        try:
            return action()
        except Exception as error:
            print(f"tried again in {pause:.0f} s: {error}", flush=True)
            time.sleep(pause)
    return action()


def thread_limits(threads: int) -> dict[str, str]:
    """Return what keeps TensorFlow to so many threads."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def read_record(clone: Path, training: Training) -> Record:
    """Collect what is kept of an evaluated training."""
    metrics, stages = read_json(clone / training.evaluation_folder / METRICS), read_lock(clone)
    names = ("prepare", f"train@{training.label}", f"evaluate@{training.label}")
    entries = {name: stages[name] for name in names}
    return Record(training.label, metrics["pflop"], metrics["training_seconds"], entries)


@contextmanager
def held(root: Path | None, key: str) -> Iterator[None]:
    """Hold what two sweeps at once on this machine, each with its own Ray, must not do both.

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

    Next to DVC's cache, so that files can be linked; without a root among temporary files.
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
