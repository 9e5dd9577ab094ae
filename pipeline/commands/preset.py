"""Presets: a whole experiment's params, written into params.yaml with its comments kept."""

import difflib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pipeline.core.errors import UserError
from pipeline.core.param_errors import UPGRADE, unknown_key
from pipeline.core.params import PARAMS_FILE, check_params, known_keys, read_yaml

PRESETS = Path("presets")


def write_preset(name: str, overrides: list[str], upgrade: bool = False) -> str:
    """Write a preset into params.yaml.

    Args:
        overrides: `key=value` each, on top of the preset.
        upgrade: keep the values of params.yaml; only rename what was renamed, add what is missing
            and drop what is no key.

    Returns:
        The lines whose values changed, or `no change`; not those that DVC had only laid out anew.

    Raises:
        UserError: an override is none, or the params would be wrong; nothing is written then.
    """
    chosen, changes = preset_changes(name), parse_overrides(overrides)
    read_yaml(PARAMS_FILE)  # a broken file is named before anything is done with it
    old = PARAMS_FILE.read_text()
    new = bring_up_to_date(old, chosen) if upgrade else apply(old, chosen)
    new = apply(new, changes)
    check_params(YAML(typ="safe", pure=True).load(new))
    PARAMS_FILE.write_text(new)
    return changed_lines(apply(old, {}), new)


def preset_flags(name: str, overrides: list[str]) -> str:
    """Return a preset as -S flags of `dvc exp run`."""
    changes = {**preset_changes(name), **parse_overrides(overrides)}
    return " ".join(f"-S {key}={as_override(value)}" for key, value in changes.items())


def preset_changes(name: str, folder: Path = PRESETS) -> dict[str, Any]:
    """Return the values of a preset by dotted key: of all keys but data.path, which is yours."""
    return dict(leaves(read_yaml(folder / f"{name}.yaml")))


def changed_lines(old: str, new: str) -> str:
    """Return the lines that differ, or `no change`."""
    difference = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    lines = [line for line in difference if line[:2] not in ("@@", "--", "++")]
    return "\n".join(lines) or "no change"


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for each value of nested sections."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def apply(text: str, changes: dict[str, Any]) -> str:
    """Change dotted keys in the text of params.yaml; comments and layout stay."""
    values = _load(text)
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        if name not in (values.get(section) or {}):
            raise UserError(_absent(key))
        _set(values[section], name, value)
    return _dump(values)


def _absent(key: str) -> str:
    section, _, name = key.rpartition(".")
    known = known_keys()
    if name in known.get(section, []):
        return f"{key} is missing in {PARAMS_FILE}. {UPGRADE}"
    return unknown_key(key, known)


def bring_up_to_date(text: str, defaults: dict[str, Any]) -> str:
    """Rename, add and drop keys in the text of an older params.yaml; its values stay.

    A key that is gone and one that is new in the same section are taken for one that was renamed
    where their names are alike.

    Args:
        defaults: the values of what is new, by dotted key.
    """
    values, known = _load(text), known_keys()
    defaults = {"data.path": None, **defaults}
    for section in [name for name in values if name not in known]:
        del values[section]
    for section, keys in known.items():
        new = {key: defaults[f"{section}.{key}"] for key in keys if f"{section}.{key}" in defaults}
        if new and not values.get(section):
            values[section] = CommentedMap()
        if present := values.get(section):
            _rename_or_drop(present, keys)
        for key, value in new.items():
            if key not in values[section]:
                _insert(values[section], list(new), key, value)
    return _dump(values)


def _rename_or_drop(section: CommentedMap, keys: list[str]) -> None:
    for gone in [key for key in section if key not in keys]:
        missing = [key for key in keys if key not in section]
        place, comment = list(section).index(gone), section.ca.items.pop(gone, None)
        value = section.pop(gone)
        if near := difflib.get_close_matches(gone, missing, n=1):
            section.insert(place, near[0], value)
            if comment:
                section.ca.items[near[0]] = comment


def _insert(section: CommentedMap, order: list[str], key: str, value: Any) -> None:
    """Insert a key behind the one that comes before it in `order`."""
    before = [other for other in order[: order.index(key)] if other in section]
    place = list(section).index(before[-1]) + 1 if before else 0
    if isinstance(value, list):
        value = CommentedSeq(value)
        value.fa.set_flow_style()
    section.insert(place, key, value)


def _set(section: CommentedMap, name: str, value: Any) -> None:
    old = section[name]
    if isinstance(value, list) and isinstance(old, CommentedSeq):  # keep the one-line style
        old[:] = value
    elif old != value:
        section[name] = value


def _load(text: str) -> CommentedMap:
    """Read params.yaml; lists are in one line again, which `dvc exp run -S` has broken up."""
    values = _yaml().load(text)
    for section in (each for each in values.values() if isinstance(each, CommentedMap)):
        for name, value in list(section.items()):
            if isinstance(value, CommentedSeq) and not value.fa.flow_style():
                section[name] = CommentedSeq(value)
                section[name].fa.set_flow_style()
                if comment := section.ca.items.get(name):
                    comment[3] = None  # what stands between the key and the first line of the list
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


def parse_overrides(arguments: list[str]) -> dict[str, Any]:
    """Read `key=value` arguments, the values in YAML."""
    return dict(parse_override(argument) for argument in arguments)


def parse_override(argument: str) -> tuple[str, Any]:
    """Split `key=value`, the value in YAML."""
    key, equals, value = argument.partition("=")
    if not equals:
        raise UserError(f"{argument}: give overrides as key=value, like data.path=/data/cifar")
    try:
        return key, YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        raise UserError(f"{argument}: {value} is no value in YAML") from None


def as_override(value: Any) -> str:
    """Write a value as `dvc exp run -S` takes it, without spaces."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
