import pytest
from ruamel.yaml import YAML

from pipeline.core.files import PREPARED, hash_file
from pipeline.core.records import Prepared
from pipeline.settings.params import load_params
from pipeline.settings.trainings import Training, load_facts
from pipeline.tracking.lifecycle import close_dead_runs
from pipeline.tracking.runs import HISTORY, TRAINING
from pipeline.tracking.trainings import finished_run, start_tags, tag_experiments
from tests.conftest import quick_values, with_values
from tests.made_up_results import DIGEST, write_results
from tests.small_model import leave_run

TRAINED = Training("model", "dropblock", 0)
IDENTITY = "model-dropblock-identity-0"


@pytest.fixture
def find(workspace, store, params):
    """Find the finished run of the training that left made-up results."""
    write_results(workspace, seeds=[0])
    facts = load_facts(TRAINED, DIGEST)
    return lambda: finished_run(store, params, TRAINED, Prepared(PREPARED), facts)


def statuses(store):
    return {run.info.run_name: run.info.status for run in store.search_runs(["1"])}


def test_a_run_says_from_the_start_what_it_is_of(workspace, params):
    assert start_tags(params, TRAINED, IDENTITY) == {
        "setting": "resnet, quick",
        "network": "resnet", "variant": "dropblock", "seed": "0", TRAINING: IDENTITY,
        "mlflow.source.name": "python -m pipeline train resnet-dropblock-0",
    }  # fmt: skip


def test_a_run_is_made_with_all_settings_where_there_is_none(find, store):
    made = find()
    run = store.get_run(made.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", TRAINED.label)
    assert run.data.tags[TRAINING] == IDENTITY
    assert run.data.tags[HISTORY] == hash_file(TRAINED.history_file)
    trained_at = load_facts(TRAINED, DIGEST)["git_commit"]  # not the commit of today
    assert run.data.tags["git.commit"] == run.data.tags["mlflow.source.git.commit"] == trained_at
    assert {"drop_block_size", "train.clip_norm", "augment.crop_pixels", "data.source", "seed",
            "tensorflow", "parameters"} <= set(run.data.params)  # fmt: skip
    assert run.data.params["learning_rate"] == "0.05"  # of section recipe
    assert [i.dataset.name for i in run.inputs.dataset_inputs] == [
        "digits train", "digits validation",
    ]  # fmt: skip
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("- Data: digits, 10 classes, 32x32 pixels (90 train")
    assert find().run_id == made.run_id


@pytest.mark.parametrize("changes", [{}, {"recipe.learning_rate": 0.123}])
def test_a_later_params_file_is_not_logged_with_an_earlier_training(
    find, store, workspace, params, changes
):
    YAML().dump(with_values(quick_values(), changes), workspace / "params.yaml")
    logged = [file.path for file in store.list_artifacts(find().run_id)]
    assert ("params.yaml" in logged) == (load_params() == params) == (not changes)


def test_variants_that_come_to_the_same_training_have_a_run_each(find, store, workspace, params):
    find()
    write_results(workspace, seeds=[0], variants=("nodrop",))
    nodrop = TRAINED._replace(variant="nodrop")
    facts = {**load_facts(nodrop, DIGEST), "training": IDENTITY}
    finished_run(store, params, nodrop, Prepared(PREPARED), facts)
    assert statuses(store) == {TRAINED.label: "FINISHED", nodrop.label: "FINISHED"}


def test_a_new_run_that_was_cut_off_and_closed_is_completed(find, store, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.tracking.trainings.log_settings", fail)
        with pytest.raises(KeyboardInterrupt):
            find()
    monkeypatch.setattr("pipeline.tracking.lifecycle.is_dead", lambda _: True)
    (closed,) = close_dead_runs(store)
    assert find().run_id == closed
    run = store.get_run(closed)
    assert run.info.status == "FINISHED" and run.data.params["learning_rate"] == "0.05"
    assert "end_reason" not in run.data.tags


def test_runs_of_other_trainings_and_runs_cut_off_are_left_as_they_are(find, store):
    leave_run("other", {TRAINING: "model-dropblock-identity-1"})
    leave_run("cut off", {TRAINING: IDENTITY, "variant": "dropblock"}, error=ValueError())
    find()
    assert statuses(store) == {
        "other": "FINISHED", "cut off": "FAILED", TRAINED.label: "FINISHED",
    }  # fmt: skip


def test_the_names_of_a_results_experiments_are_collected(find, store):
    run = find()
    tag_experiments(run, [])
    assert "dvc.experiments" not in run.tags()
    tag_experiments(run, ["two"])
    tag_experiments(run, ["one", "two"])
    assert run.tags()["dvc.experiments"] == "one, two"
    tag_experiments(run, [f"experiment-{number}" for number in range(1000)])
    tag_experiments(run, ["another"])
    full = run.tags()["dvc.experiments"]
    tag_experiments(run, ["another", "experiment-999"])
    assert run.tags()["dvc.experiments"] == full
    said = full.split(", ")
    assert (said[0], said[-1]) == ("another", "and more")
    assert all(name.startswith("experiment-") for name in said[1:-1])
