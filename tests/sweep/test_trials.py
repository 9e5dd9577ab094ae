from collections import Counter

import pytest
from ruamel.yaml import YAML

from pipeline.core.errors import UserError
from pipeline.sweep.trials import (
    Range,
    Tuning,
    check_trials,
    draw_trials,
    load_tuning,
    overrides_of,
)
from tests.conftest import quick_values

SPACES = {
    "learning_rate": {"low": 0.01, "high": 1.0, "log": True},
    "epochs": {"low": 2, "high": 9},
    "cooldown": {"low": 0.5, "high": 1.0},
    "optimizer": ["sgd", "muon"],
}


def tuning(trials=64, **spaces):
    return Tuning(trials=trials, seeds=[7, 8], spaces=spaces or SPACES)


def test_a_range_is_linear_or_logarithmic_and_whole_if_its_ends_are():
    ends = 0.0, 0.5, 1.0
    assert [Range(low=0.01, high=1.0, log=True).at(s) for s in ends] == [0.01, 0.1, 1.0]
    assert [Range(low=0.5, high=1.0).at(s) for s in ends] == [0.5, 0.75, 1.0]
    assert [Range(low=2, high=9).at(s) for s in (0.0, 0.4, 1.0)] == [2, 5, 9]
    shares = [(i + 0.5) / 300 for i in range(300)]
    assert Counter(Range(low=6, high=8).at(s) for s in shares) == {6: 100, 7: 100, 8: 100}
    doubling = Counter(Range(low=1, high=7, log=True).at(s) for s in shares)
    assert doubling[1] == doubling[2] + doubling[3] == sum(doubling[n] for n in range(4, 8)) == 100


def test_the_trials_fill_the_spaces_and_are_always_the_same():
    trials = draw_trials(tuning())
    assert trials == draw_trials(tuning())
    assert len({tuple(trial.values()) for trial in trials}) == 64
    rates = sorted(trial["learning_rate"] for trial in trials)
    assert rates[0] >= 0.01 and rates[-1] <= 1.0
    assert sum(rate < 0.1 for rate in rates) == pytest.approx(32, abs=12)
    assert sum(trial["optimizer"] == "sgd" for trial in trials) == pytest.approx(32, abs=12)
    assert {trial["epochs"] for trial in trials} == set(range(2, 10))


def test_more_trials_continue_the_same_sequence():
    assert draw_trials(tuning(8)) == draw_trials(tuning(64))[:8]


def test_another_study_draws_other_points():
    first, second = (
        draw_trials(Tuning(trials=8, study=s, seeds=[7], spaces=SPACES)) for s in (0, 1)
    )
    assert first == draw_trials(tuning(8))
    assert not any(a == b for a, b in zip(first, second, strict=True))


def test_a_trial_trains_one_network_and_leaves_the_test_images_alone():
    trial = {
        "learning_rate": 0.05,
        "optimizer": "sgd",
        "hidden_units": [64, 32],
        "batch_norm": True,
    }
    assert overrides_of(trial, "model", "nodrop", [7, 8]) == (
        "train.networks=[model]", "train.variants=[nodrop]", "train.seeds=[7,8]",
        "evaluate.test=false", "++model.learning_rate=0.05", "++model.optimizer=sgd",
        "++model.hidden_units=[64,32]", "++model.batch_norm=true",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 1}, "trials = 1: input should be greater than or equal to 2"),
        ({"spaces": {}}, "spaces = {}: dict"),
        (
            {"spaces": {"warmup": {"low": 0.5, "high": 0.1}}},
            "spaces.warmup: low must be below high",
        ),
        ({"spaces": {"warmup": {"low": 0, "high": 1, "log": True}}}, "spaces.warmup: low must be"),
        ({"spaces": {"warmup": {"low": 0}}}, "spaces.warmup.high is missing"),
        (
            {"spaces": {"warmup": {"low": 0, "high": 1, "lug": True}}},
            "spaces.warmup.lug is not a known key; did you mean spaces.warmup.log?",
        ),
        ({"spaces": {"warmup": []}}, "spaces.warmup = []: list should have"),
        ({"spaces": {"warmup": 3}}, "spaces.warmup: give a list of choices, or low, high and log"),
        ({"trails": 3}, "trails is not a known key; did you mean trials?"),
    ],
)
def test_wrong_spaces_are_named(tmp_path, changes, message):
    file = tmp_path / "tune.yaml"
    YAML().dump({"trials": 4, "seeds": [0], "spaces": SPACES, **changes}, file)
    with pytest.raises(UserError) as refused:
        load_tuning(file)
    assert str(refused.value).startswith(f"{file}:\n  {message}")


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ({"learning_rat": 0.1}, "model.learning_rat is not a known key; did you mean "
         "model.learning_rate?"),
        ({"learning_rate": 50.0}, "model.learning_rate = 50.0: input should be less than or equal "
         "to 10"),
        ({"filters": [4, 8]}, "model: filters and kernel_sizes need the same number of entries, "
         "one per block"),
    ],
)  # fmt: skip
def test_a_trial_that_a_network_cannot_use_is_named(trial, message):
    fine = draw_trials(tuning())[0]
    check_trials([fine], quick_values(), ["baseline", "model"])
    with pytest.raises(UserError) as refused:
        check_trials([fine, {**fine, **trial}], quick_values(), ["model"])
    assert str(refused.value) == f"tune.yaml, trial 2:\n  {message}"
