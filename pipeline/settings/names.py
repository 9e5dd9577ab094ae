"""A training's name for people: its network, the nearest preset, what differs from it, its seed."""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.core.recipe import DROP_KEYS, resolve
from pipeline.data.sources import training_images
from pipeline.networks import find_network
from pipeline.settings.edits import as_override
from pipeline.settings.identity import digest, settings_of
from pipeline.settings.params import Params
from pipeline.settings.presets import DEFAULT, preset_values, shared_presets
from pipeline.settings.trainings import Training

LISTED = 6  # differences that a name lists; of the others it gives the number and a hash
DROPBLOCK = "DropBlock"  # stands for the keys of a DropBlock that is off
WHICH = ("networks", "variants", "seeds")  # keys of section train that say what to train


def training_name(params: Params, training: Training) -> str:
    """Name a training, like `resnet, quick, drop_block_size=7, seed 0`."""
    return f"{setting_name(params, training)}, seed {training.seed}"


def setting_name(params: Params, training: Training) -> str:
    """Name what all seeds of a setting share; settings whose params differ have different names."""
    preset, changes = _nearest(params, [training.network], lambda v: _deciding(v, training))
    off = changes.pop(DROPBLOCK, None)
    said = [f"{key}={as_override(value)}" for key, value in changes.items()]
    if len(said) > LISTED:
        others = dict(list(changes.items())[LISTED:])
        said[LISTED:] = [f"{len(others)} more ({digest(others)[:4]})"]
    if off or training.variant != "dropblock":
        said.insert(0, params.recipe(training.network, training.variant).dropblock)
    return ", ".join([training.display_name, preset, *said])


def nearest_preset(params: Params) -> tuple[str, dict[str, Any]]:
    """Return the preset with the fewest differences from a run, and the run's own values."""
    networks = params.train.networks

    def of_run(values: dict[str, Any]) -> dict[str, Any]:
        found = {f"train.{key}": values["train"][key] for key in WHICH}
        for section in ("evaluate", "report"):
            found |= {f"{section}.{key}": value for key, value in values[section].items()}
        for network in networks:
            deciding = _deciding(values, Training(network, "dropblock", 0))
            found |= {k if "." in k else f"{network}.{k}": v for k, v in deciding.items()}
        return found

    return _nearest(params, networks, of_run)


def _nearest(
    params: Params, networks: list[str], choose: Callable[[dict[str, Any]], dict[str, Any]]
) -> tuple[str, dict[str, Any]]:
    """Return the preset with the fewest differences from params, and the values that differ.

    Args:
        networks: whose sections count.
        choose: returns, of all values by section, those to compare.
    """
    own, differing = choose(params.by_section()), {}
    presets = _presets()
    for name in sorted(presets, key=DEFAULT.__ne__):  # of equally near ones, the default
        values = presets[name]
        sections = {n: {**_defaults(n), **resolve(values, n)} for n in networks}
        theirs = choose({**values, **sections})
        differing[name] = {k: v for k, v in own.items() if k not in theirs or theirs[k] != v}
    nearest = min(differing, key=lambda name: len(differing[name]))
    return nearest, differing[nearest]


def _deciding(values: dict[str, Any], training: Training) -> dict[str, Any]:
    """Return the params that decide a training's result, those of its data included."""
    given, found = values["data"], settings_of(values, training)
    if DROP_KEYS[0] not in found:
        found[DROPBLOCK] = "off"
    data = {f"data.{key}": value for key, value in given.items() if key != "path"}
    if given["path"] and math.isinf(training_images(given["source"])):  # your own images
        data["data.path"] = Path(given["path"]).name
    return {**found, **data}


def _defaults(network: str) -> dict[str, Any]:
    """Return the defaults of a network's keys; presets do not know your own networks."""
    fields = find_network(network).params.model_fields
    return {
        key: field.get_default(call_default_factory=True)
        for key, field in fields.items()
        if not field.is_required()
    }


@cache
def _presets() -> dict[str, dict[str, Any]]:
    # By a preset that only this folder has, a setting would get another name elsewhere.
    return {name: preset_values(name) for name in shared_presets()}
