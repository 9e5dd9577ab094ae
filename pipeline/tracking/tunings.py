"""The MLflow run of a tuning, under which the UI shows the runs of its trials."""

import re
from collections.abc import Mapping, Set
from pathlib import Path

from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipeline.tracking.context import process_tags
from pipeline.tracking.runs import TrackedRun
from pipeline.tracking.store import EXPERIMENT, find_runs, open_store, store_errors
from pipeline.tracking.trainings import EXPERIMENTS

TUNING = "tuning"  # tag: identifies the trials; also the run's name


@store_errors()
def log_tuning(key: str, trials: Set[str], scores: Mapping[str, float], report: Path) -> str:
    """Log a tuning as the parent run of its trials' runs; return the run's id.

    The run of a tuning that is repeated is completed.

    Args:
        key: identifies the trials.
        trials: the names of their DVC experiments.
        scores: the best validation accuracy of each network, by its name.
        report: the folder of the report.

    Raises:
        UserError: the store cannot be used.
    """
    client = open_store()
    found = find_runs(f"tags.`{TUNING}` = '{key}'")
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    tags = {TUNING: key, **process_tags()}
    run = found[0] if found else client.create_run(experiment, tags=tags, run_name=TUNING)
    tracked = TrackedRun(client, run)
    # MLflow allows no other characters in a metric's name.
    allowed = {re.sub(r"[^\w.\- ]", "-", name): score for name, score in scores.items()}
    tracked.log_scores({f"best_val_accuracy_{name}": score for name, score in allowed.items()})
    tracked.log_files([report])
    client.set_terminated(tracked.run_id)
    for each in find_runs():
        of_trial = trials & set(each.data.tags.get(EXPERIMENTS, "").split(", "))
        if of_trial and each.data.tags.get(MLFLOW_PARENT_RUN_ID) != tracked.run_id:
            client.set_tag(each.info.run_id, MLFLOW_PARENT_RUN_ID, tracked.run_id)
    return tracked.run_id
