"""What is wrong with a value of params.yaml and what would be right, from the schema."""

import difflib
from typing import Any

Schema = dict[str, Any]  # JSON schema

UPGRADE = (
    "To mend the file: `python -m pipeline preset quick --upgrade` keeps your values, renames what "
    "was renamed, adds what is missing with the preset's values and drops what is no key"
)

_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}
_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "object": "a section with its keys",
}


def explain_all(errors: list[Any], schema: Schema) -> list[str]:
    """Turn pydantic's errors into lines: wrong values one by one, missing keys in one, the way out.

    A file of an older version lacks keys and has others: they are all named at once, with the
    command that brings the file up to date.
    """
    missing = [_dotted(details["loc"]) for details in errors if details["type"] == "missing"]
    lines = [explain(details, schema) for details in errors if details["type"] != "missing"]
    if missing:
        lines.append(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    if missing or any(details["type"] == "extra_forbidden" for details in errors):
        lines.append(UPGRADE)
    return lines


def explain(details: Any, schema: Schema) -> str:
    """Turn one pydantic error into `key = value: must be ...`, with the allowed range."""
    location = details["loc"]
    key = _dotted(location)
    if details["type"] == "extra_forbidden":
        sections = schema["properties"]
        known = {name: list(_lookup(schema, (name,))["properties"]) for name in sections}
        return unknown_key(key, known)
    if _is_own_rule(details["type"]):
        return f"{key}: {details['msg']}" if key else details["msg"]
    expected = describe_values(_lookup(schema, location))
    return f"{key} = {details['input']!r}: must be {expected}{_hint(details)}"


def unknown_key(key: str, known: dict[str, list[str]]) -> str:
    """Say that params.yaml has no such key, and which may be meant.

    Args:
        key: with its section and a dot.
        known: the keys of each section.
    """
    section, _, name = key.rpartition(".")
    if section in known:
        near = [f"{section}.{n}" for n in difflib.get_close_matches(name, known[section], n=1)]
    else:
        dotted = [f"{section}.{name}" for section, names in known.items() for name in names]
        near = difflib.get_close_matches(key, [*known, *dotted], n=1)
    others = ", ".join(known.get(section, known))
    hint = f"did you mean {near[0]}?" if near else f"known here: {others}"
    return f"{key} is not a key of params.yaml; {hint}"


def describe_values(field: Schema) -> str:
    """Say in words which values a field admits."""
    if "anyOf" in field:
        return " or ".join(describe_values(option) for option in field["anyOf"])
    if "enum" in field:
        return "one of " + ", ".join(field["enum"])
    if field.get("type") == "array":
        least = field.get("minItems", 0)
        return f"a list of {least} or more values, each {describe_values(field['items'])}"
    if "pattern" in field:
        return field["description"]
    bounds = [text.format(field[name]) for name, text in _BOUNDS.items() if name in field]
    return " ".join([_TYPES[field["type"]], " and ".join(bounds)]).rstrip()


def _is_own_rule(error_type: str) -> bool:
    """Whether a rule of ours failed, over several keys: its message names them itself."""
    return error_type.startswith("rule_")


def _lookup(schema: Schema, location: tuple[int | str, ...]) -> Schema:
    field = schema
    for part in location:
        if isinstance(part, int):
            field = field["items"]
        elif part in field.get("properties", {}):
            field = field["properties"][part]
        if "$ref" in field:
            field = schema["$defs"][field["$ref"].rsplit("/", 1)[1]]
    return field


def _dotted(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")


def _hint(details: Any) -> str:
    if isinstance(details["input"], str) and details["type"] in ("float_type", "int_type"):
        return " (YAML read it as text: write numbers without quotes, like 0.001)"
    return ""
