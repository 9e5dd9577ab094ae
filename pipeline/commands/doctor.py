"""Find and repair what a dead process or a lost MLflow store left behind."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.commands.lookup import identities
from pipeline.core.errors import and_more
from pipeline.tracking.lifecycle import close_dead_runs
from pipeline.tracking.runs import REPORT, key_of, without_files
from pipeline.tracking.store import (
    find_runs,
    open_store,
    store_errors,
)
from pipeline.versioning.cache import remove_damaged
from pipeline.versioning.experiments import COMMIT, WORKSPACE, Experiment, list_experiments
from pipeline.versioning.queue import fail_dead_tasks


def repair_and_examine() -> int:
    """Print each repair once it is done, then what is left for the user; return 1 if anything is.

    Raises the errors of repair and examine.
    """
    mended = False
    for line in repair():
        print(line, flush=True)
        mended = True
    left = examine()
    for line in left:
        print(f"for you to do: {line}")
    if not mended and not left:
        print("nothing to repair")
    return 1 if left else 0


def repair() -> Iterator[str]:
    """Close dead runs and the queue's dead tasks, remove damaged files from DVC's cache.

    Yields:
        What was repaired, in a sentence, as soon as it was.

    Raises:
        UserError: MLflow's store cannot be used, or this is not a DVC repository.
    """
    with store_errors():
        for run_id in close_dead_runs(open_store()):
            yield f"closed run {run_id}, left RUNNING by a dead process"
    for name in fail_dead_tasks():
        yield f"marked {name} in DVC's queue as failed, because its worker died; queue it again"
    yield from describe_damaged(remove_damaged())


@store_errors()
def examine() -> list[str]:
    """Return what only the user can repair, one sentence each.

    Raises:
        UserError: MLflow's store cannot be used, or this is not a DVC repository.
    """
    lacking = describe_lacking(experiments_not_in_store())
    return lacking + describe_lost(without_files(open_store()))


def experiments_not_in_store() -> list[Experiment]:
    """Return the experiments with a training that has no run in the store, or not all of it."""
    finished = find_runs("attributes.status = 'FINISHED'")
    there = {key_of(run) for run in finished if REPORT in run.data.tags}
    return [
        experiment
        for experiment in list_experiments()
        if {(found, t.variant) for t, found in identities(experiment).items()} - there
    ]


def describe_lacking(lacking: list[Experiment]) -> list[str]:
    """Say how to bring the results of experiments into the store."""
    # Publishing the workspace may cover the last commit or an experiment too.
    if any(experiment.name == WORKSPACE for experiment in lacking):
        return [f"the {WORKSPACE}'s results are not in MLflow; run `python -m pipeline publish`"]
    return [
        f"the results of {experiment.name} are not in MLflow; run `{_way_to(experiment)}`, then "
        "`python -m pipeline publish`"
        for experiment in lacking
    ]


def describe_damaged(damaged: list[Path]) -> list[str]:
    """Say which files of DVC's cache were damaged and removed, and how to make them again."""
    if not damaged:
        return []
    return [
        f"removed {and_more(damaged)} from DVC's cache: damaged since it was written. If the "
        "workspace needs it, `dvc repro` makes it again; if another experiment does, remove that "
        "experiment with `dvc exp remove NAME` and run it again"
    ]


def describe_lost(lost: list[str]) -> list[str]:
    """Say what to do about runs and models whose files are gone."""
    if not lost:
        return []
    return [
        f"the files of {and_more(lost)} are gone from mlartifacts/; copy them back, or move "
        "mlflow.db away and fill a new store with `python -m pipeline publish`"
    ]


def _way_to(experiment: Experiment) -> str:
    if experiment.name.startswith(COMMIT):
        return "git stash && dvc checkout"
    return f"dvc exp apply {experiment.revision}"  # names may repeat
