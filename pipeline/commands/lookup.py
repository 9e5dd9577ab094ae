"""Which MLflow runs belong to which DVC experiment, and back.

Read from the results themselves, so it is right also where DVC restored a stage from its cache
(the run is then the one that computed it) and for --temp and queued experiments.
"""

import pandas as pd

from pipeline.core.errors import UserError
from pipeline.reporting.experiments import TrackedResult, list_results
from pipeline.tracking.store import find_runs, open_store, store_errors


def lookup(name: str | None) -> pd.DataFrame:
    """Return experiment, rev, network, variant, seed, run and its status in MLflow, a row each.

    Args:
        name: name or revision of an experiment, or id of a run or its start; None for all.

    Raises:
        UserError: there is no such result, or this is no DVC repository.
    """
    results = [result for result in list_results() if not name or _is_named(result, name)]
    if not results:
        raise UserError(
            f"no result of {name}; `dvc exp list` names the experiments"
            if name
            else "no results yet; run `dvc repro`"
        )
    return as_table(results)


def _is_named(result: TrackedResult, name: str) -> bool:
    of_revision = bool(result.revision) and name.startswith(result.revision)
    return name == result.experiment or of_revision or result.run_id.startswith(name)


@store_errors()
def as_table(results: list[TrackedResult]) -> pd.DataFrame:
    """Return a row for each result."""
    open_store()
    status = {run.info.run_id: run.info.status for run in find_runs()}
    rows = [
        {
            "experiment": result.experiment,
            "rev": result.revision,
            "network": result.trial.display_name,
            "variant": result.trial.variant,
            "seed": result.trial.seed,
            "MLflow run": result.run_id,
            "status": status.get(result.run_id, "not in this store"),
        }
        for result in results
    ]
    return pd.DataFrame(rows)
