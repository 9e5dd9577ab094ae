import multiprocessing
import os
import signal
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest
from mlflow import MlflowClient

from pipeline import tracking
from pipeline.errors import UserError
from tests.conftest import start_python

ROWS = [{"epoch": e, "train_loss": 1 / e, "val_accuracy": e / 10} for e in (1, 2, 3)]


@pytest.fixture
def store(workspace):
    return tracking.open_store()


def points(client, run_id, key):
    return [(m.step, m.value) for m in client.get_metric_history(run_id, key)]


def tags_of(client, run_id):
    return client.get_run(run_id).data.tags


def test_the_store_is_the_main_repositorys_also_from_a_copy(workspace, monkeypatch):
    copy = workspace / ".dvc/tmp/exps/copy"
    (copy / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    assert tracking.store_uri() == f"sqlite:///{workspace}/mlflow.db"
    experiment = tracking.open_store().get_experiment_by_name(tracking.EXPERIMENT)
    assert experiment.artifact_location == (workspace / "mlartifacts").as_uri()


def test_the_environments_store_comes_first(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    assert tracking.store_uri() == "http://tracking.example:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/my.db")
    assert tracking.store_uri() == f"sqlite:///{workspace}/other/my.db"


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "file:///tmp/mlruns"])
def test_a_folder_as_store_is_refused_with_the_way_out(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="mlflow migrate-filestore"):
        tracking.store_uri()


def test_a_server_that_does_not_answer_is_a_clear_error_without_the_password(
    workspace, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"http://\*\*\*@127.0.0.1:9 cannot be used") as caught:
        tracking.open_store()
    assert "start the server" in str(caught.value)


def test_a_damaged_database_is_a_clear_error(workspace):
    (workspace / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(UserError, match=r"mlflow.db cannot be used"):
        tracking.open_store()


OPEN_STORE = """
from pipeline import tracking
from pipeline.errors import exit_on_user_error
exit_on_user_error(tracking.open_store)()
"""


def test_a_database_of_another_mlflow_version_is_left_alone_and_the_upgrade_named(workspace):
    assert start_python(workspace, "-c", OPEN_STORE).wait() == 0
    with closing(sqlite3.connect(workspace / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'f00'")
    before = (workspace / "mlflow.db").read_bytes()
    process = start_python(workspace, "-c", OPEN_STORE, errors=True)
    assert process.wait() == 2
    assert "back it up and run `mlflow db upgrade sqlite:///" in process.stdout.read()
    assert (workspace / "mlflow.db").read_bytes() == before


def open_from_a_new_process(folder):
    os.chdir(folder)
    tracking.open_store()


def test_two_first_starts_at_once_both_get_the_store(workspace):
    context = multiprocessing.get_context("spawn")
    starts = [context.Process(target=open_from_a_new_process, args=(workspace,)) for _ in range(2)]
    for process in starts:
        process.start()
    for process in starts:
        process.join()
    assert [process.exitcode for process in starts] == [0, 0]
    names = [e.name for e in MlflowClient(tracking.store_uri()).search_experiments()]
    assert names.count(tracking.EXPERIMENT) == 1


def test_a_run_that_ends_well_is_finished_and_has_its_metrics(store):
    with tracking.tracked_run("one", {"network": "resnet"}) as run:
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
    with tracking.tracked_run("one", {}) as first:
        first.log_history(ROWS[:2])
    with tracking.tracked_run("one", {}, first.run_id) as second:
        second.log_history(ROWS)
    assert second.run_id == first.run_id
    assert [step for step, _ in points(store, first.run_id, "val_accuracy")] == [1, 2, 3]


def test_a_deleted_run_is_replaced_by_a_new_one(store):
    with tracking.tracked_run("one", {}) as first:
        pass
    store.delete_run(first.run_id)
    with tracking.tracked_run("one", {}, first.run_id) as second:
        pass
    assert second.run_id != first.run_id


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("bad\nvalue"), "FAILED", "ValueError: bad\nvalue"),
        (SystemExit(3), "FAILED", "SystemExit: 3"),
        (KeyboardInterrupt(), "KILLED", "interrupted (Ctrl-C)"),
    ],
)
def test_a_run_cut_off_by_an_error_says_so(store, error, status, reason):
    def fail():
        with tracking.tracked_run("one", {}) as run:
            ids.append(run.run_id)
            raise error

    ids = []
    with pytest.raises(type(error)):
        fail()
    assert store.get_run(ids[0]).info.status == status
    assert tags_of(store, ids[0])["end_reason"] == reason


SLEEPER = """
import time
from pipeline import tracking
with tracking.tracked_run("sleeper", {}) as run:
    print(run.run_id, flush=True)
    time.sleep(120)
"""


def start_sleeper(folder):
    process = start_python(folder, "-c", SLEEPER)
    return process, process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "interrupted (Ctrl-C)")],
)
def test_a_signal_closes_the_run_as_killed(store, workspace, sent, reason):
    process, run_id = start_sleeper(workspace)
    process.send_signal(sent)
    assert process.wait(30) != 0
    assert store.get_run(run_id).info.status == "KILLED"
    assert tags_of(store, run_id)["end_reason"] == reason


def test_the_next_start_closes_a_run_after_kill_9_and_leaves_living_ones(store, workspace):
    dead, dead_id = start_sleeper(workspace)
    living, living_id = start_sleeper(workspace)
    try:
        dead.kill()
        dead.wait()
        assert store.get_run(dead_id).info.status == "RUNNING"
        assert tracking.close_dead_runs(store) == [dead_id]
        assert store.get_run(dead_id).info.status == "KILLED"
        assert "its process died" in tags_of(store, dead_id)["end_reason"]
        assert store.get_run(living_id).info.status == "RUNNING"
    finally:
        living.kill()
        living.wait()


def test_a_store_that_goes_away_stops_nothing_and_gets_all_epochs_later(store, monkeypatch, capsys):
    with tracking.tracked_run("one", {}) as run:
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


def test_runs_carry_their_experiment_stage_and_commit(store, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "block-7")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc123")
    monkeypatch.setenv("DVC_STAGE", "train@model-dropblock-0")
    with tracking.tracked_run("one", {"seed": "0"}) as run:
        pass
    tags = tags_of(store, run.run_id)
    assert tags["dvc.experiment"] == "block-7"
    assert tags["dvc.baseline_rev"] == "abc123"
    assert tags["dvc.stage"] == "train@model-dropblock-0"
    assert tags["seed"] == "0"


def test_the_data_set_is_named_with_its_digest(store):
    from pipeline.records import RECORD

    with tracking.tracked_run("one", {}) as run:
        run.log_dataset("digits", "f00d" * 16, np.zeros(3, RECORD))
    (logged,) = store.get_run(run.run_id).inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("digits", "f00d" * 4)


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("http://user:secret@host:1/x", "http://***@host:1/x"),
        ("http://host/a@b", "http://host/a@b"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_passwords_are_masked(uri, masked):
    assert tracking.without_password(uri) == masked


def test_system_metrics_are_sampled_while_a_run_is_open(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with tracking.tracked_run("one", {}) as run:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            names = store.get_run(run.run_id).data.metrics
            if "system/cpu_utilization_percentage" in names:
                return
            time.sleep(0.2)
    pytest.fail(f"no system metrics among {sorted(names)}")
