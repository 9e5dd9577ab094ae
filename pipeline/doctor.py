"""Find and mend what does not fit between DVC's results and MLflow's runs.

Closes runs that a dead process left RUNNING, tags each run with all DVC experiments that hold its
result (also those restored from DVC's cache), makes new runs where the store lost them, and reports
a second store. Exits with 1 where something is left for you.
"""

import argparse
import os
import subprocess
import sys
from collections import defaultdict

from pipeline import tracking
from pipeline.errors import exit_on_user_error
from pipeline.experiments import COMMIT, WORKSPACE
from pipeline.lookup import Result, list_results
from pipeline.paths import project_root

TAG = "dvc.experiments"
NO_EXPERIMENT = (WORKSPACE, COMMIT)


def tag_experiments(client: tracking.MlflowClient, results: list[Result]) -> list[str]:
    """Tag each run with the names of all experiments that hold its result; say which were new."""
    experiments = defaultdict(set)
    for result in results:
        if not result.experiment.startswith(NO_EXPERIMENT):
            experiments[result.run_id].add(result.experiment)
    said = []
    for run in tracking.find_runs():
        names = ", ".join(sorted(experiments[run.info.run_id]))
        if names and run.data.tags.get(TAG) != names:
            client.set_tag(run.info.run_id, TAG, names)
            said.append(f"tagged run {run.info.run_id} ({run.info.run_name}) with {names}")
    return said


def missing_results(results: list[Result]) -> list[Result]:
    """Return the results whose run is not in the store."""
    present = {run.info.run_id for run in tracking.find_runs()}
    return [result for result in results if result.run_id not in present]


def run_stage(stage: str) -> None:
    """Run a stage of the workspace again, and no other."""
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", stage]
    subprocess.run(command, cwd=project_root(), check=True)


def restore_runs(labels: list[str]) -> list[str]:
    """Evaluate the workspace's results again, which makes new runs from their saved histories."""
    for label in labels:
        run_stage(f"evaluate@{label}")
    run_stage("register")
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
        used = tracking.without_password(tracking.store_uri())
        if used != f"sqlite:///{root / 'mlflow.db'}":
            said.append(
                f"MLFLOW_TRACKING_URI names {used}, but {root / 'mlflow.db'} exists too; runs "
                "made without the variable are there"
            )
    return said


@exit_on_user_error
def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.doctor", description=__doc__)
    parser.parse_args()
    client = tracking.open_store()
    mended = [
        f"closed run {run_id}, left RUNNING by a dead process"
        for run_id in tracking.close_dead_runs(client)
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
    for line in mended:
        print(f"mended: {line}")
    for line in left:
        print(f"left: {line}")
    if not mended and not left:
        print("all fine")
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
