"""What DVC knows already, and the experiments that it gets: by DVC itself, in a clone."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.settings.params import PARAMS_FILE
from pipeline.settings.trainings import Training
from pipeline.sweep.ledger import Record, merge
from pipeline.sweep.plan import Experiment, override_params
from pipeline.sweep.snapshot import Snapshot, dvc, last_lines
from pipeline.versioning.repository import LOCK, Stages, experiment_ref, git, read_lock, write_lock

EXPERIMENT_REF = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/")


def set_params(clone: Path, snapshot: Snapshot, overrides: Sequence[str]) -> None:
    """Write an experiment's params, and forget the results of another one."""
    git(clone, "checkout", "--quiet", snapshot.state, "--", str(PARAMS_FILE))
    override_params(clone, overrides)
    (clone / LOCK).unlink(missing_ok=True)


def prepare_data(clone: Path, environment: dict[str, str]) -> Stages:
    """Prepare the data, or take them from the cache; return dvc.lock's entry.

    Raises:
        UserError: it failed.
    """
    _run_or_raise("the data cannot be prepared", clone, dvc("repro", "prepare"), environment)
    return read_lock(clone)


def push_data(clone: Path, prepared: Stages, environment: dict[str, str]) -> None:
    """Bring prepared data to DVC's remote.

    Raises:
        UserError: it failed.
    """
    write_lock(clone, prepared)
    _run_or_raise("the data cannot be pushed", clone, dvc("push", "prepare"), environment)


def find_cached(
    clone: Path, trials: Sequence[Training], environment: dict[str, str]
) -> list[Training]:
    """Let DVC restore what its cache has of the results in question; return those it had.

    Their files and dvc.lock's entries are then in the clone. Nothing is trained: the stages'
    `python` is one that fails.
    """
    if not trials:
        return []
    stub = clone.parent / "stub"
    if not stub.exists():
        stub.mkdir()
        (stub / "python").write_text("#!/bin/sh\nexit 1\n")
        (stub / "python").chmod(0o755)
    path = f"{stub}{os.pathsep}{environment['PATH']}"
    targets = [f"evaluate@{trial.label}" for trial in trials]
    _run(clone, dvc("repro", "--keep-going", *targets), {**environment, "PATH": path})
    known = read_lock(clone)
    return [trial for trial in trials if f"evaluate@{trial.label}" in known]


def restore(clone: Path, snapshot: Snapshot) -> None:
    """Bring a clone back to how it was unpacked, without any results."""
    git(clone, "checkout", "--quiet", "--force", "--detach", snapshot.head)
    git(clone, "read-tree", "-u", "--reset", snapshot.state)
    git(clone, "clean", "--quiet", "-d", "--force", "-x", "--exclude=.dvc")
    (clone / LOCK).unlink(missing_ok=True)


def record_experiment(
    clone: Path,
    root: Path,
    snapshot: Snapshot,
    experiment: Experiment,
    records: Sequence[Record],
    environment: dict[str, str],
    pull: bool,
) -> None:
    """Make a DVC experiment of trainings that are done, and hand it to the main repository.

    `dvc exp run` finds the trainings in dvc.lock, and runs `report` and `register`.

    Args:
        pull: whether to bring what the cache lacks from DVC's remote.

    Raises:
        UserError: it failed.
    """
    if pull:
        fetch_results(clone, snapshot, experiment, records, environment)
    restore(clone, snapshot)
    fetch_experiments(clone, root)
    write_lock(clone, merge(records))
    flags = [text for override in experiment.overrides for text in ("-S", override)]
    command = dvc("exp", "run", "--name", experiment.name, *flags)
    _run_or_raise(f"{experiment.name} cannot be recorded", clone, command, environment)
    ref = experiment_ref(snapshot.head, experiment.name)
    git(root, "fetch", "--quiet", str(clone), f"{ref}:{ref}")


def fetch_results(
    clone: Path,
    snapshot: Snapshot,
    experiment: Experiment,
    records: Sequence[Record],
    environment: dict[str, str],
) -> None:
    """Bring what the cache lacks of an experiment's trainings from DVC's remote.

    `dvc exp run --pull` would bring the remote's whole run-cache with it, entry by entry.

    Raises:
        UserError: it failed.
    """
    set_params(clone, snapshot, experiment.overrides)
    write_lock(clone, merge(records))
    targets = [f"evaluate@{record.label}" for record in records]
    problem = f"the results of {experiment.name} cannot be fetched"
    _run_or_raise(problem, clone, dvc("fetch", "--with-deps", *targets), environment)


def fetch_experiments(clone: Path, root: Path) -> None:
    """Fetch the experiments that there are, for the report; DVC's queue and the like stay."""
    listed = git(root, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    if refs := [ref for ref in listed if EXPERIMENT_REF.match(ref)]:
        git(clone, "fetch", "--quiet", str(root), *(f"+{ref}:{ref}" for ref in refs))


def is_recorded(root: Path, head: str, name: str) -> bool:
    """Whether the main repository has an experiment."""
    return bool(git(root, "rev-parse", "-q", "--verify", experiment_ref(head, name), check=False))


def _run_or_raise(
    problem: str, folder: Path, command: list[str], environment: dict[str, str]
) -> None:
    """Run a command, and raise a UserError of the problem and its last lines where it fails."""
    done = _run(folder, command, environment)
    if done.returncode:
        raise UserError(f"{problem}:\n{last_lines(done.stdout)}")


def _run(
    folder: Path, command: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess:
    site = {"DVC_SITE_CACHE_DIR": str(folder.parent / "site")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, **site},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
