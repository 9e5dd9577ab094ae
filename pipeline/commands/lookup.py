"""Which MLflow runs belong to which experiment, and back: joined on the trainings' identities."""

import itertools
import json

import pandas as pd

from pipeline.core.errors import UserError
from pipeline.networks import network_names
from pipeline.settings.trainings import Training
from pipeline.tracking.runs import TRAINING
from pipeline.tracking.store import find_runs, open_store, store_errors
from pipeline.versioning.experiments import Experiment, list_experiments

ABSENT = "not in this store"


@store_errors()
def lookup(name: str | None) -> pd.DataFrame:
    """Return experiment, rev, network, variant, seed, run and its status in MLflow, a row each.

    Args:
        name: name or revision of an experiment, or id of a run or its start; None for all.

    Raises:
        UserError: there is no such result, or this is no DVC repository.
    """
    open_store()
    finished = {run.data.tags.get(TRAINING): run.info.run_id for run in reversed(find_runs())
                if run.info.status == "FINISHED"}  # fmt: skip
    rows = [
        {
            "experiment": experiment.name,
            "rev": experiment.revision,
            "network": _name_of(training),
            "variant": training.variant,
            "seed": training.seed,
            "MLflow run": finished.get(identity, ABSENT),
        }
        for experiment in list_experiments()
        for training, identity in identities(experiment).items()
    ]
    chosen = [row for row in rows if not name or _is_named(row, name)]
    if not chosen:
        raise UserError(
            f"no result of {name}; `dvc exp list` names the experiments"
            if name
            else "no results yet; run `dvc repro`"
        )
    return pd.DataFrame(chosen)


def _is_named(row: dict[str, object], name: str) -> bool:
    of_revision = bool(row["rev"]) and name.startswith(str(row["rev"]))
    return name == row["experiment"] or of_revision or str(row["MLflow run"]).startswith(name)


def _name_of(training: Training) -> str:
    """Return a network's name for people, also of one whose file is no longer there."""
    there = training.network in network_names()
    return training.display_name if there else training.network


def identities(experiment: Experiment) -> dict[Training, str]:
    """Return the identity of each training of an experiment whose facts are in a cache here.

    Those of an earlier version have none.
    """
    asked = experiment.params.get("train") or {}
    lists = [asked.get(key) or [] for key in ("networks", "variants", "seeds")]
    found = {}
    for training in (Training(*combination) for combination in itertools.product(*lists)):
        try:
            facts = json.loads(experiment.read(training.facts_file) or b"{}")
        except ValueError:
            continue
        if isinstance(facts, dict) and TRAINING in facts:
            found[training] = facts[TRAINING]
    return found
