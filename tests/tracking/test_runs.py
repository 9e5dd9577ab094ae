import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.orm import Session

from pipeline.core.records import Images, make_records
from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.runs import TRAINING, TrackedRun, _now, find_training_runs
from tests.small_model import leave_run, log_small_model

ROWS = [{"epoch": e, "train_loss": 1 / e, "val_accuracy": e / 10} for e in (1, 2, 3)]
TAGS = {TRAINING: "abc-0", "variant": "dropblock"}


def points(client, run_id, key):
    return [(m.step, m.value) for m in client.get_metric_history(run_id, key)]


def test_a_run_that_ends_well_is_finished_and_has_its_metrics(store):
    with tracked_run("one", {"network": "resnet"}) as run:
        run.log_history(ROWS[:2])
        run.log_history(ROWS)
        run.log_scores({"test_accuracy": 0.5})
        run.log_params({"width": 1.0, **{f"p{i}": i for i in range(150)}})
        run.log_params({"width": 2.0})  # present ones stay
    ended = store.get_run(run.run_id)
    assert ended.info.status == "FINISHED"
    assert points(store, run.run_id, "train_loss") == [(1, 1.0), (2, 0.5), (3, 0.3333)]
    assert ended.data.metrics["test_accuracy"] == 0.5
    assert ended.data.params["width"] == "1.0"
    assert len(ended.data.params) == 151


def test_a_reopened_run_goes_on_without_repeated_points(store):
    with tracked_run("one", TAGS) as first:
        first.log_history(ROWS[:2])
    with tracked_run("one", TAGS, ROWS[:2]) as second:
        second.log_history(ROWS)
    assert second.run_id == first.run_id
    assert [step for step, _ in points(store, first.run_id, "val_accuracy")] == [1, 2, 3]


def test_a_run_that_has_ended_is_completed_and_nothing_is_written_twice(store):
    with tracked_run("one", {}) as run:
        run.log_history(ROWS[:1])
    again = TrackedRun(store, store.get_run(run.run_id))
    for _ in range(2):
        again.log_history(ROWS)
        again.log_scores({"test_accuracy": 0.5})
    again.log_scores({"test_accuracy": 0.25})
    assert store.get_run(run.run_id).info.status == "FINISHED"
    assert [step for step, _ in points(store, run.run_id, "train_loss")] == [1, 2, 3]
    assert points(store, run.run_id, "test_accuracy") == [(0, 0.5), (0, 0.25)]
    assert store.get_run(run.run_id).data.metrics["test_accuracy"] == 0.25


def test_the_runs_of_a_training_are_found_the_newest_first(store):
    leave_run("first", TAGS)
    leave_run("other", {**TAGS, TRAINING: "abc-1"})
    leave_run("second", TAGS)
    leave_run("nodrop", {**TAGS, "variant": "nodrop"})
    found = find_training_runs("abc-0", "dropblock")
    assert [run.info.run_name for run in found] == ["second", "first"]


def test_a_store_that_goes_away_stops_nothing_and_gets_all_epochs_later(store, monkeypatch, capsys):
    with tracked_run("one", {}) as run:
        run.log_history(ROWS[:1])
        send = run._client.log_batch

        def unreachable(*sent, **named):
            send(*sent, **named)  # the server did the request, but answers too late
            raise OSError("connection refused")

        monkeypatch.setattr(run._client, "log_batch", unreachable)
        run.log_history(ROWS[:2])
        assert "connection refused" in capsys.readouterr().err
        later = _now() + 60_000
        monkeypatch.setattr("pipeline.tracking.runs._now", lambda: later)
        monkeypatch.setattr(run._client, "log_batch", send)
        run.log_history(ROWS)
    assert [step for step, _ in points(store, run.run_id, "train_loss")] == [1, 2, 3]


def test_each_split_of_the_data_is_named_with_its_digest_and_its_size(store):
    with tracked_run("one", {}) as run:
        pixels = np.zeros((5, 32, 32, 3), np.uint8)
        run.log_dataset("digits", "val", "f00d" * 16, Images(pixels, make_records(np.arange(3), 3)))
    (logged,) = store.get_run(run.run_id).inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("digits validation", "f00d" * 4)
    assert json.loads(logged.dataset.profile)["features_shape"] == [3, 32, 32, 3]
    assert {tag.key: tag.value for tag in logged.tags}["mlflow.data.context"] == "validation"


def test_two_runs_that_name_the_same_new_data_at_once_both_have_it(store):
    pixels = np.zeros((5, 32, 32, 3), np.uint8)
    data = ("digits", "val", "f00d" * 16, Images(pixels, make_records(np.arange(3), 3)))
    with tracked_run("first", {}) as first:
        pass
    with tracked_run("second", {}) as second:
        # It has looked for the row, and is about to add it.
        event.listen(Session, "before_flush", lambda *_: first.log_dataset(*data), once=True)
        second.log_dataset(*data)
    for run in (first, second):
        assert len(store.get_run(run.run_id).inputs.dataset_inputs) == 1


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


def test_files_and_folders_are_attached_to_runs_that_have_ended(store, workspace):
    (workspace / "figures").mkdir()
    for name in ("report.html", "figures/a.png"):
        (workspace / name).write_text("content")
    with tracked_run("one", {}) as run:
        pass
    run.log_files([workspace / "report.html", workspace / "figures"], "report")
    attached = {item.path for item in store.list_artifacts(run.run_id, "report")}
    assert attached == {"report/report.html", "report/figures"}
    assert store.get_run(run.run_id).info.status == "FINISHED"


def test_a_model_that_was_half_logged_is_removed_and_a_whole_one_found(store, monkeypatch):
    log = TrackedRun.log_model
    found = []

    def half(*_):
        raise KeyboardInterrupt

    def log_again(run, *named):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_model_artifacts", half)
            with pytest.raises(KeyboardInterrupt):
                log(run, *named)
        found.append(run.find_model())
        return log(run, *named)

    monkeypatch.setattr(TrackedRun, "log_model", log_again)
    model = log_small_model()
    assert found == [None]
    run = TrackedRun(store, store.get_run(model.source_run_id))
    assert run.find_model().model_id == model.model_id
    assert len(store.search_logged_models(["1"])) == 1
