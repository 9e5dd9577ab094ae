"""Stage `register`: name the best network of this data champion in MLflow's model registry.

The best network by validation accuracy becomes `champion` and the second best `challenger`, but
only where it beats the present champion of the same prepared data. Where all images were trained on
and none watched, the test accuracy decides, which flatters the champion's own; the version says so.
Where the test images chose the epoch, there is no champion. The report and its figures go
to the MLflow runs that it compares. What `dvc repro` left is kept as a DVC experiment.
"""

import json
from typing import Any

import filelock
import pandas as pd

from pipeline.core.files import (
    COMPARISON,
    OUTPUTS,
    PREPARED,
    REPORTS,
    read_json,
    work_folder,
    write_json,
)
from pipeline.core.params import Params
from pipeline.core.records import SPLIT_NAMES, Split, load_metadata
from pipeline.evaluation.outputs import load_logged_model, metrics_table
from pipeline.tracking.descriptions import (
    describe_data,
    describe_experiment,
    describe_registered,
    describe_version,
    report_link,
)
from pipeline.tracking.kept import keep_result
from pipeline.tracking.registry import Registry
from pipeline.tracking.runs import attach_files
from pipeline.tracking.views import save_description

REGISTERED = OUTPUTS / "registered.json"
ALIASES = ("champion", "challenger")


def register(params: Params) -> str:
    """Register the networks where they deserve it, and give their runs the report.

    Returns:
        What was done, in one sentence.

    Raises:
        UserError: results are missing, or MLflow's store cannot be used or lost a model.
    """
    said = choose_champion(params)
    run_ids = [load_logged_model(trial)["run_id"] for trial in params.trials]
    attach_files(run_ids, [REPORTS / "report.html", REPORTS / "figures"], "report")
    describe_comparison(params, run_ids[0])
    write_json(REGISTERED, {"registry": said})
    kept = keep_result()
    return f"{said}; kept as experiment {kept}" if kept else said


def describe_comparison(params: Params, run_id: str) -> None:
    """Say on the page of MLflow's experiment what was compared last, and link the report."""
    data = describe_data(load_metadata(PREPARED))
    trials = [trial.title for trial in params.trials]
    headline = f"**{read_json(COMPARISON, 'headline')['headline']}**"
    save_description(
        lambda experiment_id: describe_experiment(
            data, trials, headline, report_link(experiment_id, run_id)
        )
    )


def choose_champion(params: Params) -> str:
    """Register the networks where they deserve it; say in one sentence what was done."""
    metadata = load_metadata(PREPARED)
    metrics = metrics_table(params.trials, metadata["digest"])
    if "best_test_accuracy" not in metrics:
        return "no champion without test scores (evaluate.test is false)"
    if "best_val_accuracy" not in metrics and metrics["watched"].notna().any():
        return "no champion where the test images chose the epoch (train.watch is test)"
    ranked = rank(metrics.assign(trial=params.trials))
    registry = Registry(metadata["params"]["source"], metadata["digest"])
    # Two workers of a queue may get here at the same time.
    with filelock.FileLock(work_folder() / "registry.lock"):
        return _compete(registry, ranked, metadata)


def _compete(registry: Registry, ranked: list[dict[str, Any]], metadata: dict[str, Any]) -> str:
    """Take the aliases of a worse champion and its challenger; leave a better one's."""
    best, champion, split = ranked[0], registry.find("champion"), deciding(ranked[0])
    accuracy = best[f"best_{split}_accuracy"]
    if champion and (present := float(champion.tags[f"{split}_accuracy"])) >= accuracy:
        return (
            f"{champion.tags['run_name']} stays champion of {registry.name}: {SPLIT_NAMES[split]} "
            f"accuracy {present:.4f}, the best of this run, {best['name']}, has {accuracy:.4f}"
        )
    said = []
    for alias, row in zip(ALIASES, ranked, strict=False):
        uri = load_logged_model(row["trial"])["model_uri"]
        said_of_it = describe_version(row, describe_data(metadata))
        registry.register(uri, alias, version_tags(row, metadata), said_of_it)
        said.append(f"{row['name']} {row[f'best_{split}_accuracy']:.4f}")
    registry.describe(describe_registered(describe_data(metadata)))
    challenger = f", challenger {said[1]}" if len(said) > 1 else ""
    return (
        f"{best['name']} is champion of {registry.name}: {SPLIT_NAMES[split]} accuracy "
        f"{accuracy:.4f}{challenger}"
    )


def deciding(scores: Any) -> Split:
    """Return the split by which networks are ranked: val, or test where there is no other."""
    return "val" if "best_val_accuracy" in scores else "test"


def rank(metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the best training of each network, the best network first.

    The highest accuracy on the split that decides, at a tie the lowest loss.
    """
    keys = [f"best_{deciding(metrics)}_{what}" for what in ("accuracy", "loss")]
    ordered = metrics.sort_values(keys, ascending=[False, True], kind="stable")
    return ordered.drop_duplicates("network").to_dict("records")


def version_tags(row: dict[str, Any], metadata: dict[str, Any]) -> dict[str, str]:
    """Return what a registered version needs to be compared and used."""
    validation = {}
    if deciding(row) == "val":
        validation["val_accuracy"] = repr(float(row["best_val_accuracy"]))
    return {
        "run_name": row["name"],
        "network": row["network"],
        "variant": row["variant"],
        "seed": str(row["seed"]),
        "digest": metadata["digest"],
        **validation,
        "chosen_by": f"{SPLIT_NAMES[deciding(row)]} accuracy",
        "test_accuracy": repr(float(row["best_test_accuracy"])),
        "class_names": json.dumps(metadata["class_names"]),
    }
