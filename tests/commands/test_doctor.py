import shutil

import pytest

from pipeline.commands import doctor
from pipeline.settings.trainings import Training
from pipeline.tracking.context import process_tags
from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.runs import REPORT, SCORES, TRAINING
from pipeline.versioning.experiments import Experiment
from tests.small_model import leave_run, log_small_model

RESNET = Training("model", "dropblock", 0)


@pytest.fixture
def results(store, monkeypatch):
    """The identity that each experiment has results of, by its name; a dictionary to fill."""
    found = {}
    experiments = lambda: [Experiment(name, "abc1234", {}, {}) for name in found]  # noqa: E731
    monkeypatch.setattr(doctor, "list_experiments", experiments)
    monkeypatch.setattr(doctor, "remove_damaged", list)
    monkeypatch.setattr(doctor, "identities", lambda e: {RESNET: found[e.name]})
    leave_run("one", {TRAINING: "there-0", "variant": "dropblock", REPORT: "hash"})
    return found


def test_a_healthy_project_is_left_as_it_is(results, invoke):
    results |= {"workspace": "there-0", "block-7": "there-0"}
    assert (list(doctor.repair()), doctor.examine()) == ([], [])
    assert invoke("doctor") == (0, "nothing to repair\n")


def test_results_of_the_workspace_that_the_store_lacks_are_named_with_the_way_out(results):
    results |= {"workspace": "lost-0", "commit abc1234": "lost-0", "repro-1": "lost-0"}
    assert (list(doctor.repair()), doctor.examine()) == (
        [],
        ["the workspace's results are not in MLflow; run `python -m pipeline publish`"],
    )


def test_results_of_an_experiment_that_the_store_lacks_are_named_with_the_way_out(results):
    results |= {"workspace": "there-0", "block-7": "lost-0", "block-9": "there-0"}
    assert doctor.examine() == [
        "the results of block-7 are not in MLflow; run `dvc exp apply abc1234`, then `python -m "
        "pipeline publish`"
    ]


def test_a_way_out_for_the_last_commit_can_be_typed(results):
    results |= {"workspace": "there-0", "commit abc1234": "lost-0"}
    (said,) = doctor.examine()
    assert said.startswith("the results of commit abc1234 are not in MLflow; ")
    assert "`git stash && dvc checkout`" in said and "`python -m pipeline publish`" in said
    assert "apply commit" not in said


def test_a_run_that_is_not_published_to_its_end_is_no_result(results, store):
    leave_run("one", {TRAINING: "cut-off-0", "variant": "dropblock"})
    results |= {"workspace": "cut-off-0"}
    assert len(doctor.examine()) == 1


def test_a_run_that_did_not_finish_is_no_result(results, store):
    leave_run("one", {TRAINING: "failed-0", "variant": "dropblock"}, error=ValueError())
    results |= {"workspace": "failed-0"}
    assert len(doctor.examine()) == 1


def test_a_run_left_running_by_a_dead_process_is_closed(results, store):
    tags = {**process_tags(), "process.pid": "999999999"}
    run = store.create_run("1", tags=tags, run_name="dead")
    (said,) = doctor.repair()
    assert said == f"closed run {run.info.run_id}, left RUNNING by a dead process"
    assert store.get_run(run.info.run_id).info.status == "KILLED"
    assert (list(doctor.repair()), doctor.examine()) == ([], [])


def test_runs_and_models_whose_files_are_gone_are_named(results, store, workspace):
    with tracked_run("published", {TRAINING: "published-0", "variant": "dropblock"}) as run:
        run.log_files([workspace / "requirements.lock"])
        run.set_tags({SCORES: "f00d"})
    model = log_small_model()
    assert doctor.examine() == []
    (workspace / f"mlartifacts/models/{model.model_id}/artifacts/MLmodel").unlink()
    (said,) = doctor.examine()
    assert said.startswith(f"the files of model {model.model_id} are gone from mlartifacts/; ")
    shutil.rmtree(workspace / "mlartifacts")
    (said,) = doctor.examine()
    assert said.startswith(f"the files of run {run.run_id} and 1 more are gone from mlartifacts/; ")


@pytest.mark.parametrize(("left", "code"), [([], 0), (["a thing"], 1)])
def test_the_command_exits_with_1_where_something_is_left(invoke, monkeypatch, left, code):
    monkeypatch.setattr(doctor, "repair", lambda: iter(["another"]))
    monkeypatch.setattr(doctor, "examine", lambda: left)
    found, said = invoke("doctor")
    assert found == code
    assert said == "another\n" + "".join(f"for you to do: {line}\n" for line in left)
