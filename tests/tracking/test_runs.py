import json
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.records import RECORD
from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.runs import HISTORY, TRAINING, TrackedRun, find_training_runs
from tests.small_model import log_small_model

ROWS = [{"epoch": e, "train_loss": 1 / e, "val_accuracy": e / 10} for e in (1, 2, 3)]


def points(client, run_id, key):
    return [(m.step, m.value) for m in client.get_metric_history(run_id, key)]


def test_a_run_that_ends_well_is_finished_and_has_its_metrics(store):
    with tracked_run("one", {"network": "resnet"}) as run:
        assert run.log_history(ROWS[:2])
        run.log_history(ROWS)
        run.log_scores({"test_accuracy": 0.5})
        run.log_params({"width": 1.0, **{f"p{i}": i for i in range(150)}})
        run.log_params({"width": 2.0})  # present ones stay
    ended = store.get_run(run.run_id)
    assert ended.info.status == "FINISHED"
    assert points(store, run.run_id, "train_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert ended.data.metrics["test_accuracy"] == 0.5
    assert ended.data.params["width"] == "1.0"
    assert len(ended.data.params) == 151


def test_a_reopened_run_goes_on_without_repeated_points(store):
    with tracked_run("one", {TRAINING: "f00d-0"}) as first:
        first.log_history(ROWS[:2])
    with tracked_run("one", {TRAINING: "f00d-0"}, ROWS[:2]) as second:
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


def test_files_and_folders_are_attached_to_a_run_that_has_ended(store, workspace):
    (workspace / "figures").mkdir()
    for name in ("report.html", "figures/a.png"):
        (workspace / name).write_text("content")
    with tracked_run("one", {}) as run:
        pass
    run.log_files([Path("report.html"), Path("figures")], "report")
    attached = {item.path for item in store.list_artifacts(run.run_id, "report")}
    assert attached == {"report/report.html", "report/figures"}
    assert store.get_run(run.run_id).info.status == "FINISHED"


def test_a_score_is_logged_again_only_where_it_has_changed(store):
    with tracked_run("one", {}) as run:
        pass
    for accuracy in (0.5, 0.5, 0.25):
        run.log_scores({"test_accuracy": accuracy, "test_loss": 1.0})
    assert points(store, run.run_id, "test_accuracy") == [(0, 0.5), (0, 0.25)]
    assert points(store, run.run_id, "test_loss") == [(0, 1.0)]


def test_the_runs_of_a_training_are_found_by_its_identity_the_newest_first(store):
    made = []
    for identity in ("f00d-0", "f00d-0", "f00d-1"):
        with tracked_run("one", {TRAINING: identity}) as run:
            run.log_end("abc")
        made.append(run.run_id)
    found = find_training_runs("f00d-0")
    assert [run.info.run_id for run in found] == [made[1], made[0]]
    assert [run.data.tags[HISTORY] for run in found] == ["abc", "abc"]


def test_of_models_the_whole_one_is_found_and_the_others_are_removed(store):
    model = log_small_model()
    run = TrackedRun(store, store.get_run(model.source_run_id))
    cut_off = store.create_logged_model("1", source_run_id=run.run_id)
    assert run.find_model().model_id == model.model_id
    left = store.search_logged_models(["1"])
    assert [each.model_id for each in left] == [model.model_id] != [cut_off.model_id]
    store.delete_logged_model(model.model_id)
    assert run.find_model() is None


def test_a_model_is_named_like_its_run_but_for_what_mlflow_forbids(store):
    assert log_small_model(name="resnet, 5x5 blocks: 1/2").name == "resnet, 5x5 blocks- 1-2"
