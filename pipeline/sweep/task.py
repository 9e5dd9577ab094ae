"""Run one training of a sweep, in its own clone, on the machine that Ray chose."""

import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from pipeline.core.errors import DIVERGED
from pipeline.core.files import OUTPUTS, read_json, read_yaml
from pipeline.core.repeat import run_periodically
from pipeline.evaluation.outputs import METRICS
from pipeline.settings.params import PARAMS_FILE
from pipeline.settings.trainings import Training
from pipeline.sweep.checkpoints import shared_checkpoints
from pipeline.sweep.command import dvc, last_lines, user_environment
from pipeline.sweep.fence import run_fenced
from pipeline.sweep.ledger import Ledger, Record
from pipeline.sweep.plan import Task
from pipeline.sweep.scratch import process_lock, scratch_folder
from pipeline.versioning.repository import Stages, fit_lock, read_lock, write_lock
from pipeline.versioning.snapshot import Snapshot, clone_of
from pipeline.versioning.storage import Storage, remote_storage, with_retries

PAUSES = (5.0, 30.0)  # seconds before a failed training is tried again: a server may be down
POLL_SECONDS = 1.0  # between checks of a training's output
EPOCH = "epoch "  # start of the line that a training prints after each epoch


class Place(NamedTuple):
    """Where trainings run, on which code, and where their results go.

    Attributes:
        root: the main repository; its cache, store and checkpoints are shared. None on a cluster,
            whose machines share only DVC's remote.
        environment: variables for each training; on a cluster, in addition to its machine's.
    """

    root: Path | None
    snapshot: Snapshot
    environment: dict[str, str]


class TrainingFailedError(Exception):
    """A training failed in all attempts; the message is the end of its output."""


def train(task: Task, place: Place, prepared: Stages, collector: Any) -> Record:
    """Train and evaluate in a clone, or reuse an existing result.

    Args:
        prepared: the data's entry in dvc.lock.
        collector: the Ray handle of a pool.OutputCollector, which gets a line after each epoch.

    Raises:
        TrainingFailedError: it failed in all attempts.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background job
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Ray cancels tasks by it
    with ExitStack() as stack:
        if place.root:  # another sweep may train the same; on a cluster the first counts
            lock = process_lock(
                place.root, task.key, lambda said: collector.add.remote(f"{task.title}: {said}")
            )
            stack.enter_context(lock)
        scratch = stack.enter_context(scratch_folder(place.root))
        asked = clone_of(place.snapshot, scratch, task.overrides, prepared)
        clone = stack.enter_context(asked)
        worker = Worker(task, place, clone, collector.add.remote)
        if place.root:
            return worker.reproduce()
        storage = remote_storage(clone)
        with shared_checkpoints(clone / ".training", storage.within("sweep", task.key)):
            return worker.share(storage)


class Worker(NamedTuple):
    """A training in its clone; `say` is called with each line to show."""

    task: Task
    place: Place
    clone: Path
    say: Callable[[str], Any]

    def share(self, storage: Storage) -> Record:
        """Return the result in DVC's remote; if there is none, train and add it there.

        The same training may have been run earlier with another evaluation, or may be running
        elsewhere now: the training that is recorded first counts.
        """
        ledger = Ledger(storage)
        if record := with_retries(partial(ledger.get, self.task.result)):
            return record
        earlier = with_retries(partial(ledger.get, self.task.weights_key))
        record = self._evaluate(earlier)
        counting = with_retries(partial(ledger.add, self.task.weights_key, record))
        if counting.weights != record.weights:
            record = self._evaluate(counting)
        return with_retries(partial(ledger.add, self.task.result, record))

    def _evaluate(self, trained: Record | None) -> Record:
        """Evaluate a training from DVC's remote, or train first if it is None; push the result."""
        if trained:
            lock, values = read_lock(self.clone), read_yaml(self.clone / PARAMS_FILE)
            known = {k: entry for k, entry in trained.stages.items() if k != self._target}
            write_lock(self.clone, fit_lock(known, values, {"prepare": lock["prepare"]}))
            shutil.rmtree(self.clone / OUTPUTS, ignore_errors=True)
        record = self.reproduce("--pull", "--no-run-cache")

        def push() -> None:
            self._run(dvc("push", "--with-deps", self._target))
            if lost := remote_storage(self.clone).missing(record.stages):
                raise TrainingFailedError(f"`dvc push` did not upload {', '.join(lost)}")

        with_retries(push)
        return record

    def reproduce(self, *options: str) -> Record:
        """Train and evaluate."""
        self._run(dvc("repro", *options, self._target), PAUSES)
        return read_record(self.clone, self.task.training)

    @property
    def _target(self) -> str:
        return self.task.training.evaluate_stage

    def _run(self, command: list[str], pauses: Sequence[float] = ()) -> None:
        """Run a command; if it fails, try again after each pause.

        Raises:
            TrainingFailedError: the last attempt failed too.
        """
        file = self.clone.parent / "log"
        environment = {
            **({} if self.place.root else user_environment()),
            **self.place.environment,
            **self.place.snapshot.stage_variables(self.task.experiment),
            "DVC_SITE_CACHE_DIR": str(self.clone.parent / "site"),
        }
        for pause in (*pauses, None):
            with file.open("w") as log, file.open() as said:
                look = partial(self._say_epochs, said)
                with run_periodically(look, POLL_SECONDS):
                    code = run_fenced(command, self.clone, environment, log)
                look()
            if code == 0:
                return
            text = file.read_text()
            if pause is None or DIVERGED in text:  # it would diverge again
                raise TrainingFailedError(last_lines(text))
            time.sleep(pause)

    def _say_epochs(self, said: IO[str]) -> None:
        for line in said:
            if line.startswith(EPOCH):
                self.say(f"{self.task.title}: {line.rstrip()}")


def thread_limits(threads: int) -> dict[str, str]:
    """Return environment variables that limit TensorFlow to `threads` threads."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def read_record(clone: Path, training: Training) -> Record:
    """Collect the record of an evaluated training."""
    metrics, stages = read_json(clone / training.evaluation_folder / METRICS), read_lock(clone)
    names = ("prepare", training.train_stage, training.evaluate_stage)
    entries = {name: stages[name] for name in names}
    return Record(training.label, metrics["training_seconds"], entries)
