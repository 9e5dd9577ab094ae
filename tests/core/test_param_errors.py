"""Each key of params.yaml, wrong in type and beyond each bound, by the schema itself."""

import pytest
from ruamel.yaml import YAML
from UNKNOWN.pipeline.core.params import with_networks

from tests.conftest import quick_values

SCHEMA = with_networks().model_json_schema()
# Of no type that any key has: a section in place of a value.
WRONG_TYPE = {"a": 1}


def keys():
    """Yield (dotted key, schema of its value) of all keys."""
    for section, reference in SCHEMA["properties"].items():
        name = reference["$ref"].rsplit("/", 1)[1]
        for key, field in SCHEMA["$defs"][name]["properties"].items():
            yield f"{section}.{key}", field


def beyond_bounds(field):
    """Yield a value just outside each bound of a number, and no choice of an enumeration."""
    for option in field.get("anyOf", [field]):
        step = 1 if option.get("type") == "integer" else 1e-6
        if "minimum" in option:
            yield option["minimum"] - step
        if "exclusiveMinimum" in option:
            yield option["exclusiveMinimum"]
        if "maximum" in option:
            yield option["maximum"] + step
        if "exclusiveMaximum" in option:
            yield option["exclusiveMaximum"]
        if "enum" in option:
            yield "no-such-choice"
        if "minItems" in option:
            yield []
        if option.get("type") == "array":
            yield from ([value] for value in beyond_bounds(option["items"]))
        if "pattern" in option:
            yield "?"


CASES = [(key, WRONG_TYPE) for key, _ in keys()]
CASES += [(key, value) for key, field in keys() for value in beyond_bounds(field)]


def test_there_are_cases_for_all_keys():
    assert len(CASES) > 2 * len(list(keys()))


@pytest.mark.parametrize(("key", "value"), CASES, ids=lambda value: str(value))
def test_a_wrong_value_exits_with_2_and_one_message(workspace, invoke, key, value):
    values = quick_values()
    section, name = key.split(".")
    values[section][name] = value
    YAML().dump(values, workspace / "params.yaml")
    code, said = invoke("prepare")
    assert code == 2
    assert said.startswith("error: params.yaml:\n")
    assert f"  {key}" in said
    assert "must be" in said
    assert not (workspace / "data").exists()
