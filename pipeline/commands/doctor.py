"""Find and mend what a dead process or a lost store left behind."""

import os
import socket
from datetime import datetime

from pipeline.commands.lookup import identities
from pipeline.core.files import project_root
from pipeline.tracking.context import HEARTBEAT
from pipeline.tracking.lifecycle import close_dead_runs
from pipeline.tracking.runs import TRAINING
from pipeline.tracking.store import (
    find_runs,
    open_store,
    store_errors,
    store_uri,
    without_password,
)
from pipeline.versioning.experiments import list_experiments


@store_errors()
def examine() -> tuple[list[str], list[str]]:
    """Close dead runs, and look for what only the user can mend.

    Returns:
        What was mended, and what is left for the user, a sentence each.

    Raises:
        UserError: MLflow's store cannot be used, or this is no DVC repository.
    """
    client = open_store()
    mended = [
        f"closed run {run_id}, left RUNNING by a dead process" for run_id in close_dead_runs(client)
    ]
    return mended, running_elsewhere() + other_stores() + missing_results()


def missing_results() -> list[str]:
    """Describe the experiments whose trainings have no run in the store."""
    there = {run.data.tags.get(TRAINING) for run in find_runs()}
    lacking = [e for e in list_experiments() if set(identities(e).values()) - there]
    if not lacking:
        return []
    if not lacking[0].revision:
        return ["results of the workspace are not in MLflow; `python -m pipeline publish`"]
    return [
        f"results of {experiment.name} are not in MLflow; `dvc exp apply {experiment.name}`, then "
        "`python -m pipeline publish`"
        for experiment in lacking
    ]


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
