"""Change values in the text of params.yaml or of a preset; comments and layout stay."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

from pipeline.core.errors import UserError
from pipeline.core.files import NOT_YAML, parse_yaml, write_whole
from pipeline.settings.messages import unknown_key
from pipeline.settings.params import PARAMS_FILE, check_params, known_keys

UNSET = "not set"


def write_params(text: str) -> dict[str, Any]:
    """Check params, write them, and return their values by section.

    Raises:
        UserError: a value is wrong; nothing is written.
    """
    values = parse_yaml(text, PARAMS_FILE)
    check_params(values)
    write_whole(PARAMS_FILE, text)
    return values


def describe_changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return a line for each value that differs, or `no value changed`."""
    before, after = (
        {k: json.dumps(v, ensure_ascii=False, default=str) for k, v in leaves(values)}
        for values in (old, new)
    )
    lines = [
        f"{key}: {before.get(key, UNSET)} -> {after.get(key, UNSET)}"
        for key in {**after, **before}
        if before.get(key) != after.get(key)
    ]
    return "\n".join(lines) or "no value changed"


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) for each value in nested sections; an empty section yields {}."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def apply(text: str, changes: dict[str, Any]) -> str:
    """Change dotted keys in the text of params.yaml; comments and layout stay.

    Raises:
        UserError: there is no such key.
    """
    values, known = _yaml().load(text), known_keys()
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if section not in known or (name and name not in known[section]):
            raise UserError(unknown_key(key, known))
        if not name and value not in ({}, None):
            own = known[section][0]
            raise UserError(f"{key} is a section; set its keys one by one, like {key}.{own}=...")
        if not values.get(section):
            values[section] = CommentedMap()
            values.yaml_set_comment_before_after_key(section, before="\n")
        if name:
            set_value(values[section], name, value)
    return dump(values)


def set_value(section: CommentedMap, name: str, value: Any) -> None:
    """Set a key of a section; a list stays on one line."""
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


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 200
    yaml.representer.add_representer(
        type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def dump(values: CommentedMap) -> str:
    """Return the text of values with their comments and layout."""
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
    except NOT_YAML:
        raise UserError(f"{argument}: {value} is not valid YAML") from None


def as_override(value: Any) -> str:
    """Write a value as `dvc exp run -S` takes it.

    >>> as_override([[0.5, 20], True]), as_override(["model", "a, b"])
    ('[[0.5,20],true]', '[model,"a, b"]')
    """
    if isinstance(value, list):
        return f"[{','.join(map(as_override, value))}]"
    if isinstance(value, str) and re.fullmatch(r"[\w./-]+", value):
        return value
    return json.dumps(value, ensure_ascii=False)
