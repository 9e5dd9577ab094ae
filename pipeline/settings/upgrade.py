"""Convert a params.yaml of an earlier version."""

from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import read_yaml
from pipeline.core.recipe import resolve
from pipeline.networks import find_network, network_names
from pipeline.settings.edits import apply, leaves, write_params
from pipeline.settings.params import PARAMS_FILE, RECIPE, known_keys
from pipeline.settings.presets import DEFAULT, preset_text, preset_values

_ONE_SIZE = ("small_image_share", "small_image_size")  # now image_sizes


def upgrade_params() -> str:
    """Convert a params.yaml from an earlier version, keeping its values; return what was done.

    Raises:
        UserError: the file is missing or broken, or a value is wrong.
    """
    values = read_yaml(PARAMS_FILE)
    defaults = preset_values(DEFAULT)
    changes, gone = convert(values, defaults)
    text = apply(preset_text(DEFAULT, {}), changes)
    changed = text != PARAMS_FILE.read_text()
    write_params(text)
    said = f"converted {PARAMS_FILE}; your values are kept" if changed else "no change"
    return f"{said}\nremoved, no longer known: {', '.join(gone)}" if gone else said


def convert(values: dict[str, Any], defaults: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Convert the values of an earlier version to the present sections.

    Keys that all trained networks share go into section `recipe`; a network's own or different
    values go into its section.

    Returns:
        The values by dotted key, and the keys that no longer exist.
    """
    known = known_keys()
    values = {section: keys or {} for section, keys in values.items()}
    wrong = [section for section, keys in values.items() if not isinstance(keys, dict)]
    if wrong:
        raise UserError(f"{PARAMS_FILE}: {wrong[0]} must be a section with keys")
    _join_image_sizes(values)
    networks = {  # with a section's own keys first, so that their order stays
        name: {**values[name], **resolve(values, name)}
        for name in network_names()
        if name in values
    }
    chosen = values.get("train", {}).get("networks")
    order = chosen if isinstance(chosen, list) else []
    trained = [networks[str(name)] for name in order if str(name) in networks]
    recipe = dict(defaults[RECIPE])
    for key in recipe:
        present = [values[RECIPE]] if RECIPE in values else trained
        if candidates := [own[key] for own in present if key in own]:
            recipe[key] = candidates[-1]
    found = {f"{RECIPE}.{key}": value for key, value in recipe.items()}
    for name, own in networks.items():
        allowed = find_network(name).params.model_fields
        found[name] = {}
        for key, value in own.items():
            inherited = key not in defaults.get(name, {}) and recipe.get(key, ...) == value
            if key in allowed and not inherited:
                found[f"{name}.{key}"] = value
    gone = []
    for key, value in leaves(values):
        section, _, name = key.partition(".")
        if name not in known.get(section, {}) and key not in known:
            gone.append(key)
        elif name and section not in (RECIPE, *networks):
            found[key] = value
    return found, gone


def _join_image_sizes(values: dict[str, Any]) -> None:
    """Replace small_image_share and small_image_size, one size at first, by image_sizes."""
    shared = values.get(RECIPE, {})
    for section in values.keys() & {RECIPE, *network_names()}:
        own = values[section]
        share, side = ({**shared, **own}.get(key) for key in _ONE_SIZE)
        joined: dict[str, Any] = {}
        for key, value in own.items():
            if key in _ONE_SIZE:
                joined["image_sizes"] = [[share, side]] if share else []
            else:
                joined[key] = value
        values[section] = joined
