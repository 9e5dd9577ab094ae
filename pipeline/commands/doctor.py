"""Find and mend what does not fit between DVC's results and MLflow's runs."""

import os
import socket
from collections import defaultdict
from datetime import datetime

from dvc.repo import Repo

from pipeline.commands.dvc_locks import release_dead_locks
from pipeline.core.files import project_root
from pipeline.core.trials import Trial
from pipeline.reporting.experiments import COMMIT, WORKSPACE, TrackedResult, list_results
from pipeline.tracking.context import HEARTBEAT
from pipeline.tracking.lifecycle import close_dead_runs
from pipeline.tracking.runs import tag_run
from pipeline.tracking.store import (
    find_runs,
    open_store,
    store_errors,
    store_uri,
    without_password,
)

TAG = "dvc.experiments"
NO_EXPERIMENT = (WORKSPACE, COMMIT)


@store_errors()
def examine() -> tuple[list[str], list[str]]:
    """Mend what can be mended.

    Returns:
        What was mended, and what is left for the user, a sentence each.

    Raises:
        UserError: MLflow's store cannot be used, or this is no DVC repository.
    """
    client = open_store()
    mended = release_dead_locks() + [
        f"closed run {run_id}, left RUNNING by a dead process" for run_id in close_dead_runs(client)
    ]
    results = list_results()
    lost = missing_results(results)
    if trials := sorted({r.trial for r in lost if r.experiment == WORKSPACE}):
        mended += restore_runs(trials)
        results = list_results()
        lost = missing_results(results)
    mended += tag_experiments(results)
    # The last commit's results are restored with the workspace's.
    others = {r.experiment for r in lost if not r.experiment.startswith(NO_EXPERIMENT)}
    left = running_elsewhere() + other_stores()
    left += [
        f"runs of experiment {name} are not in this store; `dvc exp apply {name}` and this "
        "command again make new ones"
        for name in sorted(others)
    ]
    return mended, left


def tag_experiments(results: list[TrackedResult]) -> list[str]:
    """Tag each run with the names of all experiments that hold its result; say which were new."""
    experiments = defaultdict(set)
    for result in results:
        if not result.experiment.startswith(NO_EXPERIMENT):
            experiments[result.run_id].add(result.experiment)
    said = []
    for run in find_runs():
        names = ", ".join(sorted(experiments[run.info.run_id]))
        if names and run.data.tags.get(TAG) != names:
            tag_run(run.info.run_id, TAG, names)
            said.append(f"tagged run {run.info.run_id} ({run.info.run_name}) with {names}")
    return said


def missing_results(results: list[TrackedResult]) -> list[TrackedResult]:
    """Return the results whose run is not in the store, nor one that was made in its place."""
    runs = find_runs()
    present = {run.info.run_id for run in runs} | {r.data.tags.get("restored_from") for r in runs}
    return [result for result in results if result.run_id not in present]


def restore_runs(trials: list[Trial]) -> list[str]:
    """Evaluate the workspace's results again, which makes new runs from their saved histories."""
    with Repo(str(project_root())) as repo:
        for stage in (*(f"evaluate@{trial.label}" for trial in trials), "register"):
            repo.reproduce(stage, force=True, single_item=True)
    return [f"made a new run for {trial.title} in the workspace" for trial in trials]


def running_elsewhere() -> list[str]:
    """Describe the runs of other machines that never ended, whose processes cannot be seen here.

    One that gives signs of life is no concern: it is closed once they stay away.
    """
    here = socket.gethostname()
    said = []
    for run in find_runs("attributes.status = 'RUNNING'"):
        host = run.data.tags.get("process.host", "an unknown machine")
        if host != here and HEARTBEAT not in run.data.tags:
            begun = datetime.fromtimestamp(run.info.start_time / 1000).strftime("%Y-%m-%d %H:%M")
            said.append(
                f"run {run.info.run_id} ({run.info.run_name}) is RUNNING on {host} since {begun}; "
                f"if that has ended, `python -m pipeline doctor --close {run.info.run_id[:8]}`"
            )
    return said


def other_stores() -> list[str]:
    """Describe stores of MLflow beside the configured one."""
    root, said = project_root(), []
    for folder in sorted({root / "mlruns", root / "pipeline" / "mlruns"}):
        if folder.is_dir():
            said.append(
                f"{folder} is a store of files that nothing here writes; move it away, or keep "
                f"its runs with `mlflow migrate-filestore`"
            )
    if os.environ.get("MLFLOW_TRACKING_URI") and (root / "mlflow.db").exists():
        used = without_password(store_uri())
        if used != f"sqlite:///{root / 'mlflow.db'}":
            said.append(
                f"MLFLOW_TRACKING_URI names {used}, but {root / 'mlflow.db'} exists too; runs "
                "made without the variable are there"
            )
    return said
