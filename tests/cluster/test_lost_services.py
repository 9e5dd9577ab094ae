"""Servers fail, results exist already, trainings fail; no result is missing or duplicated."""

import os
import subprocess
import sys
import time

import pytest
from sqlalchemy import create_engine, text

from tests.cluster.sweeps import (
    LABELS,
    assert_all_is_well,
    end,
    ledger_of,
    processes_of,
    run_sweep,
    runs_of,
    start_sweep,
    wait_for_an_epoch,
)
from tests.conftest import clone_of
from tests.waiting import wait_for

AWAY = 30  # seconds for which a server is down


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
    (push, *_) = wait_for(lambda: processes_of(project, "dvc", "push"), every=0.1)
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
    lock = (serial().folder / "dvc.lock").read_text()
    (project.folder / "dvc.lock").write_text(lock)
    project.run("git", "add", "--force", "dvc.lock")
    project.run("git", "commit", "-qm", "stale")
    project.commit = project.run("git", "rev-parse", "HEAD").stdout.strip()
    output = run_sweep(project, cluster)
    assert "already done: 0, to run: 2" in output
    assert_all_is_well(project, shared, serial)


def test_a_training_that_always_fails_costs_the_others_nothing(project, cluster, shared):
    output = run_sweep(
        project, cluster, "-S", "++baseline.batch_size=50,5000", "-S", "train.seeds=[0]", code=1
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
