"""Sweep with one seed more each time, until the difference of two networks is decided."""

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import COMPARISON, project_root
from pipeline.reporting.formats import counted
from pipeline.reporting.p_values import SEEDS_NEEDED
from pipeline.reporting.sequential import DECIDED, e_values
from pipeline.settings.edits import as_override
from pipeline.settings.params import Params, load_params
from pipeline.sweep.run import sweep
from pipeline.versioning.experiments import list_experiments
from pipeline.versioning.overrides import Overrides
from pipeline.versioning.snapshot import take_snapshot

CAVEAT = (
    "The report's own p-values and verdict are not valid here: they assume that the number of "
    "seeds was fixed beforehand"
)
CHOSEN = ("train.seeds", "train.networks", "evaluate.test")  # what -S may not set


def sweep_until_decided(
    choices: list[Overrides], most: int, cpus: int, dry_run: bool, cluster: str | None
) -> int:
    """Train with the seeds in params.yaml, then with one more at a time; print the conclusion.

    Args:
        choices: the -S overrides; of one experiment only.
        most: the number of seeds at which to stop undecided.
        cpus, dry_run, cluster: as for a sweep. A dry run prints the most that can be trained.

    Returns:
        1 if a training failed, else 0.

    Raises:
        UserError: what is asked for is not one comparison of two networks; or as for a sweep.
    """
    params = load_params()
    train = params.train
    _check(choices, params, most)
    seeds = [*train.seeds, *range(max(train.seeds) + 1, max(train.seeds) + 1 + most)][:most]
    snapshot = take_snapshot(project_root())  # later edits are for other runs
    for count in [most] if dry_run else range(len(train.seeds), most + 1):
        asked = (*choices[0], f"train.seeds={as_override(seeds[:count])}")
        swept = sweep([asked], cpus, dry_run, cluster, snapshot)
        if dry_run or swept.lacking:
            return len(swept.lacking)
        compared, differences = _difference(swept.names[asked])
        found = e_values(differences).max()
        print(f"{counted(count, 'seed')}: e-value {found:.1f} (decided at {DECIDED:.0f})")
        if found >= DECIDED:
            break
    print(conclude(compared, differences))
    return 0


def _check(choices: list[Overrides], params: Params, most: int) -> None:
    """Raise a UserError unless two networks are to be compared in one experiment."""
    networks, seeds = params.train.networks, params.train.seeds
    if len(choices) > 1 or any(text.lstrip("+~").startswith(CHOSEN) for text in choices[0]):
        raise UserError(
            "--until-decided: give one value per -S, and set train.networks, train.seeds (the "
            "first seeds) and evaluate.test in params.yaml"
        )
    if not params.evaluate.test:
        raise UserError("--until-decided compares test accuracies; set evaluate.test: true")
    if len(networks) != 2:
        raise UserError(f"--until-decided compares two networks; train.networks is {networks}")
    if most < SEEDS_NEEDED:
        raise UserError(f"--until-decided {most}: fewer than {SEEDS_NEEDED} seeds decide nothing")
    if most < len(seeds):
        raise UserError(f"--until-decided {most}: train.seeds has {len(seeds)} seeds already")


def _difference(experiment: str) -> tuple[str, np.ndarray]:
    """Return what is subtracted, like `resnet minus baseline`, and the differences by seed."""
    found = {each.name: each for each in list_experiments()}
    summary = found[experiment].read_json(COMPARISON) if experiment in found else {}
    for name, said in summary.get("differences", {}).items():  # of two networks, so at most one
        compared = f"{name} minus {summary['reference']}"
        return compared, np.array(list(said["by_seed"].values()))
    if summary:
        raise UserError(f"experiment {experiment} compares nothing: {summary['headline']}")
    raise UserError(
        f"experiment {experiment} has no comparison in DVC's cache here; get it with `dvc exp pull "
        f"REMOTE {experiment}`, or remove it with `dvc exp remove {experiment}` and repeat the "
        "command"
    )


def conclude(compared: str, differences: np.ndarray) -> str:
    """Say whether there is enough evidence of a difference.

    Args:
        compared: what is subtracted, like `resnet minus baseline`.
        differences: in accuracy, by seed.
    """
    said = f"{compared}: {100 * differences.mean():+.1f} points of accuracy"
    seeds, found = counted(len(differences), "seed"), e_values(differences).max()
    if found < DECIDED:
        return f"not decided with {seeds}: {said}. {CAVEAT}"
    p_value = f"p is at most {1 / found:.2g}, however often you looked"
    return f"decided after {seeds}: {said}; {p_value}. {CAVEAT}"
