"""Prepare a sweep's data and record its experiments, by running DVC in clones."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.files import PREPARED
from pipeline.core.git import git
from pipeline.core.records import load_metadata
from pipeline.settings.params import PARAMS_FILE
from pipeline.sweep.command import restore, run_dvc
from pipeline.sweep.ledger import Record
from pipeline.sweep.plan import Data, Point, Task
from pipeline.sweep.scratch import process_lock
from pipeline.sweep.task import read_record
from pipeline.versioning.repository import (
    Stages,
    experiment_ref,
    fit_lock,
    read_lock,
)
from pipeline.versioning.snapshot import Snapshot, clone_of
from pipeline.versioning.storage import Storage, remote_errors, remote_storage

# Key of the lock on adding to DVC's cache. DVC first tries a reflink at a file's final path, which
# empties, or fails on, a file that another process has just added there.
ADDING = "adding"


@dataclass(frozen=True)
class Head:
    """The repository in which a sweep's experiments are recorded.

    Attributes:
        root: the main repository; the clones share its cache.
        scratch: a folder for the clones.
        remote: DVC's remote if a cluster trains, else None.
        environment: the environment variables for DVC. DVC_ROOT names the main repository, as in
            `dvc exp run --queue`: data, downloads, checkpoints, locks and store are there.
    """

    root: Path
    scratch: Path
    snapshot: Snapshot
    remote: Storage | None
    environment: dict[str, str]

    def clone(self, point: Point, stages: Stages) -> AbstractContextManager[Path]:
        """Make a clone with an experiment's params and these entries of dvc.lock."""
        return clone_of(self.snapshot, self.scratch, point.overrides, stages)

    def prepare(self, point: Point, dry_run: bool) -> Data | None:
        """Prepare an experiment's data or take them from the cache; a dry run only does the latter.

        Raises:
            UserError: the data cannot be prepared, or cannot be pushed to the cluster's remote; or
                the remote's path is relative.
        """
        with self.clone(point, self._prepared_here(point)) as clone:
            if dry_run:
                restore(clone, self.environment, "prepare")
            else:
                with process_lock(self.root, ADDING):
                    self._run(clone, "the data cannot be prepared", "repro", "prepare")
            stages = read_lock(clone)
            if not stages or (dry_run and not (clone / PREPARED).is_dir()):
                return None
            if self.remote and not dry_run:
                if remote_storage(clone).root != self.remote.root:
                    raise UserError(
                        "DVC's remote has a relative path, which each clone reads differently; "
                        f"give its absolute path: `dvc remote modify NAME url {self.remote.root}`"
                    )
                with remote_errors(self.remote):
                    missing = self.remote.missing(stages)
                if missing:
                    self._run(clone, "the data cannot be pushed", "push", "prepare")
            found = load_metadata(clone / PREPARED)
        images, size = found["images"]["train"], found["params"]["image_size"]
        return Data(stages, found["digest"], images, len(found["class_names"]), size)

    def _prepared_here(self, point: Point) -> Stages:
        """Return the workspace's prepared data if an experiment has the same params for them.

        Without this entry DVC would take the data that were prepared last with these params,
        perhaps from pictures that have been removed since.
        """
        entry = read_lock(self.root).get("prepare")
        if entry and entry["params"][str(PARAMS_FILE)]["data"] == point.values["data"]:
            return {"prepare": entry}
        return {}

    def find_cached(self, point: Point, tasks: list[Task]) -> dict[str, Record]:
        """Return the results of an experiment that DVC's cache has."""
        if not tasks or point.data is None:
            return {}
        with self.clone(point, point.data.stages) as clone:
            restore(clone, self.environment, *(task.training.evaluate_stage for task in tasks))
            known = read_lock(clone)
            found = [task for task in tasks if task.training.evaluate_stage in known]
            return {task.result: read_record(clone, task.training) for task in found}

    def record(self, point: Point, known: Mapping[str, Record]) -> None:
        """Record finished trainings as a DVC experiment in the main repository, unless it is there.

        `dvc repro` finds the trainings in dvc.lock, so that only `check`, `report` and `publish`
        run. Only one experiment is recorded at a time, across all sweeps of this repository.

        Raises:
            UserError: DVC failed.
        """
        assert point.data is not None
        lock: Stages = {}
        for task in point.tasks:
            lock |= fit_lock(known[task.result].stages, point.values, point.data.stages)
        problem = f"{point.name} cannot be recorded"
        variables = self.snapshot.stage_variables(point.name)
        with process_lock(self.root, ADDING):
            if self.is_recorded(point):
                return
            with self.clone(point, lock) as clone:
                if self.remote:
                    # `dvc repro --pull` would fetch the remote's whole run-cache, entry by entry.
                    targets = [task.training.evaluate_stage for task in point.tasks]
                    self._run(clone, problem, "fetch", "--with-deps", *targets)
                # In `dvc exp run`, `publish` would take the clone for the main repository.
                self._run(clone, problem, "repro", **variables)
                self._run(clone, problem, "exp", "save", "--name", point.name)
                ref = experiment_ref(self.snapshot.head, point.name)
                git(self.root, "fetch", "--no-write-fetch-head", str(clone), f"{ref}:{ref}")

    def is_recorded(self, point: Point) -> bool:
        """Whether the main repository has this experiment."""
        ref = experiment_ref(self.snapshot.head, point.name)
        return bool(git(self.root, "rev-parse", "-q", "--verify", ref, check=False))

    def _run(self, clone: Path, problem: str, *arguments: str, **variables: str) -> None:
        run_dvc(clone, problem, *arguments, environment={**self.environment, **variables})
