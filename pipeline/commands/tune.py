"""Tune each network with the same number of trials of the same spaces, on validation images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import METRICS, REPORTS, read_yaml
from pipeline.networks import display_name
from pipeline.reporting.formats import counted
from pipeline.reporting.page import write_page
from pipeline.reporting.tuning import Tuned, make_page
from pipeline.settings.identity import digest
from pipeline.settings.params import PARAMS_FILE, check_params
from pipeline.settings.presets import TUNED, save_preset
from pipeline.sweep.run import sweep
from pipeline.sweep.trials import Trial, check_trials, draw_trials, load_tuning, overrides_of
from pipeline.tracking.tunings import log_tuning
from pipeline.versioning.experiments import list_experiments
from pipeline.versioning.overrides import Overrides

FOLDER = REPORTS / "tuning"
COMMENT = (
    "# Chosen by `python -m pipeline tune`: the best of {trials} trials of each network\n"
    "# (tune.yaml), by validation accuracy: {scores}."
)


def tune(cpus: int, dry_run: bool, cluster: str | None) -> int:
    """Run the trials that are missing; write reports/tuning/, presets/tuned.yaml and a parent run.

    Args:
        cpus, dry_run, cluster: as for a sweep.

    Returns:
        1 if a trial failed, else 0.

    Raises:
        UserError: params.yaml or tune.yaml is wrong, or the sweep cannot run.
    """
    values, tuning = read_yaml(PARAMS_FILE), load_tuning()
    train, trials = check_params(values).train, draw_trials(tuning)
    check_trials(trials, values, train.networks)
    asked = {
        network: [overrides_of(t, network, train.variants[0], tuning.seeds) for t in trials]
        for network in train.networks
    }
    swept = sweep([chosen for many in asked.values() for chosen in many], cpus, dry_run, cluster)
    if dry_run:
        return 0
    names = set(swept.names.values())
    scores = read_scores(names)
    tuned = {
        network: Tuned(display_name(network), _of_trials(many, swept.names, scores))
        for network, many in asked.items()
    }
    print(conclude(values, trials, tuned))
    best = {found.network: float(found.scores.max()) for found in tuned.values()}
    run = log_tuning(digest(sorted(names)), names, best, FOLDER)
    print(f"MLflow run {run}, the parent of the trials' runs")
    return 1 if swept.lacking else 0


def read_scores(names: set[str]) -> dict[str, float]:
    """Return the validation accuracy of each of these experiments of one network, by name."""
    found = {}
    for experiment in list_experiments():
        if experiment.name in names:
            for each in experiment.read_json(METRICS).values():
                if "val_accuracy" in each:
                    found[experiment.name] = each["val_accuracy"]
    return found


def _of_trials(
    many: list[Overrides], names: Mapping[Overrides, str], scores: Mapping[str, float]
) -> np.ndarray:
    return np.array([scores.get(names[chosen], 0.0) for chosen in many])


def conclude(values: dict[str, Any], trials: list[Trial], tuned: dict[str, Tuned]) -> str:
    """Write report and preset; return each network's best trial, in words."""
    chosen, scores, said, missing = dict(values), [], [], 0
    for network, found in tuned.items():
        if not found.scores.any():
            raise UserError(f"no trial of the {found.network} has a result; repeat the command")
        best = trials[found.best]
        chosen[network] = {**(values[network] or {}), **best}
        scores.append(f"{found.network} {100 * found.scores[found.best]:.1f} %")
        said.append(f"{scores[-1]} ({', '.join(f'{key} {value}' for key, value in best.items())})")
        missing += found.missing
    comment = COMMENT.format(trials=len(trials), scores=", ".join(scores))
    if missing:
        comment = f"# Without a result, counted as 0 %: {counted(missing, 'trial')}.\n{comment}"
    file = save_preset(TUNED, chosen, comment)
    text = f"Best validation accuracy of {len(trials)} trials each: {'; '.join(said)}."
    write_page(make_page(list(tuned.values()), trials, text), FOLDER)
    way_on = f"`python -m pipeline preset {TUNED}` applies it"
    return f"{text}\nwritten to {file.parent.name}/{file.name}; {way_on}\n{FOLDER / 'report.html'}"
