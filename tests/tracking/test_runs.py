import json
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.records import RECORD
from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.runs import attach_files

ROWS = [{"epoch": e, "train_loss": 1 / e, "val_accuracy": e / 10} for e in (1, 2, 3)]


def points(client, run_id, key):
    return [(m.step, m.value) for m in client.get_metric_history(run_id, key)]


def test_a_run_that_ends_well_is_finished_and_has_its_metrics(store):
    with tracked_run("one", {"network": "resnet"}) as run:
        assert run.log_history(ROWS[:2])
        run.log_history(ROWS)
        run.log_metrics({"test_accuracy": 0.5})
        run.log_params({"width": 1.0, **{f"p{i}": i for i in range(150)}})
        run.log_params({"width": 2.0})  # present ones stay
    ended = store.get_run(run.run_id)
    assert ended.info.status == "FINISHED"
    assert points(store, run.run_id, "train_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert ended.data.metrics["test_accuracy"] == 0.5
    assert ended.data.params["width"] == "1.0"
    assert len(ended.data.params) == 151


def test_a_reopened_run_goes_on_without_repeated_points(store):
    with tracked_run("one", {}) as first:
        first.log_history(ROWS[:2])
    with tracked_run("one", {}, first.run_id) as second:
        second.log_history(ROWS)
    assert second.run_id == first.run_id
    assert [step for step, _ in points(store, first.run_id, "val_accuracy")] == [1, 2, 3]


def test_a_store_that_goes_away_stops_nothing_and_gets_all_epochs_later(store, monkeypatch, capsys):
    with tracked_run("one", {}) as run:
        run.log_history(ROWS[:1])
        send = run._client.log_batch

        def unreachable(*_, **__):
            raise OSError("connection refused")

        monkeypatch.setattr(run._client, "log_batch", unreachable)
        assert not run.log_history(ROWS[:2])
        assert "connection refused" in capsys.readouterr().err
        monkeypatch.setattr(run._client, "log_batch", send)
        assert run.log_history(ROWS)
    assert [step for step, _ in points(store, run.run_id, "train_loss")] == [1, 2, 3]


def test_each_split_of_the_data_is_named_with_its_digest_and_its_size(store):
    with tracked_run("one", {}) as run:
        run.log_dataset("digits", "val", "f00d" * 16, np.zeros(3, RECORD))
    (logged,) = store.get_run(run.run_id).inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("digits validation", "f00d" * 4)
    assert json.loads(logged.dataset.profile)["features_shape"] == [3, 32, 32, 3]
    assert {tag.key: tag.value for tag in logged.tags}["mlflow.data.context"] == "validation"


def test_how_fast_the_machine_was_stands_with_the_system_metrics(store):
    with tracked_run("one", {}) as run:
        run.log_history([{"epoch": 1, "train_loss": 2.0, "seconds": 3.0, "images_per_second": 4.0}])
    metrics = store.get_run(run.run_id).data.metrics
    assert (metrics["system/seconds"], metrics["system/images_per_second"]) == (3.0, 4.0)
    assert "seconds" not in metrics


def test_a_table_is_saved_as_one_that_the_ui_shows(store, tmp_path):
    with tracked_run("one", {}) as run:
        run.log_table(pd.DataFrame({"a": [1], "b": ["x"]}), "scores.csv")
    file = store.download_artifacts(run.run_id, "scores.csv", str(tmp_path))
    assert Path(file).read_text() == "a,b\n1,x\n"


def test_files_and_folders_are_attached_to_runs_that_have_ended(store, workspace, capsys):
    (workspace / "figures").mkdir()
    for name in ("report.html", "figures/a.png"):
        (workspace / name).write_text("content")
    with tracked_run("one", {}) as run:
        pass
    attach_files([run.run_id, "gone"], [workspace / "report.html", workspace / "figures"], "report")
    attached = {item.path for item in store.list_artifacts(run.run_id, "report")}
    assert attached == {"report/report.html", "report/figures"}
    said = capsys.readouterr().err
    assert "MLflow has no run gone; `python -m pipeline doctor` makes a new one" in said
    assert store.get_run(run.run_id).info.status == "FINISHED"


def test_a_store_that_takes_no_files_costs_a_warning(store, workspace, monkeypatch, capsys):
    with tracked_run("one", {}) as run:
        pass

    def refuse(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("mlflow.MlflowClient.log_artifact", refuse)
    (workspace / "report.html").write_text("content")
    attach_files([run.run_id], [workspace / "report.html"], "report")
    assert "did not take report for run" in capsys.readouterr().err
