"""Sweep with one seed more each time, until the difference of two networks is decided."""

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import COMPARISON
from pipeline.reporting.formats import counted
from pipeline.reporting.sequential import DECIDED, evidence
from pipeline.settings.names import as_override
from pipeline.settings.params import load_params
from pipeline.sweep.run import sweep
from pipeline.versioning.experiments import list_experiments
from pipeline.versioning.overrides import Overrides

CHOSEN = ("train.seeds", "train.networks")  # what -S may not set


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
    train = load_params().train
    _check(choices, train.networks, train.seeds, most)
    seeds = [*train.seeds, *range(max(train.seeds) + 1, max(train.seeds) + 1 + most)][:most]
    for count in [most] if dry_run else range(len(train.seeds), most + 1):
        asked = (*choices[0], f"train.seeds={as_override(seeds[:count])}")
        swept = sweep([asked], cpus, dry_run, cluster)
        if dry_run or swept.lacking:
            return len(swept.lacking)
        name, differences = _difference(swept.names[asked])
        found = evidence(differences).max()
        print(f"{counted(count, 'seed')}: evidence {found:.1f}, decided at {DECIDED:.0f}")
        if found >= DECIDED:
            break
    print(conclude(name, differences))
    return 0


def _check(choices: list[Overrides], networks: list[str], seeds: list[int], most: int) -> None:
    """Raise a UserError unless two networks are to be compared in one experiment."""
    if len(choices) > 1 or any(text.lstrip("+~").startswith(CHOSEN) for text in choices[0]):
        raise UserError(
            "--until-decided: give one value per -S, and set train.networks and train.seeds (the "
            "first seeds) in params.yaml"
        )
    if len(networks) != 2:
        raise UserError(f"--until-decided compares two networks; train.networks is {networks}")
    if most < len(seeds):
        raise UserError(f"--until-decided {most}: train.seeds has {len(seeds)} seeds already")


def _difference(experiment: str) -> tuple[str, np.ndarray]:
    """Return the second network's name, and its accuracy minus the first's, by seed."""
    (found,) = (each for each in list_experiments() if each.name == experiment)
    ((name, said),) = found.read_json(COMPARISON)["differences"].items()
    return name, np.array(list(said["by_seed"].values()))


def conclude(name: str, differences: np.ndarray) -> str:
    """Say whether there is enough evidence of a difference.

    Args:
        name: the second network's.
        differences: its accuracy minus the first's, by seed.
    """
    count, mean = len(differences), 100 * differences.mean()
    found = evidence(differences).max()
    if found < DECIDED:
        return f"not decided with {counted(count, 'seed')}: the {name} scores {mean:+.1f} points"
    return (
        f"decided after {counted(count, 'seed')}: the {name} scores {mean:+.1f} points; p is at "
        f"most {1 / found:.2g}, whenever one stops. The report's p-values are not valid here: they "
        "assume that the number of seeds was fixed beforehand"
    )
