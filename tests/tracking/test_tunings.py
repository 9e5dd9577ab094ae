import pytest
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipeline.tracking import context
from pipeline.tracking.lifecycle import close_dead_runs, tracked_run
from pipeline.tracking.runs import TRAINING, TrackedRun
from pipeline.tracking.store import find_runs
from pipeline.tracking.trainings import EXPERIMENTS
from pipeline.tracking.tunings import TUNING, log_tuning


def test_a_tuning_is_the_parent_of_its_trials_runs_however_often_it_is_logged(store, tmp_path):
    runs = {}
    for name, experiments in (("trial", "six, seven"), ("other", "eight")):
        with tracked_run(name, {TRAINING: name, EXPERIMENTS: experiments}) as run:
            runs[name] = run.run_id
    report = tmp_path / "tuning"
    report.mkdir()
    (report / "report.md").write_text("curves")
    trials = {"seven", "nine"}
    parent = log_tuning("key", trials, {"resnet": 0.51234}, report)
    assert log_tuning("key", trials, {"resnet": 0.625}, report) == parent
    assert log_tuning("other key", {"nine"}, {"resnet": 0.5}, report) != parent
    tags = {name: store.get_run(run_id).data.tags for name, run_id in runs.items()}
    assert tags["trial"][MLFLOW_PARENT_RUN_ID] == parent
    assert MLFLOW_PARENT_RUN_ID not in tags["other"]
    logged = store.get_run(parent)
    assert (logged.info.status, logged.info.run_name) == ("FINISHED", TUNING)
    assert logged.data.metrics == {"best_val_accuracy_resnet": 0.625}
    assert [file.path for file in store.list_artifacts(parent, "tuning")] == ["tuning/report.md"]
    assert len(find_runs()) == 4


def test_a_tuning_that_dies_while_it_is_logged_can_be_closed(store, tmp_path, monkeypatch):
    monkeypatch.setattr(TrackedRun, "log_files", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        log_tuning("key", {"one"}, {}, tmp_path)
    (run,) = find_runs()
    assert run.info.status == "RUNNING"
    monkeypatch.setattr(context, "is_alive", lambda tags: False)
    assert close_dead_runs(store) == [run.info.run_id]
