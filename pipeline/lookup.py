"""Which MLflow runs belong to which DVC experiment, and back.

Read from the results themselves, so it is right also where DVC restored a stage from its cache
(the run is then the one that computed it) and for --temp and queued experiments.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from pipeline import tracking
from pipeline.errors import UserError, exit_on_user_error
from pipeline.experiments import list_revisions, open_revision
from pipeline.params import DISPLAY_NAMES, Trial
from pipeline.paths import OUTPUTS


@dataclass(frozen=True)
class Result:
    """A training's result in a DVC experiment, a commit or the workspace, and its MLflow run."""

    experiment: str
    revision: str
    trial: Trial
    run_id: str


def list_results() -> list[Result]:
    """List the results of the workspace, the last commit and all experiments.

    Raises:
        UserError: this is no DVC repository.
    """
    return [result for name, rev in list_revisions() for result in _read_results(name, rev)]


def _read_results(experiment: str, revision: str | None) -> Iterator[Result]:
    files = open_revision(revision)
    for path in sorted(files.glob(f"{OUTPUTS}/evaluation/*/run.json")):
        trial = Trial.parse(path.split("/")[-2])
        if trial is None:
            continue
        try:
            run_id = json.loads(files.read_text(path))["run_id"]
        except FileNotFoundError:  # known to dvc.lock, in no cache here
            continue
        yield Result(experiment, (revision or "")[:7], trial, run_id)


def as_table(results: list[Result]) -> pd.DataFrame:
    """Return experiment, rev, network, variant, seed, run and its status in MLflow, a row each."""
    tracking.open_store()
    status = {run.info.run_id: run.info.status for run in tracking.find_runs()}
    rows = [
        {
            "experiment": result.experiment,
            "rev": result.revision,
            "network": DISPLAY_NAMES[result.trial.network],
            "variant": result.trial.variant,
            "seed": result.trial.seed,
            "MLflow run": result.run_id,
            "status": status.get(result.run_id, "not in this store"),
        }
        for result in results
    ]
    return pd.DataFrame(rows)


@exit_on_user_error
def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.lookup", description=__doc__)
    parser.add_argument(
        "name", nargs="?", help="name or revision of an experiment, or id of a run (or its start)"
    )
    name = parser.parse_args().name
    results = list_results()
    if name:
        results = [
            r
            for r in results
            if name == r.experiment or (r.revision and name.startswith(r.revision))
            or r.run_id.startswith(name)
        ]  # fmt: skip
    if not results:
        raise UserError(
            f"no result of {name}; `dvc exp list` names the experiments"
            if name
            else "no results yet; run `dvc repro`"
        )
    print(as_table(results).to_markdown(index=False))


if __name__ == "__main__":
    main()
