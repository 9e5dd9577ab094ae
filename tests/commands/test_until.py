import json
from types import SimpleNamespace

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.commands import until as command
from pipeline.sweep.run import Swept
from tests.conftest import quick_values, with_values


@pytest.fixture
def swept(workspace, monkeypatch):
    """A project with two first seeds; a stand-in for the sweep gives each seed its difference."""
    values = with_values(quick_values(), {"train.seeds": [3, 5]})
    YAML().dump(values, workspace / "params.yaml")
    found = SimpleNamespace(asked=[], differences=np.full(30, 0.02), lacking=[], summary=None)

    def sweep(choices, cpus, dry_run, cluster, snapshot):
        assert snapshot == "the first"
        found.asked += choices
        return Swept({choices[0]: f"{len(found.asked)}"}, found.lacking)

    def experiments():
        seeds = json.loads(found.asked[-1][-1].removeprefix("train.seeds="))
        by_seed = dict(zip(map(str, seeds), found.differences.tolist(), strict=False))
        comparison = {"reference": "baseline", "differences": {"resnet": {"by_seed": by_seed}}}
        name = str(len(found.asked))
        now = found.summary if found.summary is not None else comparison
        return [SimpleNamespace(name=name, read_json=lambda _: now)]

    snapshots = iter(["the first"])
    monkeypatch.setattr(command, "take_snapshot", lambda _: next(snapshots))
    monkeypatch.setattr(command, "sweep", sweep)
    monkeypatch.setattr(command, "list_experiments", experiments)
    return found


def test_seeds_are_added_until_the_evidence_is_enough(swept, invoke):
    code, said = invoke("sweep", "--until-decided", "20", "-S", "recipe.epochs=2")
    assert code == 0
    assert [asked[0] for asked in swept.asked] == ["recipe.epochs=2"] * 5
    seeds = [asked[1] for asked in swept.asked]
    assert (seeds[0], seeds[-1]) == ("train.seeds=[3,5]", "train.seeds=[3,5,6,7,8,9]")
    assert "2 seeds: e-value 1.7 (decided at 20)\n" in said
    assert "decided after 6 seeds: resnet minus baseline: +2.0 points of accuracy; p " in said
    assert "is at most 0.05, however often you looked" in said


def test_without_a_difference_it_ends_at_the_most_seeds(swept, invoke):
    swept.differences = np.tile([0.02, -0.02], 15)
    code, said = invoke("sweep", "--until-decided", "8")
    assert (code, len(swept.asked)) == (0, 7)
    assert "not decided with 8 seeds: resnet minus baseline: +0.0 points of accuracy. The " in said
    assert "verdict are not valid here" in said


def test_a_failed_training_ends_it(swept, invoke):
    swept.lacking = ["1"]
    assert invoke("sweep", "--until-decided", "8")[0] == 1
    assert len(swept.asked) == 1


def test_an_experiment_that_no_cache_here_has_is_named(swept, invoke):
    swept.summary = {}
    code, said = invoke("sweep", "--until-decided", "8")
    assert (code, len(swept.asked)) == (2, 1)
    assert "has no comparison in DVC's cache here; get it with `dvc exp pull REMOTE 1`" in said


def test_an_experiment_that_compares_nothing_says_why(swept, invoke):
    swept.summary = {"headline": "No network learned.", "differences": {}}
    code, said = invoke("sweep", "--until-decided", "8")
    assert (code, len(swept.asked)) == (2, 1)
    assert "experiment 1 compares nothing: No network learned." in said


def test_a_dry_run_asks_for_the_most_that_can_be_trained(swept, invoke):
    assert invoke("sweep", "--until-decided", "6", "--dry-run")[0] == 0
    assert swept.asked == [("train.seeds=[3,5,6,7,8,9]",)]


@pytest.mark.parametrize(
    ("arguments", "params", "named"),
    [
        (["8", "-S", "recipe.epochs=2,3"], {}, "give one value per -S"),
        (["8", "-S", "train.seeds=[0]"], {}, "set train.networks, train.seeds"),
        (["8"], {"evaluate.test": False}, "set evaluate.test: true"),
        (["8"], {"train.networks": ["model"]}, "compares two networks; train.networks is"),
        (["5"], {}, "fewer than 6 seeds decide nothing"),
        (["6"], {"train.seeds": [*range(7)]}, "train.seeds has 7 seeds already"),
    ],
)
def test_what_is_no_single_comparison_is_refused(
    swept, invoke, workspace, arguments, params, named
):
    YAML().dump(with_values(quick_values(), params), workspace / "params.yaml")
    code, said = invoke("sweep", "--until-decided", *arguments)
    assert (code, swept.asked) == (2, [])
    assert named in said
