"""Read a project's MLflow store: every byte, or without ids and times."""

import re
import sqlite3
from collections import Counter
from contextlib import closing

from mlflow import MlflowClient

from pipeline.core.files import hash_file
from pipeline.tracking.store import EXPERIMENT

# These depend on process, time or place, not on the result.
PASSING = re.compile(r"process\.|mlflow\.user|dvc\.stage|system/")
MODEL_TABLES = ("logged_models", "logged_model_metrics", "logged_model_params", "logged_model_tags")


def everything(folder):
    """Every row of every table, and the hash of every file among the artifacts."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        rows = {table: sorted(map(repr, database.execute(f"SELECT * FROM {table}")))
                for table in tables(database)}  # fmt: skip
    files = sorted(path for path in (folder / "mlartifacts").rglob("*") if path.is_file())
    return rows, {str(path): hash_file(path) for path in files}


def tables(database):
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return sorted(name for (name,) in names)


def contents(folder):
    """What is in the store, without ids, times and models that were deleted: for comparison."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id])
    models = client.search_logged_models([experiment.experiment_id])
    names = {run.info.run_id: f"<run {run.info.run_name} {run.info.status}>" for run in runs}
    names |= {model.model_id: f"<model {model.name}>" for model in models}

    def anonymous(value):
        return re.sub("|".join(names), lambda found: names[found[0]], str(value))

    return {
        "rows": count_rows(folder),
        "experiment": {key: anonymous(value) for key, value in experiment.tags.items()},
        "runs": sorted((run_contents(client, run, anonymous) for run in runs), key=str),
        "models": sorted((model_contents(model, anonymous) for model in models), key=str),
        "registry": [
            (registered.name, registered.description, registered.aliases,
             [(v.version, anonymous(v.source), anonymous(v.run_id), v.tags, v.description)
              for v in client.search_model_versions(f"name = '{registered.name}'")])
            for registered in client.search_registered_models()
        ],
    }  # fmt: skip


def run_contents(client, run, anonymous):
    run_id = run.info.run_id
    points = {
        key: [(m.step, m.value) for m in client.get_metric_history(run_id, key)]
        for key in sorted(run.data.metrics)
        if not PASSING.match(key)
    }
    used = [(i.dataset.name, i.dataset.digest, {t.key: t.value for t in i.tags})
            for i in run.inputs.dataset_inputs]  # fmt: skip
    return {
        "name": (run.info.run_name, run.info.status),
        "params": run.data.params,
        "tags": {k: anonymous(v) for k, v in run.data.tags.items() if not PASSING.match(k)},
        "points": points,
        "data": sorted(used, key=str),
        "files": sorted(artifacts(client, run_id)),
    }


def artifacts(client, run_id, path=None):
    for item in client.list_artifacts(run_id, path):
        yield from artifacts(client, run_id, item.path) if item.is_dir else [item.path]


def model_contents(model, anonymous):
    scores = sorted((m.key, m.step, m.value, m.dataset_name) for m in model.metrics or [])
    tags = {key: anonymous(value) for key, value in model.tags.items()}
    return model.name, model.status, anonymous(model.source_run_id), tags, model.params, scores


def count_rows(folder):
    """How many rows each table has, without those of deleted models and of system metrics."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        deleted = "SELECT model_id FROM logged_models WHERE lifecycle_stage = 'deleted'"
        without = dict.fromkeys(MODEL_TABLES, f"model_id NOT IN ({deleted})")
        without["inputs"] = f"destination_id NOT IN ({deleted})"
        without |= dict.fromkeys(("metrics", "latest_metrics"), "key NOT LIKE 'system/%'")
        without["tags"] = "key NOT LIKE 'process.%'"
        return Counter(
            {
                table: database.execute(
                    f"SELECT count(*) FROM {table} WHERE {without.get(table, 'true')}"
                ).fetchone()[0]
                for table in tables(database)
            }
        )
