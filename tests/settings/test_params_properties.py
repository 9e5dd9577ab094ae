"""Any valid value passes through preset and YAML unchanged."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.settings.edits import apply
from pipeline.settings.params import load_params
from tests.conftest import quick_params
from tests.settings.schema import FIELDS

TEXT = quick_params()
# Rules over several keys, which changing a single value may break.
TIED = ("conv_keep_start", "conv_keep_end", "dropout_grid_min", "dropout_grid_max", "filters",
        "kernel_sizes", "warmup", "cooldown", "optimizer", "source",
        "crop_pixels", "translate_pixels", "dropout_min_cells", "image_sizes")  # fmt: skip
LARGE = 10**6


def in_range(field):
    """Return a strategy of the values that a key's JSON schema admits."""
    if "anyOf" in field:
        return st.one_of([in_range(option) for option in field["anyOf"]])
    if "enum" in field:
        return st.sampled_from(field["enum"])
    kind = field["type"]
    if kind == "array":
        return st.lists(
            in_range(field["items"]), min_size=field.get("minItems", 0), max_size=4, unique=True
        )
    if kind == "integer":
        low = field.get("minimum", field.get("exclusiveMinimum", 0))
        high = field.get("maximum", field.get("exclusiveMaximum", LARGE) - 1)
        return st.integers(low, min(high, LARGE))
    if kind == "number":
        return st.floats(
            field.get("minimum", field.get("exclusiveMinimum", 0)),
            field.get("maximum", field.get("exclusiveMaximum", LARGE)),
            exclude_min="exclusiveMinimum" in field,
            exclude_max="exclusiveMaximum" in field,
            allow_subnormal=False,
        )
    texts = st.just("https://example.org/a")
    return {"boolean": st.booleans(), "null": st.none()}.get(kind, texts)


FREE = sorted(key for key in FIELDS if key.split(".")[1] not in (*TIED, "networks"))


@given(st.data(), st.sampled_from(FREE))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_value_in_range_comes_back_from_preset_and_yaml(tmp_path, data, key):
    value = data.draw(in_range(FIELDS[key]), label=key)
    file = tmp_path / "params.yaml"
    file.write_text(apply(TEXT, {key: value}))
    section, name = key.split(".")
    section = "model" if section == "recipe" else section
    assert load_params(file).by_section()[section][name] == value
