"""A training's name for people: its network, the nearest preset, what differs from it, its seed."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.core.recipe import DROP_KEYS, resolve
from pipeline.data.sources import training_images
from pipeline.networks import find_network
from pipeline.settings.identity import digest, settings_of
from pipeline.settings.params import Params
from pipeline.settings.presets import DEFAULT, preset_names, preset_values
from pipeline.settings.trainings import Training

LISTED = 6  # differences that a name lists; of the others it gives the number and a hash
PLACES = ("path", "url")  # keys of section data that say where a published data set is


def training_name(params: Params, training: Training) -> str:
    """Name a training, like `resnet, quick, drop_block_size=7, seed 0`."""
    return f"{setting_name(params, training)}, seed {training.seed}"


def setting_name(params: Params, training: Training) -> str:
    """Name what all seeds of a setting share; settings whose params differ have different names."""
    own = _deciding(params.by_section(), training)
    preset, changes, undropped = min(
        (_compare(name, own, training) for name in sorted(preset_names(), key=DEFAULT.__ne__)),
        key=lambda compared: len(compared[1]) + compared[2],
    )
    said = [f"{key}={as_override(value)}" for key, value in changes.items()]
    if len(said) > LISTED:
        others = dict(list(changes.items())[LISTED:])
        said[LISTED:] = [f"{len(others)} more ({digest(others)[:4]})"]
    if undropped or training.variant != "dropblock":
        said.insert(0, params.recipe(training).dropblock)
    return ", ".join([training.display_name, preset, *said])


def _compare(
    name: str, own: dict[str, Any], training: Training
) -> tuple[str, dict[str, Any], bool]:
    """Return a preset's name, what differs from it, and whether only the preset has DropBlock."""
    values = _presets()[name]
    network = {**_defaults(training.network), **resolve(values, training.network)}
    theirs = _deciding({**values, training.network: network}, training)
    changes = {k: v for k, v in own.items() if k not in theirs or theirs[k] != v}
    return name, changes, DROP_KEYS[0] in theirs and DROP_KEYS[0] not in own


def _deciding(values: dict[str, Any], training: Training) -> dict[str, Any]:
    """Return the params that decide a training's result, those of its data included."""
    given = values["data"]
    data = {f"data.{key}": value for key, value in given.items() if key not in PLACES}
    if given["path"] and math.isinf(training_images(given["source"])):  # your own images
        data["data.path"] = Path(given["path"]).name
    return {**settings_of(values, training), **data}


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
    return {name: preset_values(name) for name in preset_names()}


def as_override(value: Any) -> str:
    """Write a value as `dvc exp run -S` takes it.

    >>> as_override([[0.5, 20], True]), as_override(["model"])
    ('[[0.5,20],true]', '[model]')
    """
    if isinstance(value, list):
        return f"[{','.join(map(as_override, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
