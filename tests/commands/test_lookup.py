import json

import pytest

from pipeline.commands import lookup as module
from pipeline.core.errors import UserError
from pipeline.settings.trainings import Training
from pipeline.tracking.runs import TRAINING
from pipeline.versioning.experiments import Experiment
from tests.small_model import leave_run

RESNET, BASELINE = Training("model", "dropblock", 0), Training("baseline", "nodrop", 1)


def holding(name, revision, training, identity):
    """An experiment of one training, with its facts in a cache here if it has an identity."""
    asked = {"networks": [training.network], "variants": [training.variant],
             "seeds": [training.seed]}  # fmt: skip
    found = Experiment(name, revision, {"train": asked}, {})
    CONTENTS[name, training.facts_file] = identity and json.dumps({TRAINING: identity}).encode()
    return found


CONTENTS = {}


@pytest.fixture(autouse=True)
def contents(monkeypatch):
    """What the caches here have."""
    CONTENTS.clear()
    monkeypatch.setattr(Experiment, "read", lambda self, path: CONTENTS.get((self.name, path)))


@pytest.fixture
def run_id(store):
    """A run of the resnet's training that ended well, beside one that did not."""
    leave_run("one", {TRAINING: "resnet-id-0", "variant": "dropblock"}, error=ValueError())
    return leave_run("one", {TRAINING: "resnet-id-0", "variant": "dropblock"})


@pytest.fixture
def experiments(run_id, monkeypatch):
    """The same training in two experiments, and one whose run this store lacks."""
    found = [
        holding("workspace", "", RESNET, "resnet-id-0"),
        holding("block-7", "abc1234", BASELINE, "baseline-id-1"),
        holding("same", "def5678", RESNET, "resnet-id-0"),
    ]
    monkeypatch.setattr(module, "list_experiments", lambda: found)
    return found


def test_each_training_stands_with_the_run_that_has_its_identity(experiments, run_id):
    table = module.lookup(None)
    assert list(table["experiment"]) == ["workspace", "block-7", "same"]
    assert list(table["network"]) == ["resnet", "baseline", "resnet"]
    assert list(table["variant"]) == ["dropblock", "nodrop", "dropblock"]
    assert list(table["seed"]) == [0, 1, 0]
    assert list(table["MLflow run"]) == [run_id, "not in this store", run_id]


def test_the_newest_finished_run_of_an_identity_counts(experiments, run_id):
    newest = leave_run("again", {TRAINING: "resnet-id-0", "variant": "dropblock"})
    assert list(module.lookup("workspace")["MLflow run"]) == [newest]


def test_variants_with_the_same_identity_have_a_run_each(store, monkeypatch):
    own = {
        variant: leave_run(variant, {TRAINING: "sprint-id-0", "variant": variant})
        for variant in ("dropblock", "nodrop")
    }
    found = [holding(v, "", Training("sprint", v, 0), "sprint-id-0") for v in own]
    monkeypatch.setattr(module, "list_experiments", lambda: found)
    assert list(module.lookup(None)["MLflow run"]) == list(own.values())


@pytest.mark.parametrize("name", ["block-7", "abc1234", "abc1234567"])
def test_a_name_or_a_revision_find_it(experiments, name):
    assert list(module.lookup(name)["experiment"]) == ["block-7"]


def test_a_name_finds_all_experiments_that_share_it(experiments):
    experiments.append(holding("block-7 (fff0000)", "fff0000", RESNET, "resnet-id-0"))
    assert list(module.lookup("block-7")["experiment"]) == ["block-7", "block-7 (fff0000)"]


@pytest.mark.parametrize("length", [6, 32])
def test_a_run_or_its_start_lead_back_to_all_its_experiments(experiments, run_id, length):
    assert list(module.lookup(run_id[:length])["experiment"]) == ["workspace", "same"]


def test_a_run_that_this_store_lacks_has_no_name(experiments):
    with pytest.raises(UserError, match="no result matches not"):
        module.lookup("not")


def test_a_training_whose_facts_are_in_no_cache_here_has_no_row(experiments, monkeypatch):
    experiments.append(holding("elsewhere", "fff0000", RESNET, None))
    assert "elsewhere" not in list(module.lookup(None)["experiment"])


def test_all_trainings_of_an_experiment_are_joined():
    asked = {"networks": ["baseline", "model"], "variants": ["dropblock"], "seeds": [0, 3]}
    experiment = Experiment("e", "abc", {"train": asked}, {})
    for network in asked["networks"]:
        for seed in asked["seeds"]:
            training = Training(network, "dropblock", seed)
            facts = {TRAINING: f"{network}-id-{seed}"}
            CONTENTS["e", training.facts_file] = json.dumps(facts).encode()
    assert {t.label: i for t, i in module.identities(experiment).items()} == {
        f"{network}-dropblock-{seed}": f"{network}-id-{seed}"
        for network in asked["networks"]
        for seed in asked["seeds"]
    }


@pytest.mark.parametrize("params", [{}, {"train": None}, {"train": 3}, {"train": {"seeds": [0]}},
                                    {"train": {"networks": ["model"], "variants": ["nodrop"],
                                               "seeds": 3}}])  # fmt: skip
def test_an_experiment_of_another_version_is_left_out(experiments, params):
    experiments.append(Experiment("old", "fff0000", params, {}))
    assert "old" not in list(module.lookup(None)["experiment"])


def test_a_network_whose_file_is_gone_has_the_name_of_its_section(experiments):
    experiments.append(holding("old", "fff0000", RESNET._replace(network="gone"), "gone-id-0"))
    assert list(module.lookup("old")["network"]) == ["gone"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}"])
def test_facts_that_are_damaged_or_older_are_left_out(experiments, content):
    CONTENTS["block-7", BASELINE.facts_file] = content
    assert "block-7" not in list(module.lookup(None)["experiment"])


def test_what_is_not_there_is_said_with_the_way_out(experiments, refused, monkeypatch):
    said = refused("lookup", "nothing")
    assert "no result matches nothing; `dvc exp list` names the experiments" in said
    monkeypatch.setattr(module, "list_experiments", list)
    assert "no results yet; run `dvc repro`" in refused("lookup")


def test_the_command_prints_a_table(experiments, run_id, invoke):
    code, said = invoke("lookup", "workspace")
    assert code == 0
    assert f"| workspace    |       | resnet    | dropblock |      0 | {run_id} |" in said
