"""Stage `register`: name the best network of this data champion in MLflow's model registry.

The better network by validation accuracy becomes `champion` and the other one `challenger`, but
only where it beats the present champion of the same prepared data. The report and its figures go
to the MLflow runs that it compares.
"""

import argparse
import json
from typing import Any

import filelock
import pandas as pd

from pipeline import tracking
from pipeline.errors import exit_on_user_error
from pipeline.params import DISPLAY_NAMES, Params, Trial, load_params
from pipeline.paths import REGISTERED, REPORTS, evaluation_folder, work_folder
from pipeline.results import load_metrics, load_prepared_metadata

SECTIONS = {name: network for network, name in DISPLAY_NAMES.items()}


def register(params: Params) -> str:
    """Register the networks where they deserve it; say in one sentence what was done."""
    metadata = load_prepared_metadata()
    metrics = load_metrics(params, metadata["digest"])
    if "best_val_accuracy" not in metrics:
        return "no champion without validation images (data.validation_fraction is 0)"
    best = rank(metrics)
    registry = tracking.Registry(metadata["params"]["source"], metadata["digest"])
    # Two workers of a queue may get here at the same time.
    with filelock.FileLock(work_folder() / "registry.lock"):
        return _compete(registry, best, metadata)


def _compete(
    registry: tracking.Registry, best: list[dict[str, Any]], metadata: dict[str, Any]
) -> str:
    """Take the aliases of a worse champion and its challenger; leave a better one's."""
    champion = registry.find("champion")
    accuracy = best[0]["best_val_accuracy"]
    if champion and float(champion.tags["val_accuracy"]) >= accuracy:
        return (
            f"{champion.tags['run_name']} stays champion of {registry.name}: validation accuracy "
            f"{float(champion.tags['val_accuracy']):.4f}, {best[0]['name']} has {accuracy:.4f}"
        )
    for alias, row in zip(("champion", "challenger"), best, strict=True):
        registry.register(_model_uri(row), alias, describe(row, metadata))
    return (
        f"{best[0]['name']} is champion of {registry.name}: validation accuracy {accuracy:.4f}, "
        f"challenger {best[1]['name']} {best[1]['best_val_accuracy']:.4f}"
    )


def rank(metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the best training of each network, the better network first.

    The highest validation accuracy, at a tie the lowest validation loss.
    """
    keys = ["best_val_accuracy", "best_val_loss"]
    ordered = metrics.sort_values(keys, ascending=[False, True], kind="stable")
    return ordered.drop_duplicates("network").to_dict("records")


def _model_uri(row: dict[str, Any]) -> str:
    return _tracked(Trial(SECTIONS[row["network"]], row["variant"], row["seed"]))["model_uri"]


def _tracked(trial: Trial) -> dict[str, str]:
    """Read the run_id and the model_uri that `evaluate` left."""
    return json.loads((evaluation_folder(trial) / "run.json").read_text())


def describe(row: dict[str, Any], metadata: dict[str, Any]) -> dict[str, str]:
    """Return what a registered version needs to be compared and used."""
    return {
        "run_name": row["name"],
        "network": row["network"],
        "variant": row["variant"],
        "seed": str(row["seed"]),
        "digest": metadata["digest"],
        "val_accuracy": repr(float(row["best_val_accuracy"])),
        "test_accuracy": repr(float(row["best_test_accuracy"])),
        "class_names": json.dumps(metadata["class_names"]),
    }


@exit_on_user_error
def main() -> None:
    """Run the stage."""
    argparse.ArgumentParser(prog="python -m pipeline.register", description=__doc__).parse_args()
    params = load_params()
    said = register(params)
    run_ids = [_tracked(trial)["run_id"] for trial in params.trials]
    tracking.attach_files(run_ids, [REPORTS / "report.html", REPORTS / "figures"], "report")
    REGISTERED.write_text(json.dumps({"registry": said}) + "\n")
    print(said)


if __name__ == "__main__":
    main()
