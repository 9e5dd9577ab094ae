import itertools
import signal
import threading

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from pipeline.core.errors import UserError
from pipeline.tracking import context, lifecycle
from pipeline.tracking.lifecycle import close_dead_runs, sampling_interval, tracked_run
from pipeline.tracking.runs import TRAINING
from pipeline.tracking.store import EXPERIMENT
from tests.conftest import start_python
from tests.tracking.test_runs import ROWS
from tests.waiting import wait_for


TAGS = {TRAINING: "f00d-0"}


def tags_of(client, run_id):
    return client.get_run(run_id).data.tags


def cut_off(rows, tags=TAGS):
    """Return a run of a training that was interrupted after some epochs."""
    with pytest.raises(KeyboardInterrupt), tracked_run("one", tags) as run:
        run.log_history(rows)
        raise KeyboardInterrupt
    return run.run_id


def next_run(rows, tags=TAGS):
    """Return the run in which a training with these epochs goes on."""
    with tracked_run("one", tags, rows) as run:
        pass
    return run.run_id


def test_a_training_goes_on_in_its_run_that_was_cut_off_and_only_with_its_epochs(store):
    first = cut_off(ROWS[:2])
    assert next_run([]) != first
    assert next_run(ROWS[:2], {TRAINING: "f00d-1"}) != first
    assert next_run(ROWS) == first
    assert store.get_run(first).info.status == "FINISHED"
    assert next_run(ROWS) == first  # cut off before DVC had recorded the outputs


def test_of_two_runs_the_one_with_the_checkpoints_losses_goes_on(store):
    first = cut_off(ROWS[:2])
    cut_off([{**row, "train_loss": row["train_loss"] + 1} for row in ROWS[:2]])
    assert next_run(ROWS[:2]) == first


def test_a_run_that_another_process_has_open_is_left_to_it(store):
    with tracked_run("one", TAGS) as first:
        first.log_history(ROWS[:1])
        mlflow.end_run("RUNNING")
    assert next_run(ROWS[:1]) != first.run_id


def test_a_deleted_run_is_replaced_by_a_new_one(store):
    first = cut_off(ROWS[:1])
    store.delete_run(first)
    assert next_run(ROWS[:1]) != first


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
        with tracked_run("one", {}) as run:
            ids.append(run.run_id)
            raise error

    ids = []
    with pytest.raises(type(error)):
        fail()
    assert store.get_run(ids[0]).info.status == status
    assert tags_of(store, ids[0])["end_reason"] == reason


SLEEPER = """
import time
from pipeline.tracking.lifecycle import tracked_run
with tracked_run("sleeper", {}) as run:
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
    assert process.wait() != 0
    assert store.get_run(run_id).info.status == "KILLED"
    assert tags_of(store, run_id)["end_reason"] == reason


def test_the_next_start_closes_a_run_after_kill_9_and_leaves_living_ones(store, workspace):
    dead, dead_id = start_sleeper(workspace)
    living, living_id = start_sleeper(workspace)
    try:
        dead.kill()
        dead.wait()
        assert store.get_run(dead_id).info.status == "RUNNING"
        assert close_dead_runs(store) == [dead_id]
        assert store.get_run(dead_id).info.status == "KILLED"
        assert "its process died" in tags_of(store, dead_id)["end_reason"]
        assert store.get_run(living_id).info.status == "RUNNING"
    finally:
        living.kill()
        living.wait()


def test_a_store_that_fails_before_a_run_is_open_is_one_message(store, monkeypatch):
    def fail(_):
        raise MlflowException("database is locked")

    monkeypatch.setattr(lifecycle, "close_dead_runs", fail)
    with pytest.raises(UserError, match="database is locked"), tracked_run("one", {}):
        pass


def test_the_run_of_a_lost_machine_is_closed_whatever_its_name(store, monkeypatch):
    lost, seen, namesake = (
        store.create_run(store.get_experiment_by_name(EXPERIMENT).experiment_id, tags=tags)
        for tags in (
            {**context.process_tags(), "process.machine": "lost", context.HEARTBEAT: "1000"},
            {**context.process_tags(), "process.machine": "other"},
            # Its process has a number that is free here, on a machine with this one's name.
            {**context.process_tags(), "process.machine": "other", "process.pid": "999999999"},
        )
    )
    assert close_dead_runs(store) == [lost.info.run_id]
    assert store.get_run(lost.info.run_id).info.status == "KILLED"
    for run in (seen, namesake):
        assert store.get_run(run.info.run_id).info.status == "RUNNING"


def test_an_open_run_gives_signs_of_life(store, monkeypatch):
    monkeypatch.setattr(context, "BEAT", 0.01)
    counted, beating = itertools.count(), set()

    def now():
        beating.add(threading.current_thread())
        return str(next(counted))

    monkeypatch.setattr(context, "now", now)
    with tracked_run("one", {}) as run:
        wait_for(lambda: int(tags_of(store, run.run_id)[context.HEARTBEAT]) > 2)
    beating.remove(threading.current_thread())  # which opened the run
    assert [thread.is_alive() for thread in beating] == [False]


@pytest.mark.parametrize(("uri", "seconds"), [("sqlite:////a.db", 5), ("http://host:5000", 30)])
def test_a_shared_store_is_sent_fewer_system_metrics(uri, seconds):
    assert sampling_interval(uri) == seconds


def test_a_run_has_no_empty_tags_and_no_reason_of_an_earlier_end(store):
    run_id = cut_off(ROWS[:1], {**TAGS, "empty": ""})
    assert "end_reason" in tags_of(store, run_id)
    assert next_run(ROWS[:1]) == run_id
    assert "end_reason" not in tags_of(store, run_id)
    assert "" not in tags_of(store, run_id).values()


def test_system_metrics_are_sampled_while_a_run_is_open(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with tracked_run("one", {}) as run:
        wanted = "system/cpu_utilization_percentage"
        wait_for(lambda: wanted in store.get_run(run.run_id).data.metrics)


def test_a_request_that_fails_in_a_run_names_the_store(store):
    def fail():
        with tracked_run("one", {}) as run:
            ids.append(run.run_id)
            raise MlflowException("no such table")

    ids = []
    with pytest.raises(UserError, match=r"mlflow.db cannot be used \(no such table\)"):
        fail()
    assert store.get_run(ids[0]).info.status == "FAILED"
