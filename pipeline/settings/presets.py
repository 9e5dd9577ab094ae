"""Presets. `quick` is the default and has every key; the others list only what differs."""

from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from pipeline.core.files import read_yaml, write_whole
from pipeline.core.recipe import resolve
from pipeline.networks import network_names
from pipeline.settings.edits import (
    apply,
    describe_changes,
    dump,
    leaves,
    parse_override,
    set_value,
    write_params,
)
from pipeline.settings.params import PARAMS_FILE

FOLDER = Path(__file__).parents[2] / "presets"
DEFAULT = "quick"
TUNED = "tuned"  # the preset that `tune` writes, of any network


def preset_names() -> list[str]:
    """Return the names of all presets."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def shared_presets() -> list[str]:
    """Return the names of the presets that other clones have too: without a tuning's result."""
    return [name for name in preset_names() if name != TUNED]


def write_preset(name: str, overrides: list[str]) -> str:
    """Set params.yaml to a preset, with further `key=value` overrides; return what changed.

    Your own values are kept: data.path, and the sections of networks that no preset contains.

    Raises:
        UserError: an override or the resulting params are wrong; then nothing is written.
    """
    present = PARAMS_FILE.exists() and PARAMS_FILE.stat().st_size
    old = read_yaml(PARAMS_FILE) if present else {}
    new = apply(preset_text(name, old), dict(map(parse_override, overrides)))
    return describe_changes(old, write_params(new))


def save_preset(name: str, values: dict[str, Any], comment: str) -> Path:
    """Write a preset: the values that differ from the defaults, except data.path.

    Args:
        values: of params.yaml, by section.
        comment: its first lines.
    """
    defaults = dict(leaves(preset_values(DEFAULT)))
    chosen = dict(leaves(values))
    for network in [name for name in network_names() if values.get(name)]:
        # A key that is inherited here but set in the defaults would get the defaults' value.
        for key in preset_values(DEFAULT).get(network, {}):
            chosen.setdefault(f"{network}.{key}", resolve(values, network)[key])
    differing = CommentedMap()
    for key, value in chosen.items():
        if key != "data.path" and defaults.get(key, ...) != value:
            section, _, own_key = key.partition(".")
            keys = differing.setdefault(section, CommentedMap())
            if own_key:
                set_value(keys, own_key, value)
    file = FOLDER / f"{name}.yaml"
    write_whole(file, f"{comment}\n{dump(differing)}")
    return file


def preset_values(name: str) -> dict[str, Any]:
    """Return all values of a preset by section: the default's, updated with its differences."""
    values = read_yaml(FOLDER / f"{DEFAULT}.yaml")
    for section, own in read_yaml(FOLDER / f"{name}.yaml").items():
        values[section] = {**values.get(section, {}), **(own or {})}
    return values


def preset_text(name: str, present: dict[str, Any]) -> str:
    """Return the text of params.yaml for a preset.

    Args:
        present: the values that params.yaml has now; some of them are kept.
    """
    text = (FOLDER / f"{DEFAULT}.yaml").read_text()
    differences = {} if name == DEFAULT else dict(leaves(read_yaml(FOLDER / f"{name}.yaml")))
    data = present.get("data")
    yours = {"data": {"path": data.get("path") if isinstance(data, dict) else None}}
    files = {*shared_presets(), name}  # `tuned` may have your network too
    in_presets = {section for file in files for section in read_yaml(FOLDER / f"{file}.yaml")}
    for network in network_names():
        if network in present and network not in in_presets:
            yours[network] = present[network]
    return apply(text, {**differences, **dict(leaves(yours))})
