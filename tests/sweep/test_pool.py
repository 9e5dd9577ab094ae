"""Tasks on a real local Ray; a stand-in for DVC waits until it is told to continue."""

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
from pipeline.sweep import pool as pools
from pipeline.sweep.pool import slots
from pipeline.sweep.task import TrainingFailedError
from tests.conftest import REPOSITORY, obey_ctrl_c
from tests.sweep.stand_in import made_by, start, tasks
from tests.waiting import wait_for, worker_of

pytestmark = pytest.mark.slow


def test_if_ray_cannot_start_one_line_says_so(monkeypatch):
    def fail(*_, **__):
        raise Exception("The current node timed out during startup.\nSee raylet.out.")

    monkeypatch.setattr(ray, "init", fail)
    with (
        pytest.raises(UserError, match=r"^Ray cannot start: The current node timed .*startup\.;"),
        pools.pool(1, cluster=False),
    ):
        pass


@pytest.fixture(scope="module")
def pool():
    with pools.pool(1, cluster=False):
        yield


def test_each_result_is_made_once_and_each_epoch_said(pool, work):
    work.go()
    lines = []
    outcomes = {task.key: record for task, record in start(work, 0, 1, 2, say=lines.append)}
    assert set(outcomes) == {"key-0", "key-1", "key-2"}
    for seed in range(3):
        record = outcomes[f"key-{seed}"]
        assert (record.label, record.seconds) == (f"model-dropblock-{seed}", 2.0)
        assert f"resnet-dropblock-{seed} of x: epoch 1 of 2: half of it" in lines
    assert len(work.started()) == len(lines) == 3
    assert {task.key: record for task, record in start(work, 0, 1, 2)} == outcomes
    assert len(work.started()) == 3
    assert list((work.root / ".dvc/tmp/sweep").iterdir()) == []


def test_an_epoch_is_said_while_it_trains(pool, work):
    lines = []

    def say(line):
        lines.append(line)
        work.go()

    ((_, record),) = start(work, 0, say=say)
    assert lines == ["resnet-dropblock-0 of x: epoch 1 of 2: half of it"]
    assert record.label == "model-dropblock-0"


def test_the_loss_of_all_machines_is_said_once(pool, work, monkeypatch):
    there, lines = [2, 0, 0, 1], []

    def count(cpus, gpu):
        if len(there) == 1:
            work.go()
            return there[0]
        return there.pop(0)

    monkeypatch.setattr(pools, "slots", count)
    ((_, record),) = start(work, 0, say=lines.append)
    assert lines.count(pools.WAITING) == 1
    assert record.label == "model-dropblock-0"


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
    ((_, record),) = list(start(work, 0))
    thread.join()
    assert made_by(record) in set(work.started()) - {ended[0]}


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
    outcomes = {task.key: outcome for task, outcome in start(work, 13, 1)}
    assert isinstance(outcomes["key-13"], TrainingFailedError)
    assert str(outcomes["key-13"]).endswith("\nthe loss is nan")
    assert outcomes["key-1"].label == "model-dropblock-1"
    assert len(work.started()) == 4  # three attempts, plus the other task


def test_a_training_never_waits_for_ray_which_would_start_another_on_its_cores(monkeypatch):
    def wait(*_, **__):
        raise AssertionError("waits")

    monkeypatch.setattr(ray, "get", wait)
    monkeypatch.setattr(pools, "train", lambda *arguments: arguments)
    assert pools._train("task", {}, "actor", "place", None) == ("task", "place", {}, "actor")


def test_slots_are_of_so_many_processors_each(pool):
    there = ray.cluster_resources()["CPU"]
    assert slots(1, gpu=False) == there
    assert slots(999, gpu=False) == 0


def test_slots_do_not_span_machines(monkeypatch):
    machines = [{"Alive": True, "Resources": {"CPU": 4.0}}] * 3
    gone = {"Alive": False, "Resources": {"CPU": 4.0}}
    monkeypatch.setattr(ray, "nodes", lambda: [*machines, gone])
    assert [slots(cpus, gpu=False) for cpus in (1, 3, 4, 8)] == [12, 3, 3, 0]
    machines[0]["Resources"] |= {"GPU": 2.0}
    assert slots(8, gpu=True) == 6  # the three machines are one and the same here


DRIVER = """
import pathlib, pickle, sys
from pipeline.sweep.pool import pool, train_all
asked, place = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
with pool(1, cluster=False):
    for _, outcome in train_all(asked, place, 1, print):
        print(outcome)
"""


def start_driver(work, folder):
    """Start a sweep of two trainings in a process of its own; return it once both train."""
    asked = [(task, {}) for task in tasks(0, 1)]
    large = dict.fromkeys("AB", "x" * 100_000)  # as large as a project: Ray must not inline it
    place = work.place._replace(environment={**work.place.environment, **large})
    (folder / "asked").write_bytes(pickle.dumps((asked, place)))
    sweep = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder / "asked")], cwd=REPOSITORY,
        env={**os.environ, "RAY_ADDRESS": "", "PYTHONPATH": str(REPOSITORY)},
        start_new_session=True, preexec_fn=obey_ctrl_c,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: len(work.started()) == 2 or sweep.poll() is not None, 600)
    return sweep


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_training_outlives_the_sweep(work, tmp_path, how):
    with start_driver(work, tmp_path) as sweep:
        sweep.send_signal(how)
    if how != signal.SIGINT:  # at which it waits itself
        wait_for(lambda: not any(map(psutil.pid_exists, work.started())))
    assert not any(map(psutil.pid_exists, work.started()))
    assert sorted(work.ended()) == sorted(work.started())


def test_if_ray_itself_is_killed_each_training_says_so_in_one_line(work, tmp_path):
    with start_driver(work, tmp_path) as sweep:
        (raylet,) = (p for p in psutil.Process(sweep.pid).children() if p.name() == "raylet")
        raylet.kill()
        said = sweep.stdout.read().splitlines()
    assert not any(map(psutil.pid_exists, work.started()))
    lost = [line for line in said if line.startswith("Ray lost its process or machine: ")]
    assert len(lost) == 2, "\n".join(said)
    assert not any("raylet" in line for line in said if line not in lost)
