"""One training of a sweep, in a clone of its own on whatever machine it lands on."""

import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from pipeline.core.files import OUTPUTS, read_json, read_yaml
from pipeline.core.repeat import repeated
from pipeline.evaluation.outputs import METRICS
from pipeline.settings.params import PARAMS_FILE
from pipeline.settings.trainings import Training
from pipeline.sweep.checkpoints import shared_checkpoints
from pipeline.sweep.ledger import Ledger, Record
from pipeline.sweep.plan import Task
from pipeline.versioning.command import dvc, last_lines, user_environment
from pipeline.versioning.fence import run_fenced
from pipeline.versioning.repository import Stages, fit_lock, read_lock, write_lock
from pipeline.versioning.scratch import held, scratch_folder
from pipeline.versioning.snapshot import Snapshot, clone_of
from pipeline.versioning.storage import Storage, persist, remote_storage

PAUSES = (5.0, 30.0)  # seconds before a training that failed is tried again: a server may be gone
LOOK = 1.0  # seconds between two looks at what a training says
EPOCH = "epoch "  # begins the line that it says at each epoch


class Place(NamedTuple):
    """Where trainings run, of what, and where their results go.

    Attributes:
        root: the main repository, whose cache, store and checkpoints are shared; None on the
            machines of a cluster, which share DVC's remote only.
        environment: of each training; in a cluster beside that of its machine.
    """

    root: Path | None
    snapshot: Snapshot
    environment: dict[str, str]


class TrainingFailedError(Exception):
    """A training that failed for good; the message is the end of what it said."""


def train(task: Task, place: Place, prepared: Stages, board: Any) -> Record:
    """Train and evaluate in a clone, or take what is there already.

    Args:
        prepared: dvc.lock's entry of the data.
        board: Ray's handle of a pool.Board, which takes a line at each epoch.

    Raises:
        TrainingFailedError: it failed, after some more attempts.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # inherited from a shell's background job
        signal.signal(signal.SIGINT, signal.default_int_handler)  # by which Ray cancels a task
    with ExitStack() as stack:
        if place.root:  # another sweep's Ray may train the same; in a cluster the first counts
            stack.enter_context(held(place.root, task.key))
        scratch = stack.enter_context(scratch_folder(place.root))
        asked = clone_of(place.snapshot, scratch, task.overrides, prepared)
        clone = stack.enter_context(asked)
        worker = Worker(task, place, clone, board.add.remote)
        if place.root:
            return worker.reproduce()
        storage = remote_storage(clone)
        with shared_checkpoints(clone / ".training", storage.within("sweep", task.key)):
            return worker.share(storage)


class Worker(NamedTuple):
    """A training in its clone; `say` takes a line."""

    task: Task
    place: Place
    clone: Path
    say: Callable[[str], Any]

    def share(self, storage: Storage) -> Record:
        """Return the result that is in DVC's remote, or the first that comes there.

        Another evaluation of the same training may have been asked for before, or elsewhere at the
        same time: the first training counts.
        """
        ledger = Ledger(storage)
        if record := persist(partial(ledger.get, self.task.result)):
            return record
        first = persist(partial(ledger.get, self.task.key))
        record = self._evaluate(first)
        first = persist(partial(ledger.add, self.task.key, record))
        if first.weights != record.weights:
            record = self._evaluate(first)
        return persist(partial(ledger.add, self.task.result, record))

    def _evaluate(self, trained: Record | None) -> Record:
        """Evaluate a training that DVC's remote has, or train first; push the result."""
        if trained:
            lock, values = read_lock(self.clone), read_yaml(self.clone / PARAMS_FILE)
            known = {k: entry for k, entry in trained.stages.items() if k != self._target}
            write_lock(self.clone, fit_lock(known, values, {"prepare": lock["prepare"]}))
            shutil.rmtree(self.clone / OUTPUTS, ignore_errors=True)
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
            **({} if root else user_environment()),
            **self.place.environment,
            "DVC_EXP_NAME": self.task.experiment,
            "DVC_EXP_BASELINE_REV": self.place.snapshot.head,
            "DVC_SITE_CACHE_DIR": str(self.clone.parent / "site"),
            # As in `dvc exp run --queue`: the main repository's checkpoints, locks of GPUs, store.
            **({"DVC_ROOT": str(root)} if root else {}),
        }
        for pause in (*pauses, None):
            with file.open("w") as log, file.open() as said:
                look = partial(self._say_epochs, said)
                with repeated(look, LOOK, (Exception,)):
                    code = run_fenced(command, self.clone, environment, log)
                look()
            if code == 0:
                return
            if pause is None:
                raise TrainingFailedError(last_lines(file.read_text()))
            time.sleep(pause)

    def _say_epochs(self, said: IO[str]) -> None:
        for line in said:
            if line.startswith(EPOCH):
                self.say(f"{self.task.title}: {line.rstrip()}")


def thread_limits(threads: int) -> dict[str, str]:
    """Return what keeps TensorFlow to so many threads."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def read_record(clone: Path, training: Training) -> Record:
    """Collect what is kept of an evaluated training."""
    metrics, stages = read_json(clone / training.evaluation_folder / METRICS), read_lock(clone)
    names = ("prepare", f"train@{training.label}", f"evaluate@{training.label}")
    entries = {name: stages[name] for name in names}
    return Record(training.label, metrics["training_seconds"], entries)
