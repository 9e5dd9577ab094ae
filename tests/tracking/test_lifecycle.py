import itertools
import signal
import sqlite3
import threading
from contextlib import suppress

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.core.errors import UserError
from pipeline.tracking import context, lifecycle
from pipeline.tracking.lifecycle import close_dead_runs, tracked_run
from pipeline.tracking.runs import TRAINING
from pipeline.tracking.store import EXPERIMENT
from tests.conftest import start_python
from tests.small_model import leave_run
from tests.waiting import wait_for


def tags_of(client, run_id):
    return client.get_run(run_id).data.tags


ROWS = [{"epoch": 1, "train_loss": 2.5}, {"epoch": 2, "train_loss": 4 / 3}]
TAGS = {TRAINING: "abc-0", "variant": "dropblock"}


def leave(rows, status="KILLED", tags=TAGS):
    """Leave a run that logged these epochs; return its id."""
    ends = {"KILLED": KeyboardInterrupt(), "FAILED": ValueError(), "FINISHED": None}
    return leave_run("one", tags, rows, ends[status])


def go_on(rows, tags=TAGS):
    """Return the id of the run that a training goes on in from these epochs."""
    with tracked_run("one", tags, rows) as run:
        return run.run_id


@pytest.mark.parametrize("status", ["KILLED", "FAILED", "FINISHED"])
def test_from_a_checkpoint_the_run_of_its_epochs_goes_on(store, status):
    before = leave(ROWS[:1], status)
    assert store.get_run(before).info.status == status
    assert go_on(ROWS[:1]) == before
    assert store.get_run(before).info.status == "FINISHED"
    assert "end_reason" not in tags_of(store, before)


def test_without_a_checkpoint_a_training_has_a_run_of_its_own(store):
    before = leave(ROWS[:1])
    assert go_on([]) != before
    assert store.get_run(before).info.status == "KILLED"


def test_a_run_that_the_environment_names_is_left_alone(store, monkeypatch):
    other = leave(ROWS, "FINISHED", {**TAGS, TRAINING: "other-0"})
    monkeypatch.setenv("MLFLOW_RUN_ID", other)
    assert go_on([]) != other


def test_the_run_of_other_epochs_or_another_training_or_a_deleted_one_is_left_alone(store):
    others = {leave([{"epoch": 1, "train_loss": 9.9}], "FINISHED"),
              leave(ROWS[:1], tags={**TAGS, TRAINING: "other-0"})}  # fmt: skip
    deleted = leave(ROWS[:1])
    store.delete_run(deleted)
    assert go_on(ROWS[:1]) not in {*others, deleted}


def test_a_run_that_lacks_epochs_or_has_one_more_than_a_damaged_checkpoint_goes_on(store):
    behind = leave([])
    assert go_on(ROWS) == behind
    store.delete_run(behind)
    ahead = leave(ROWS)
    assert go_on(ROWS[:1]) == ahead


def test_of_several_runs_the_one_with_most_of_the_epochs_goes_on(store):
    whole, some, _ = leave(ROWS, "FINISHED"), leave(ROWS[:1]), leave([])
    assert go_on(ROWS[:1]) == some  # the newest that has them all
    assert go_on(ROWS) == whole


def test_a_run_that_is_open_elsewhere_is_left_alone(store, workspace):
    process, open_id = start_sleeper(workspace)
    try:
        assert go_on(ROWS) != open_id
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("bad\nvalue"), "FAILED", "ValueError: bad\nvalue"),
        (SystemExit(3), "FAILED", "SystemExit: 3"),
        (KeyboardInterrupt(), "KILLED", "interrupted (Ctrl-C)"),
        (ValueError("x" * 9_000), "FAILED", f"ValueError: {'x' * 9_000}"[:8_000]),
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
with tracked_run("sleeper", {"training": "abc-0"}) as run:
    print(run.run_id, flush=True)
    time.sleep(120)
"""


def start_sleeper(folder):
    process = start_python(folder, "-c", SLEEPER)
    return process, process.stdout.readline().strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "reason"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "interrupted (Ctrl-C)")]
)
def test_a_signal_closes_the_run_as_killed(store, workspace, sent, reason):
    process, run_id = start_sleeper(workspace)
    process.send_signal(sent)
    assert process.wait(30) != 0
    assert store.get_run(run_id).info.status == "KILLED"
    assert tags_of(store, run_id)["end_reason"] == reason


@pytest.mark.slow
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
            # Its process id is unused here; its machine has the same name as this one.
            {**context.process_tags(), "process.machine": "other", "process.pid": "999999999"},
        )
    )
    assert close_dead_runs(store) == [lost.info.run_id]
    assert store.get_run(lost.info.run_id).info.status == "KILLED"
    for run in (seen, namesake):
        assert store.get_run(run.info.run_id).info.status == "RUNNING"


def test_an_open_run_gives_signs_of_life_until_it_ends(store, monkeypatch):
    monkeypatch.setattr(context, "BEAT", 0.01)
    counted, beats = itertools.count(), threading.Semaphore(0)
    monkeypatch.setattr(context, "now", lambda: str(next(counted)))
    set_tag = store.set_tag

    def beat(run_id, key, value):
        set_tag(run_id, key, value)
        if key == context.HEARTBEAT:
            beats.release()

    monkeypatch.setattr(MlflowClient, "set_tag", lambda _, *tag: beat(*tag))
    with tracked_run("one", TAGS) as run:
        for _ in range(3):
            assert beats.acquire(timeout=300)
    assert int(tags_of(store, run.run_id)[context.HEARTBEAT]) >= 3
    assert not [thread for thread in threading.enumerate() if "(work)" in thread.name]


def test_system_metrics_are_sampled_while_a_run_is_open(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with tracked_run("one", {}) as run:
        wait_for(lambda: "system/cpu_utilization_percentage"
                 in store.get_run(run.run_id).data.metrics)  # fmt: skip


def test_a_store_that_fails_while_a_run_ends_is_one_warning_and_leaves_it_running(
    store, workspace, capsys
):
    with suppress(ValueError), tracked_run("one", TAGS) as run:
        with sqlite3.connect(workspace / "mlflow.db") as database:
            database.execute("ALTER TABLE tags RENAME TO away")
        raise ValueError
    said = capsys.readouterr().err
    assert "stays RUNNING until" in said and "Traceback" not in said
    with sqlite3.connect(workspace / "mlflow.db") as database:
        database.execute("ALTER TABLE away RENAME TO tags")
    mlflow.end_run()  # as MLflow does when Python exits
    assert store.get_run(run.run_id).info.status == "RUNNING"


def test_a_request_that_fails_in_a_run_names_the_store(store):
    def fail():
        with tracked_run("one", {}) as run:
            ids.append(run.run_id)
            raise MlflowException("no such table")

    ids = []
    with pytest.raises(UserError, match=r"mlflow.db cannot be used \(no such table\)"):
        fail()
    assert store.get_run(ids[0]).info.status == "FAILED"
