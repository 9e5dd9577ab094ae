"""What a sweep consists of: its experiments, and the trainings that differ."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from dvc.exceptions import DvcException
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from pipeline.core.errors import UserError, first_line
from pipeline.core.files import read_yaml
from pipeline.settings.messages import unknown_key
from pipeline.settings.params import PARAMS_FILE, check_params, known_keys
from pipeline.settings.trainings import Training
from pipeline.sweep.snapshot import Snapshot
from pipeline.versioning.repository import git

DVC_FILE = Path("dvc.yaml")
# The stages behind the data, a training and its result.
PREPARED_BY = ("prepare",)
TRAINED = (*PREPARED_BY, "train")
EVALUATED = (*TRAINED, "evaluate")


class Keys(NamedTuple):
    """Hashes of all that a training depends on, and of all that its evaluation does too."""

    training: str
    result: str


@dataclass(frozen=True)
class Experiment:
    """One point of the sweep.

    Attributes:
        name: as `dvc exp show` will list it; the same for the same params and code.
        overrides: what stands behind each -S.
        values: params.yaml with the overrides.
        data: what its data are made of, hashed.
        keys: of each training and of its evaluated result.
    """

    name: str
    overrides: tuple[str, ...]
    values: dict[str, Any]
    data: str
    keys: dict[Training, "Keys"]


class Evaluation(NamedTuple):
    """What is asked of a training: its result's key, and the first experiment that asks."""

    key: str
    experiment: str
    overrides: tuple[str, ...]


class Training(NamedTuple):
    """A training that experiments share, and how it is evaluated: once, or with several params."""

    key: str
    trial: Training
    evaluations: tuple[Evaluation, ...]


def expand(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the overrides of each experiment, as `dvc exp run --queue` expands them.

    Raises:
        UserError: one is not in Hydra's grammar, or for another file than params.yaml.
    """
    by_file = to_path_overrides(overrides)
    if others := set(by_file) - {str(PARAMS_FILE)}:
        raise UserError(f"-S {others.pop()}:...: a sweep changes {PARAMS_FILE} only")
    try:
        points = get_hydra_sweeps(by_file)
    except Exception as error:  # Hydra's own errors and DVC's
        raise UserError(
            f"-S {' -S '.join(overrides)}: {first_line(error)}; write "
            "-S 'model.drop_block_size=1,3' for several values, -S 'train.seeds=[0,1]' for a list"
        ) from None
    return [tuple(point.get(str(PARAMS_FILE), ())) for point in points]


def override_params(folder: Path, overrides: Sequence[str]) -> None:
    """Write overrides into params.yaml of a folder, as `dvc exp run -S` does.

    Raises:
        UserError: a key that there is not, or a value that Hydra can't read.
    """
    try:
        if overrides:
            apply_overrides(folder / PARAMS_FILE, list(overrides))
    except DvcException as error:
        reason = _unknown_key(overrides) or first_line(error.__cause__ or error)
        raise UserError(f"-S {' -S '.join(overrides)}: {reason}") from None


def _unknown_key(overrides: Sequence[str]) -> str | None:
    """Say which override is of no key of params.yaml, and which key may be meant."""
    known = known_keys()
    for key in (override.partition("=")[0] for override in overrides):
        section, _, name = key.rpartition(".")
        if name not in known.get(section, []):
            return unknown_key(key, known)
    return None


def plan_experiments(
    snapshot: Snapshot, folder: Path, overrides: Sequence[str]
) -> list[Experiment]:
    """Expand the overrides, check the params of each experiment and name it.

    Args:
        folder: the snapshot, unpacked; its params.yaml is left as it was.

    Raises:
        UserError: as expand, override_params and check_params.
    """
    points = expand(overrides)
    original = (folder / PARAMS_FILE).read_bytes()
    stages = read_yaml(folder / DVC_FILE)["stages"]
    tree = cache(partial(tree_of, folder, snapshot.state))
    found = []
    for point in points:
        override_params(folder, point)
        values = read_yaml(folder / PARAMS_FILE)
        (folder / PARAMS_FILE).write_bytes(original)
        params = check_params(values)
        hashed = partial(identity, stages, tree, values)
        keys = {trial: Keys(hashed(TRAINED, trial), hashed(EVALUATED, trial))
                for trial in params.trials}  # fmt: skip
        everything = digest([values, tree("pipeline"), tree(str(DVC_FILE))])
        name = experiment_name(point, points, everything)
        found.append(Experiment(name, point, values, hashed(PREPARED_BY, params.trials[0]), keys))
    return list({experiment.name: experiment for experiment in found}.values())


def experiment_name(point: Sequence[str], points: Sequence[Sequence[str]], everything: str) -> str:
    """Name an experiment by what differs between the points, and by a hash of all."""
    varied = [
        text.split(".", 1)[-1]
        for i, text in enumerate(point)
        if len({other[i] for other in points}) > 1
    ]
    words = re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(varied or ["sweep"])).strip("-.")
    return f"{words[:60]}-{everything[:7]}".replace("..", ".")


def identity(
    stages: dict[str, Any],
    tree: Callable[[str], str],
    values: dict[str, Any],
    names: Sequence[str],
    trial: Training,
) -> str:
    """Hash all that some stages depend on for a training: their commands, params and code.

    Args:
        stages: of dvc.yaml.
        tree: returns git's hash of a path, empty where git doesn't know it.
    """
    asked: list[Any] = [trial.label if "train" in names else ""]
    for name in names:
        stage = json.loads(json.dumps(stages[name]).replace("${item.network}", trial.network))
        asked += [stage["cmd"]]
        asked += [(key, _value(values, key)) for key in stage["params"]]
        asked += [(path, tree(path)) for path in stage["deps"]]
    return digest(asked)


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def tree_of(folder: Path, commit: str, path: str) -> str:
    """Return git's hash of a file or folder in a commit, empty where it isn't in git."""
    return git(folder, "rev-parse", "--verify", "-q", f"{commit}:{path}", check=False)


def digest(values: Any) -> str:
    """Hash JSON-like values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def list_trainings(experiments: Sequence[Experiment]) -> list[Training]:
    """Return the trainings that differ, in the order of the experiments."""
    asked: dict[tuple[str, Training], dict[str, Evaluation]] = {}
    for experiment in experiments:
        for trial, keys in experiment.keys.items():
            evaluation = Evaluation(keys.result, experiment.name, experiment.overrides)
            asked.setdefault((keys.training, trial), {}).setdefault(keys.result, evaluation)
    return [Training(key, trial, tuple(of.values())) for (key, trial), of in asked.items()]
