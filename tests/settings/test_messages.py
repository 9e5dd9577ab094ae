"""Every key of params.yaml with a wrong type and beyond each bound, from the schema."""

import pytest

from pipeline.core.errors import UserError
from pipeline.settings.messages import Problem, explain, unknown_key
from pipeline.settings.params import check_params
from tests.conftest import quick_params, quick_values
from tests.settings.schema import FIELDS

# A type that no key has: a section instead of a value.
WRONG_TYPE = {"a": 1}
VALUES = quick_values()
KNOWN = {"model": ["width", "drop_block_size"], "train": ["seeds"]}


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


CASES = [(key, WRONG_TYPE) for key in FIELDS]
CASES += [(key, value) for key, field in FIELDS.items() for value in beyond_bounds(field)]


def test_there_are_cases_for_all_keys():
    keys = {f"{section}.{key}" for section in VALUES for key in VALUES[section]}
    assert keys - FIELDS.keys() == {"baseline.epochs"}  # a shared key, overridden
    assert len(CASES) > 2 * len(FIELDS)


@pytest.mark.parametrize(("key", "value"), CASES, ids=lambda value: str(value))
def test_a_wrong_value_is_one_line_that_names_its_key(key, value):
    section, name = key.split(".")
    with pytest.raises(UserError) as caught:
        check_params({**VALUES, section: {**VALUES[section], name: value}})
    head, line = str(caught.value).splitlines()
    assert head == "params.yaml:"
    assert line.startswith(f"  {key}")
    assert "should " in line


def test_a_command_with_wrong_params_exits_with_2_and_has_done_nothing(workspace, refused):
    text = quick_params().replace("  top_k: 5", "  top_k: 0")
    (workspace / "params.yaml").write_text(text)
    assert refused("prepare").startswith(
        "error: params.yaml:\n  evaluate.top_k = 0: input should be"
    )
    assert not (workspace / "data").exists()


def test_a_problem_is_said_with_key_value_and_pydantics_words():
    found = Problem("model.width", "greater_than", "Input should be greater than 0", -1)
    assert explain([found, found], KNOWN) == ["model.width = -1: input should be greater than 0"]


def test_a_rule_is_said_in_its_own_words():
    rules = [Problem("model", "rule", "a or b", {}), Problem("", "rule", "train.watch: no", {})]
    assert explain(rules, KNOWN) == ["model: a or b", "train.watch: no"]


@pytest.mark.parametrize(("kind", "hinted"), [("float_type", True), ("bool_type", False)])
def test_a_number_that_yaml_takes_for_text_gets_a_hint(kind, hinted):
    (line,) = explain([Problem("model.width", kind, "Input should be it", "1e-3")], KNOWN)
    assert ("YAML reads this as text" in line) == hinted


def test_missing_keys_are_one_line():
    missing = [Problem(key, "missing", "", None) for key in ("model.width", "train")]
    assert explain(missing, KNOWN) == ["model.width, train are missing"]
    assert explain(missing[:1], KNOWN) == ["model.width is missing"]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("model.drop_blok_size", "did you mean model.drop_block_size?"),
        ("model.abc", "known keys: width, drop_block_size"),
        ("width", "did you mean model.width?"),
        ("modle", "did you mean model?"),
        ("resnet.width", "did you mean model.width?"),
        ("zzz", "known keys: model, train"),
    ],
)
def test_an_unknown_key_gets_the_nearest_one(key, hint):
    said = f"{key} is not a known key; {hint}"
    assert unknown_key(key, KNOWN) == said
    assert explain([Problem(key, "extra_forbidden", "", None)], KNOWN) == [said]
