"""Tasks on a real Ray of this machine; a stand-in for DVC waits until it is told to go on."""

import os
import pickle
import signal
import subprocess
import sys
import threading

import psutil
import pytest
import ray

from pipeline.core.errors import UserError
from pipeline.sweep.pool import local_pool, slots
from pipeline.sweep.task import TrainingFailedError, local_ledger
from tests.conftest import REPOSITORY, obey_ctrl_c
from tests.sweep.stand_in import start, trainings, worker_of
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool():
    with local_pool():
        yield


def test_each_result_is_recorded_once_and_not_made_again(pool, work):
    work.go()
    outcomes = {training.key: records for training, records in start(work, 0, 1, 2)}
    assert set(outcomes) == {"key-0", "key-1", "key-2"}
    for seed in range(3):
        (record,) = outcomes[f"key-{seed}"]
        assert (record.label, record.pflop) == (f"model-dropblock-{seed}", 1.5)
        assert local_ledger(work.root).get(f"result-{seed}") == record
    assert len(work.started()) == 3
    assert {training.key: records for training, records in start(work, 0, 1, 2)} == outcomes
    assert len(work.started()) == 3
    assert list((work.root / ".dvc/tmp/sweep").iterdir()) == []


def test_a_training_whose_worker_is_killed_ends_and_is_started_anew(pool, work):
    ended = []

    def fault():
        wait_for(work.started)
        (first,) = work.started()
        worker_of(first).kill()
        wait_for(lambda: first in work.ended() and not psutil.pid_exists(first))
        wait_for(lambda: len(work.started()) == 2)
        ended.append(first)
        work.go()

    # The generator starts its tasks when it is asked for the first outcome.
    thread = threading.Thread(target=fault)
    thread.start()
    ((_, (record,)),) = list(start(work, 0))
    thread.join()
    assert record.run_id in {str(pid) for pid in work.started()} - {str(ended[0])}
    assert local_ledger(work.root).get("result-0") == record


def test_whoever_stops_asking_ends_all_trainings_before_going_on(pool, work):
    (work.notes / "go model-dropblock-0").touch()
    outcomes = start(work, 0, 1, 2)
    assert next(outcomes)[0].key == "key-0"
    wait_for(lambda: len(work.started()) > 1)
    outcomes.close()
    assert not any(map(psutil.pid_exists, work.started()))
    assert len(work.ended()) == len(work.started()) - 1


def test_a_training_that_fails_says_why_and_the_others_go_on(pool, work):
    work.go()
    outcomes = {training.key: outcome for training, outcome in start(work, 13, 1)}
    assert isinstance(outcomes["key-13"], TrainingFailedError)
    assert str(outcomes["key-13"]) == "the loss is nan"
    assert outcomes["key-1"][0].label == "model-dropblock-1"
    assert len(work.started()) == 4  # three attempts, and the other
    assert local_ledger(work.root).get("result-13") is None


def test_more_processors_than_there_are_is_one_message(pool):
    there = ray.cluster_resources()["CPU"]
    assert slots(1) == there
    with pytest.raises(UserError, match=rf"--cpus-per-training 999: there are {there:.0f}"):
        slots(999)


DRIVER = """
import pathlib, pickle, sys
from pipeline.sweep.pool import local_pool, train_all
asked, snapshot, place = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
with local_pool():
    for _ in train_all(asked, snapshot, place, 1):
        pass
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_training_outlives_the_sweep(work, tmp_path, how):
    asked = [(training, {}) for training in trainings(0, 1)]
    (tmp_path / "asked").write_bytes(pickle.dumps((asked, work.snapshot, work.place)))
    sweep = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "asked")], cwd=REPOSITORY,
        env={**os.environ, "RAY_ADDRESS": "", "PYTHONPATH": str(REPOSITORY)},
        start_new_session=True, preexec_fn=obey_ctrl_c, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: len(work.started()) == 2, 600)
        sweep.send_signal(how)
        sweep.wait(120)
    finally:
        sweep.kill()
    if how != signal.SIGINT:  # at which it waits itself
        wait_for(lambda: not any(map(psutil.pid_exists, work.started())))
    assert not any(map(psutil.pid_exists, work.started()))
    assert sorted(work.ended()) == sorted(work.started())
