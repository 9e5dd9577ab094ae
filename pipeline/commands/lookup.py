"""Which MLflow run belongs to which training of which experiment, joined on their identities."""

import itertools
from typing import Any

import pandas as pd

from pipeline.core.errors import UserError
from pipeline.networks import network_names
from pipeline.settings.trainings import Training
from pipeline.tracking.runs import key_of
from pipeline.tracking.store import find_runs, open_store, store_errors
from pipeline.versioning.experiments import Experiment, list_experiments

ABSENT = "not in this store"


@store_errors()
def lookup(name: str | None) -> pd.DataFrame:
    """Return a row per training: experiment, rev, network, variant, seed and MLflow run.

    Args:
        name: an experiment's name or revision, or the first digits of a run's id; None: all.

    Raises:
        UserError: there is no such result, or this is not a DVC repository.
    """
    open_store()
    found = find_runs("attributes.status = 'FINISHED'")
    finished = {key_of(run): run.info.run_id for run in reversed(found)}
    rows = [
        {
            "experiment": experiment.name,
            "rev": experiment.revision,
            "network": _name_of(training),
            "variant": training.variant,
            "seed": training.seed,
            "MLflow run": finished.get((identity, training.variant), ABSENT),
        }
        for experiment in list_experiments()
        for training, identity in identities(experiment).items()
    ]
    chosen = [row for row in rows if not name or _is_named(row, name)]
    if not chosen:
        raise UserError(
            f"no result matches {name}; `dvc exp list` names the experiments"
            if name
            else "no results yet; run `dvc repro`"
        )
    return pd.DataFrame(chosen)


def _is_named(row: dict[str, object], name: str) -> bool:
    of_revision = bool(row["rev"]) and name.startswith(str(row["rev"]))
    run = str(row["MLflow run"])
    of_run = run != ABSENT and run.startswith(name)
    experiment = str(row["experiment"])
    of_experiment = name in (experiment, experiment.partition(" (")[0])  # names may repeat
    return of_experiment or of_revision or of_run


def _name_of(training: Training) -> str:
    """Return a network's display name; its section's name if its file no longer exists."""
    there = training.network in network_names()
    return training.display_name if there else training.network


def identities(experiment: Experiment) -> dict[Training, str]:
    """Return the identities of an experiment's trainings whose facts are in a local cache.

    Facts written by an earlier version have no identity and are left out.
    """
    asked: Any = experiment.params.get("train")
    try:
        lists = [asked[key] for key in ("networks", "variants", "seeds")]
        trainings = [Training(*combination) for combination in itertools.product(*lists)]
    except (KeyError, TypeError):  # an earlier version's params, or wrong by now
        return {}
    found = {}
    for training in trainings:
        if identity := experiment.read_json(training.facts_file).get("training"):
            found[training] = identity
    return found
