import pytest
from ruamel.yaml import YAML

from pipeline.core.errors import UserError
from pipeline.reporting.provenance import check_provenance
from tests.conftest import with_train


@pytest.fixture
def recorded(workspace, params):
    """A dvc.lock as DVC leaves it: whole sections, and single keys by dotted name."""
    values = params.model_dump(mode="json")
    stages = {"prepare": {"params": {"params.yaml": {"data": values["data"]}}}}
    for trial in params.trials:
        own = {trial.network: values[trial.network], "train.clip_norm": 100.0}
        stages[f"train@{trial.label}"] = {"params": {"params.yaml": own}}
        stages[f"evaluate@{trial.label}"] = {
            "params": {"params.yaml": {"evaluate": values["evaluate"]}}
        }

    def write(label, **changes):
        stages[label]["params"]["params.yaml"] |= changes
        YAML().dump({"schema": "2.0", "stages": stages}, workspace / "dvc.lock")

    write("prepare")
    return write


def test_results_of_the_params_of_today_pass(recorded, params):
    check_provenance(params, params.trials)


def test_what_has_no_record_passes(workspace, params):
    check_provenance(params, params.trials)
    (workspace / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    check_provenance(params, params.trials)


@pytest.mark.parametrize(
    ("stage", "section", "key", "value"),
    [
        ("prepare", "data", "limit", 100),
        ("train@model-dropblock-0", "model", "drop_block_size", 7),
        ("train@model-dropblock-0", "model", "stop_after_rising", 3),
        ("evaluate@baseline-dropblock-0", "evaluate", "top_k", 3),
    ],
)
def test_another_number_is_named_with_both_values(recorded, params, stage, section, key, value):
    now = params.model_dump(mode="json")[section]
    recorded(stage, **{section: {**now, key: value}})
    with pytest.raises(UserError, match=f"{stage}: {section}.{key} was {value}, is {now[key]}"):
        check_provenance(params, params.trials)


def test_a_key_by_itself_is_looked_at_too(recorded, params):
    with pytest.raises(UserError, match=r"train@baseline.*train.clip_norm was 100.0, is 50.0"):
        check_provenance(with_train(params, clip_norm=50.0), params.trials)


def test_only_what_the_report_is_of_counts(recorded, params):
    recorded("train@model-dropblock-0", model={"drop_block_size": 7})
    check_provenance(params, [t for t in params.trials if t.network == "baseline"])


def test_a_key_that_is_gone_decides_nothing(recorded, params):
    recorded("train@model-dropblock-0", model={"gone": 7})
    check_provenance(params, params.trials)


def test_many_differences_are_counted(recorded, params):
    other = dict.fromkeys(params.model_dump()["model"], "other")
    recorded("train@model-dropblock-0", model=other)
    with pytest.raises(UserError, match=f"and {len(other) - 5} more"):
        check_provenance(params, params.trials)
