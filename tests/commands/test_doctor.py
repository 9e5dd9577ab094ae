import time

import pytest

from pipeline.commands import doctor
from pipeline.reporting.experiments import TrackedResult
from pipeline.settings.trainings import Training
from pipeline.tracking.lifecycle import tracked_run

TRAINING = Training("model", "dropblock", 0)


@pytest.fixture
def run_id(store):
    with tracked_run("one", {}) as run:
        return run.run_id


@pytest.fixture
def results(monkeypatch):
    """What DVC knows; a list to fill."""
    found = []
    monkeypatch.setattr(doctor, "release_dead_locks", list)
    monkeypatch.setattr(doctor, "list_results", lambda: found)
    return found


def test_a_healthy_project_is_left_as_it_is(results, run_id):
    results += [TrackedResult("workspace", "", TRAINING, run_id)]
    assert doctor.examine() == ([], [])


def test_a_run_is_tagged_with_all_experiments_that_hold_its_result(results, run_id, store):
    results += [
        TrackedResult("workspace", "", TRAINING, run_id),
        TrackedResult("commit abc1234", "abc1234", TRAINING, run_id),
        TrackedResult("late", "abc1235", TRAINING, run_id),
        TrackedResult("early", "abc1236", TRAINING, run_id),
    ]
    mended, left = doctor.examine()
    assert mended == [f"tagged run {run_id} (one) with early, late"]
    assert left == []
    assert store.get_run(run_id).data.tags[doctor.TAG] == "early, late"
    assert doctor.examine() == ([], [])


def test_a_run_left_running_by_a_dead_process_is_closed(results, store, monkeypatch):
    monkeypatch.setattr(doctor, "close_dead_runs", lambda client: ["f00d"])
    assert doctor.examine()[0] == ["closed run f00d, left RUNNING by a dead process"]


def test_dead_processes_are_taken_out_of_dvcs_locks(results, store, monkeypatch):
    monkeypatch.setattr(doctor, "release_dead_locks", lambda: ["released a lock"])
    assert doctor.examine() == (["released a lock"], [])


def test_a_run_of_another_machine_is_named_and_closed_when_told_to(results, store, invoke):
    tags = {"process.host": "elsewhere", "process.pid": "1"}
    store.create_run("1", tags={**tags, "process.heartbeat": f"{time.time()}"}, run_name="lives")
    run = store.create_run("1", tags=tags, run_name="far")
    run_id = run.info.run_id
    mended, (left,) = doctor.examine()
    assert mended == []
    assert left.startswith(f"run {run_id} (far) is RUNNING on elsewhere since 20")
    assert left.endswith(f"`python -m pipeline doctor --close {run_id[:8]}`")
    code, said = invoke("doctor", "--close", "nothing")
    assert code == 2
    assert "--close nothing: 0 runs are meant; RUNNING are: " in said
    assert run_id[:8] in said
    code, said = invoke("doctor", "--close", run_id[:8])
    assert (code, said) == (0, f"closed run {run_id} (far)\nall fine\n")
    assert store.get_run(run_id).info.status == "KILLED"
    assert store.get_run(run_id).data.tags["end_reason"] == "closed by hand"


def test_lost_runs_of_experiments_are_left_and_named_with_the_way_out(results, store):
    results += [TrackedResult("lost", "abc1235", TRAINING, "f00d" * 8)]
    mended, left = doctor.examine()
    assert mended == []
    assert left == [
        "runs of experiment lost are not in this store; `dvc exp apply lost` and this command "
        "again make new ones"
    ]


def test_a_result_whose_run_was_made_anew_is_not_lost(results, store):
    with tracked_run("one", {}) as run:
        run.set_tags({"restored_from": "f00d" * 8})
    results += [TrackedResult("repro-1", "abc1235", TRAINING, "f00d" * 8)]
    assert doctor.examine()[1] == []


def test_lost_runs_of_the_workspace_are_made_anew(results, store, monkeypatch):
    results += [TrackedResult("workspace", "", TRAINING, "f00d" * 8)]
    restored = []

    def restore(trainings):
        restored.extend(trainings)
        results.clear()
        return ["made a new run"]

    monkeypatch.setattr(doctor, "restore_runs", restore)
    assert doctor.examine() == (["made a new run"], [])
    assert restored == [TRAINING]


def test_other_stores_are_named(results, store, workspace, monkeypatch):
    (workspace / "mlruns").mkdir()
    (left,) = doctor.other_stores()
    assert "mlruns is a store of files" in left
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    left = doctor.other_stores()
    assert "names http://***@127.0.0.1:9, but" in left[1]


@pytest.mark.parametrize(("left", "code"), [([], 0), (["a thing"], 1)])
def test_the_command_exits_with_1_where_something_is_left(invoke, monkeypatch, left, code):
    monkeypatch.setattr(doctor, "examine", lambda: (["another"], left))
    found, said = invoke("doctor")
    assert found == code
    assert said.startswith("another\n")
