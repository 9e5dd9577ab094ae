"""Processes and machines of a sweep are lost; in the end no result is missing or duplicated."""

import os
import signal
from contextlib import closing, suppress

import psutil
import pytest

from tests.cluster.conftest import Cluster, folder_for_ray
from tests.cluster.sweeps import (
    assert_all_is_well,
    end,
    ledger_of,
    processes_of,
    run_sweep,
    runs_of,
    start_sweep,
    wait_for_an_epoch,
)
from tests.waiting import wait_for, worker_of


def node_of(cluster, training):
    """Return the raylet's node whose worker runs a training."""
    parents = {parent.pid for parent in worker_of(training.pid).parents()}
    for node in cluster.nodes():
        if any(p.process.pid in parents for p in node.all_processes["raylet"]):
            return node
    raise AssertionError("no raylet")


def drivers():
    """Return the processes that Ray started for jobs of this cluster's only sweep."""
    command = ["python", "-m", "pipeline.sweep.jobs", "sweep.pickle"]
    store = os.environ["MLFLOW_TRACKING_URI"]  # tests that run at the same time use another one
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline() == command and process.environ()["MLFLOW_TRACKING_URI"] == store:
                found.append(process)
    return found


def kill_worker(cluster, training):
    worker_of(training.pid).kill()


def kill_raylet(cluster, training):
    node = node_of(cluster, training)
    node.all_processes["raylet"][0].process.kill()
    cluster.add()


def remove_node(cluster, training):
    node = node_of(cluster, training)
    cluster.ray.remove_node(node, allow_graceful=False)
    cluster.add()


@pytest.mark.parametrize("fault", [kill_worker, kill_raylet, remove_node])
def test_a_training_goes_on_elsewhere_after_its_last_epoch(fault, project, cluster, shared, serial):
    process = start_sweep(project, cluster)
    training = wait_for_an_epoch(project, process)
    fault(cluster, training)
    wait_for(lambda: not training.is_running(), 60)
    end(process)
    assert_all_is_well(project, shared, serial)


def test_a_job_whose_driver_is_killed_is_taken_up_by_the_same_command(
    project, cluster, shared, serial
):
    process = start_sweep(project, cluster)
    training = wait_for_an_epoch(project, process)
    (driver,) = drivers()
    driver.kill()
    assert "FAILED" in end(process, code=1)
    wait_for(lambda: not training.is_running(), 60)
    run_sweep(project, cluster)
    assert_all_is_well(project, shared, serial)


def test_a_command_that_is_killed_leaves_its_job_to_the_next(project, cluster, shared, serial):
    before = len(cluster.jobs())
    process = start_sweep(project, cluster)
    first, _ = wait_for(
        lambda: (t := processes_of(project, "pipeline", "train"))[1:] and t, every=0.4
    )
    first.suspend()  # so that the other training's result exists when the command is repeated
    wait_for(lambda: ledger_of(project, shared), every=0.2)
    process.kill()
    process.wait()
    again = start_sweep(project, cluster)
    wait_for(lambda: again.stdout.readline().startswith("job "))
    first.resume()
    end(again)
    assert_all_is_well(project, shared, serial)
    assert len(cluster.jobs()) == before + 1


def test_ctrl_c_stops_the_job_and_its_trainings(project, cluster, shared, serial):
    process = start_sweep(project, cluster)
    training = wait_for_an_epoch(project, process)
    process.send_signal(signal.SIGINT)
    assert end(process, code=130).endswith("interrupted\n")
    wait_for(lambda: not training.is_running(), 60)
    wait_for(lambda: {run.info.status for run in runs_of(project)} <= {"KILLED", "FINISHED"}, 60)
    run_sweep(project, cluster)
    assert_all_is_well(project, shared, serial)


def test_after_a_restart_of_the_head_the_same_command_goes_on(project, shared, serial, monkeypatch):
    with folder_for_ray() as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)  # keep the other tests' cluster
        with closing(Cluster()) as first:
            process = start_sweep(project, first)
            training = wait_for_an_epoch(project, process)
        assert "repeat the command once the cluster answers" in end(process, code=2)
        wait_for(lambda: not training.is_running(), 60)
        with closing(Cluster()) as second:
            run_sweep(project, second)
    assert_all_is_well(project, shared, serial)
