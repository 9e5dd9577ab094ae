"""Presets. `quick` is the default and has every key; the others list only what differs."""

import difflib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

from pipeline.core.errors import UserError
from pipeline.core.files import parse_yaml, read_yaml
from pipeline.core.recipe import resolve
from pipeline.networks import find_network, network_names
from pipeline.settings.messages import unknown_key
from pipeline.settings.params import PARAMS_FILE, RECIPE, check_params, known_keys

FOLDER = Path(__file__).parents[2] / "presets"
DEFAULT = "quick"
TUNED = "tuned"  # the preset that `tune` writes, of any network
_ONE_SIZE = ("small_image_share", "small_image_size")  # of an earlier version


def preset_names() -> list[str]:
    """Return the names of all presets."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def write_preset(name: str, overrides: list[str]) -> str:
    """Set params.yaml to a preset, with further `key=value` overrides; return what changed.

    Your own values are kept: data.path, and the sections of networks that no preset contains.

    Raises:
        UserError: an override or the resulting params are wrong; then nothing is written.
    """
    old = PARAMS_FILE.read_text() if PARAMS_FILE.exists() else ""
    new = preset_text(name, parse_yaml(old, PARAMS_FILE) if old else {})
    return _write(old, apply(new, dict(map(parse_override, overrides))))


def upgrade_params() -> str:
    """Convert a params.yaml from an earlier version, keeping its values; return what changed.

    Raises:
        UserError: the file is missing or broken, or a value is wrong.
    """
    values = read_yaml(PARAMS_FILE)
    defaults = preset_values(DEFAULT)
    changes, gone = convert(values, defaults)
    text = apply(preset_text(DEFAULT, {}), changes)
    said = _write(PARAMS_FILE.read_text(), text)
    return f"{said}\nremoved, no longer known: {', '.join(gone)}" if gone else said


def _write(old: str, new: str) -> str:
    """Check params and write them; return the lines that changed, or `no change`."""
    check_params(parse_yaml(new, PARAMS_FILE))
    PARAMS_FILE.write_text(new)
    difference = difflib.unified_diff(
        _dump(_load(old)).splitlines() if old else [], new.splitlines(), lineterm="", n=0
    )
    lines = [line for line in difference if line[:2] not in ("@@", "--", "++")]
    return "\n".join(lines) or "no change"


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
                _set(keys, own_key, value)
    file = FOLDER / f"{name}.yaml"
    file.write_text(f"{comment}\n{_dump(differing)}")
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
    in_presets = {
        section
        for file in preset_names()
        if file != TUNED
        for section in read_yaml(FOLDER / f"{file}.yaml")
    }
    for network in set(network_names()) - in_presets:
        if network in present:
            yours[network] = present[network]
    return apply(text, {**differences, **dict(leaves(yours))})


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
    networks = {name: resolve(values, name) for name in network_names() if name in values}
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


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for each value in nested sections; an empty section yields {}."""
    for key, value in values.items():
        if isinstance(value, dict) and (value or not prefix):
            if not value:
                yield f"{prefix}{key}", {}
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def apply(text: str, changes: dict[str, Any]) -> str:
    """Change dotted keys in the text of params.yaml; comments and layout stay.

    Raises:
        UserError: there is no such key.
    """
    values, known = _load(text), known_keys()
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if section not in known or (name and name not in known[section]):
            raise UserError(unknown_key(key, known))
        if not name and value not in ({}, None):
            raise UserError(f"{key} is a section; set its keys, like {key}.KEY={value}")
        if not values.get(section):
            values[section] = CommentedMap()
            values.yaml_set_comment_before_after_key(section, before="\n")
        if name:
            _set(values[section], name, value)
    return _dump(values)


def _set(section: CommentedMap, name: str, value: Any) -> None:
    old = section.get(name)
    if isinstance(value, list):
        if isinstance(old, CommentedSeq):  # keep the one-line style
            old[:] = value
            return
        value = CommentedSeq(value)
        value.fa.set_flow_style()
    if name not in section:
        _append(section, name, value)
    elif (
        old != value
        or not isinstance(old, type(value))
        or isinstance(old, bool) != isinstance(value, bool)
    ):  # In Python 1, 1.0 and True are equal; ruamel's own float type is a float too.
        section[name] = value


def _append(section: CommentedMap, name: str, value: Any) -> None:
    """Add a key at the end of a section, before the blank line that follows it."""
    last = next(reversed(section), None)
    section[name] = value
    token = section.ca.items.get(last, [None, None, None])[2]
    if token and "\n" in token.value.rstrip(" "):
        own, _, blank = token.value.partition("\n")
        token.value = f"{own}\n"
        after = CommentToken(f"\n{blank}", CommentMark(0), None)
        section.ca.items[name] = [None, None, after, None]


def _load(text: str) -> CommentedMap:
    """Read params.yaml; put lists that `dvc exp run -S` has split into lines on one line again."""
    values = _yaml().load(text)
    for section in (each for each in values.values() if isinstance(each, CommentedMap)):
        for name, value in list(section.items()):
            if isinstance(value, CommentedSeq) and not value.fa.flow_style():
                section[name] = CommentedSeq(value)
                section[name].fa.set_flow_style()
                if comment := section.ca.items.get(name):
                    comment[3] = None  # the comment between the key and the list's first line
    return values


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 200
    yaml.representer.add_representer(
        type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def _dump(values: CommentedMap) -> str:
    stream = io.StringIO()
    _yaml().dump(values, stream)
    return stream.getvalue()


def parse_override(argument: str) -> tuple[str, Any]:
    """Split `key=value` and parse the value as YAML."""
    key, equals, value = argument.partition("=")
    if not equals:
        raise UserError(f"{argument}: write overrides as key=value, like data.path=/data/cifar")
    try:
        return key, YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        raise UserError(f"{argument}: {value} is not valid YAML") from None
