"""Find and mend what does not fit between DVC's results and MLflow's runs."""

import os
from collections import defaultdict

from dvc.repo import Repo

from pipeline.core.files import project_root
from pipeline.reporting.experiments import COMMIT, WORKSPACE, TrackedResult, list_results
from pipeline.tracking.runs import close_dead_runs, find_runs
from pipeline.tracking.store import MlflowClient, open_store, store_uri, without_password

TAG = "dvc.experiments"
NO_EXPERIMENT = (WORKSPACE, COMMIT)


def examine() -> tuple[list[str], list[str]]:
    """Mend what can be mended.

    Returns:
        What was mended, and what is left for the user, a sentence each.

    Raises:
        UserError: MLflow's store cannot be used, or this is no DVC repository.
    """
    client = open_store()
    mended = [
        f"closed run {run_id}, left RUNNING by a dead process" for run_id in close_dead_runs(client)
    ]
    results = list_results()
    lost = missing_results(results)
    if labels := sorted({r.trial.label for r in lost if r.experiment == WORKSPACE}):
        mended += restore_runs(labels)
        results = list_results()
    mended += tag_experiments(client, results)
    # The last commit's results are restored with the workspace's.
    others = {r.experiment for r in lost if not r.experiment.startswith(NO_EXPERIMENT)}
    left = other_stores() + [
        f"runs of experiment {name} are not in this store; `dvc exp apply {name}` and this "
        "command again make new ones"
        for name in sorted(others)
    ]
    return mended, left


def tag_experiments(client: MlflowClient, results: list[TrackedResult]) -> list[str]:
    """Tag each run with the names of all experiments that hold its result; say which were new."""
    experiments = defaultdict(set)
    for result in results:
        if not result.experiment.startswith(NO_EXPERIMENT):
            experiments[result.run_id].add(result.experiment)
    said = []
    for run in find_runs():
        names = ", ".join(sorted(experiments[run.info.run_id]))
        if names and run.data.tags.get(TAG) != names:
            client.set_tag(run.info.run_id, TAG, names)
            said.append(f"tagged run {run.info.run_id} ({run.info.run_name}) with {names}")
    return said


def missing_results(results: list[TrackedResult]) -> list[TrackedResult]:
    """Return the results whose run is not in the store."""
    present = {run.info.run_id for run in find_runs()}
    return [result for result in results if result.run_id not in present]


def restore_runs(labels: list[str]) -> list[str]:
    """Evaluate the workspace's results again, which makes new runs from their saved histories."""
    with Repo(str(project_root())) as repo:
        for stage in (*(f"evaluate@{label}" for label in labels), "register"):
            repo.reproduce(stage, force=True, single_item=True)
    return [f"made a new run for {label} in the workspace" for label in labels]


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
