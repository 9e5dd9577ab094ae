"""What is taken from a sweep while it trains: in the end nothing is lost, nothing is doubled."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from sqlalchemy import create_engine, text

from tests.cluster.conftest import Cluster, clone_of
from tests.cluster.sweeps import (
    LABELS,
    assert_all_is_well,
    ledger_of,
    processes_of,
    run_sweep,
    runs_of,
    start_sweep,
    wait_for,
    wait_for_an_epoch,
    worker_of,
)

AWAY = 30  # seconds for which a server is gone


def end(process, code=0):
    output = process.communicate(timeout=900)[0]
    assert process.returncode == code, output
    return output


def node_of(cluster, training):
    """Return the raylet's node whose worker runs a training."""
    parents = {parent.pid for parent in worker_of(training).parents()}
    for node in cluster.nodes:
        if any(p.process.pid in parents for p in node.all_processes["raylet"]):
            return node
    raise AssertionError("no raylet")


def drivers():
    """Return the processes that Ray started for jobs of this cluster's only sweep."""
    command = ["python", "-m", "pipeline.sweep.jobs", "sweep.pickle"]
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline() == command:
                found.append(process)
    return found


def kill_worker(cluster, training):
    worker_of(training).kill()


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
    process = start_sweep(project, cluster)
    first, _ = wait_for(lambda: (t := processes_of(project, "pipeline", "train"))[1:] and t)
    first.suspend()  # so that the other one's result is there when the command comes again
    wait_for(lambda: ledger_of(project, shared))
    process.kill()
    process.wait()
    again = start_sweep(project, cluster)
    wait_for(lambda: again.stdout.readline().startswith("job "))
    first.resume()
    end(again)
    assert_all_is_well(project, shared, serial)
    assert len(cluster.jobs()) == 1


def test_ctrl_c_stops_the_job_and_its_trainings(project, cluster, shared, serial):
    process = start_sweep(project, cluster)
    training = wait_for_an_epoch(project, process)
    process.send_signal(signal.SIGINT)
    assert end(process, code=130).endswith("interrupted\n")
    wait_for(lambda: not training.is_running(), 60)
    wait_for(lambda: {run.info.status for run in runs_of(project)} <= {"KILLED", "FINISHED"}, 60)
    run_sweep(project, cluster)
    assert_all_is_well(project, shared, serial)


def test_after_a_restart_of_the_head_the_same_command_goes_on(project, shared, serial):
    first = Cluster(2)
    try:
        process = start_sweep(project, first)
        training = wait_for_an_epoch(project, process)
    finally:
        first.stop()
    assert "the same command" in end(process, code=2)
    wait_for(lambda: not training.is_running(), 60)
    second = Cluster(2)
    try:
        run_sweep(project, second)
    finally:
        second.stop()
    assert_all_is_well(project, shared, serial)


@pytest.mark.parametrize("name", ["s3", "mlflow"])
def test_a_server_may_be_gone_for_a_while(name, project, cluster, shared, serial):
    process = start_sweep(project, cluster)
    wait_for_an_epoch(project, process)
    server = getattr(shared, name)
    server.stop()
    time.sleep(AWAY)
    server.start()
    end(process)
    assert_all_is_well(project, shared, serial)


def test_a_push_that_is_cut_off_is_done_again(project, cluster, shared, serial):
    process = start_sweep(project, cluster)
    (push, *_) = wait_for(lambda: processes_of(project, "dvc", "push"))
    push.kill()
    end(process)
    assert_all_is_well(project, shared, serial)


def test_two_sweeps_at_once_that_overlap_share_what_is_first(
    project, committed, cluster, shared, serial, tmp_path
):
    other = clone_of(project, tmp_path / "other", shared.environment)
    second = start_sweep(other, cluster, "-S", "train.seeds=[1,2]")
    first = start_sweep(project, cluster)
    end(first)
    end(second)
    other.commit, other.remote = project.commit, project.remote
    assert_all_is_well(project, shared, serial, [*LABELS, "baseline-dropblock-2"])
    assert other.run("dvc", "exp", "list", "--name-only").stdout.startswith("sweep-")


def test_a_stale_dvc_lock_hides_nothing(project, cluster, shared, serial):
    """It has the entries of the very same trainings, whose files are in no cache here."""
    lock = (serial.folder / "dvc.lock").read_text()
    (project.folder / "dvc.lock").write_text(lock)
    project.run("git", "add", "--force", "dvc.lock")
    project.run("git", "commit", "-qm", "stale")
    project.commit = project.run("git", "rev-parse", "HEAD").stdout.strip()
    output = run_sweep(project, cluster)
    assert "done already: 0, to run: 2" in output
    assert_all_is_well(project, shared, serial)


def test_a_training_that_always_fails_costs_the_others_nothing(project, cluster, shared):
    output = run_sweep(
        project, cluster, "-S", "baseline.batch_size=50,5000", "-S", "train.seeds=[0]", code=1
    )
    assert "baseline-dropblock-0 of batch_size-5000" in output
    assert "baseline.batch_size = 5000: there are only" in output
    assert ledger_of(project, shared) == ["baseline-dropblock-0"]
    assert [run.info.status for run in runs_of(project)] == ["FINISHED"]  # refused before its run
    listed = project.run("dvc", "exp", "list", "--name-only").stdout.split()
    assert [name.rsplit("-", 1)[0] for name in listed] == ["batch_size-50"]


def test_first_starts_on_many_machines_make_one_store(shared, tmp_path, project):
    """Straight on PostgreSQL, without a server that would make the tables."""
    engine = create_engine(shared.database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE racing"))
    uri = shared.database.replace("/postgres", "/racing")
    code = "from pipeline.tracking.store import open_store; open_store()"
    starts = []
    for i in range(4):
        folder = tmp_path / str(i)
        (folder / ".dvc").mkdir(parents=True)
        starts.append(
            subprocess.Popen(
                [sys.executable, "-c", code], cwd=folder, stderr=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONPATH": str(project.folder), "MLFLOW_TRACKING_URI": uri},
            )
        )  # fmt: skip
    said = [start.communicate(timeout=300)[1] for start in starts]
    assert [start.returncode for start in starts] == [0] * 4, said
    with create_engine(uri).connect() as connection:
        names = connection.execute(text("SELECT name FROM experiments")).scalars().all()
    assert names.count("dropblock-comparison") == 1
