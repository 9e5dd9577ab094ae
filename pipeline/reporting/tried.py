"""The settings that experiments tried: the trainings that differ only in the seed.

They form one setting even if they belong to different experiments.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.recipe import Variant, resolve
from pipeline.core.records import SPLIT_NAMES
from pipeline.core.words import NO_DROPBLOCK
from pipeline.settings.edits import as_override
from pipeline.settings.identity import settings_of
from pipeline.settings.params import check_params
from pipeline.settings.trainings import Training

Values = dict[str, Any]
BLOCK, OFF = "drop_block_size", "off"
ABSENT = "-"  # stands for the value if a network does not have the param


class Result(NamedTuple):
    """An experiment's result.

    Attributes:
        params: params.yaml by section, from any version of this project.
        summary: its comparison.json.
    """

    name: str
    params: dict[str, Any]
    summary: dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """The trainings that differ only in the seed, over all experiments.

    Attributes:
        params: the params that determine the training.
        experiments: the experiments' names, the reference first.
        right: the number of correct images, by seed.
        images: the number of scored images.
        scored: the split they are from, as people read it: test or validation.
        cost: the pflop, parameters and training_seconds of a training, a mean over the seeds of the
            first experiment; empty if that is of an earlier version of this project.
    """

    network: str
    params: Values
    experiments: list[str]
    right: dict[int, int]
    images: int
    scored: str
    cost: dict[str, float] = field(default_factory=dict)

    @property
    def accuracies(self) -> np.ndarray:
        """The accuracy of each seed, from 0 to 1, in the order of the seeds."""
        return np.array([self.right[seed] for seed in sorted(self.right)]) / self.images


def collect_settings(results: list[Result]) -> tuple[list[Setting], list[str]]:
    """Return each network's settings, and the experiments that contradict an earlier one.

    If the same training has different results, as from another machine, the first one seen counts.
    """
    settings: dict[tuple[str, str], Setting] = {}
    unlike: list[str] = []
    for result in results:
        for network, found in result.summary["accuracy"].items():
            right = {int(seed): count for seed, count in found["right"].items()}
            key = network, result.summary["settings"][network]
            known = settings.get(key)
            if known is None:
                settings[key] = Setting(
                    network=network,
                    params=params_of(result, network),
                    experiments=[result.name],
                    right=right,
                    images=result.summary["images"],
                    scored=SPLIT_NAMES[result.summary["scored"]],
                    cost=result.summary.get("cost", {}).get(network, {}),
                )
            elif all(known.right.get(seed, count) == count for seed, count in right.items()):
                known.experiments.append(result.name)
                known.right.update(right)
            else:
                unlike.append(f"{result.name} ({network})")
    return list(settings.values()), unlike


def params_of(result: Result, network: str) -> Values:
    """Return the params that determine a network's trainings; block size `off` if no DropBlock."""
    section = result.summary["sections"][network]
    values = typed(result.params)
    variant: Variant = (values["train"].get("variants") or ["dropblock"])[0]
    params = settings_of(values, Training(section, variant, 0))
    if BLOCK in resolve(values, section):
        return {**params, BLOCK: params.get(BLOCK, OFF)}
    return params


def typed(params: dict[str, Any]) -> dict[str, Any]:
    """Return params with the defaults in code, as an identity has them; others as they are."""
    try:
        return check_params(params).by_section()
    except UserError:  # of another version of this project
        return params


def differing(settings: list[Values]) -> list[str]:
    """Return the keys whose values differ between the settings, in order."""
    keys = list(dict.fromkeys(key for params in settings for key in params))
    return [key for key in keys if len({str(params.get(key)) for params in settings}) > 1]


def value_of(setting: Setting, key: str) -> str:
    """Return a setting's value of a param, as params.yaml has it; `-` if it has no such param."""
    return as_override(setting.params[key]) if key in setting.params else ABSENT


def describe_change(params: Values, reference: Values) -> str:
    """Say what differs from the reference; if no param does, that the code or versions do."""
    keys = [key for key in differing([reference, params]) if key in params]
    said = [
        NO_DROPBLOCK if params[key] == OFF else f"{key} {as_override(params[key])}" for key in keys
    ]
    return ", ".join(said) or "same params, different code or library versions"
