import os
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from celery.result import AsyncResult
from dvc.exceptions import DvcException
from dvc.repo.experiments.queue.base import QueueEntry
from dvc.repo.experiments.queue.celery import LocalCeleryQueue
from dvc_task.proc.manager import ProcessManager
from dvc_task.proc.process import ProcessInfo

from pipeline.versioning import queue

DEAD = 999_999_999


@pytest.fixture
def tasks(workspace, monkeypatch):
    """DVC's queue with a task for each name: the process of each, None before it has one.

    `workers` are those that answer; `ending` are tasks that DVC does not end; `written` is when
    DVC wrote the ids of the processes, in seconds before now.
    """
    (workspace / ".dvc/tmp/exps/celery").mkdir(parents=True)
    found = SimpleNamespace(pids={}, workers={}, ending=set(), killed=[], written=0)

    def kill(names):
        if found.ending & set(names):
            raise DvcException("cannot kill")
        found.killed += names

    @contextmanager
    def repo(_):
        processes = ProcessManager(str(workspace / "run"))
        for name, pid in found.pids.items():
            if pid:
                file = workspace / "run" / name / f"{name}.json"
                file.parent.mkdir(parents=True)
                processes[name] = ProcessInfo(pid, None, None, None, None)
                os.utime(file, (time.time() - found.written,) * 2)
        celery = SimpleNamespace(
            iter_active=lambda: (SimpleNamespace(name=k, stash_rev=k) for k in found.pids),
            proc=processes,
            worker_status=lambda: found.workers,
            kill=kill,
        )
        yield SimpleNamespace(experiments=SimpleNamespace(celery_queue=celery))

    monkeypatch.setattr(queue, "Repo", repo)
    return found


def test_tasks_whose_process_is_gone_are_marked_as_failed_and_no_others(tasks):
    tasks.pids |= {"alive": os.getpid(), "dead": DEAD, "ending": DEAD}
    tasks.ending.add("ending")
    assert queue.fail_dead_tasks() == ["dead"] == tasks.killed


def test_a_process_that_started_later_only_has_the_same_id(tasks):
    tasks.pids["before a restart"] = os.getpid()
    tasks.written = time.time() - psutil.Process().create_time() + 60
    assert queue.fail_dead_tasks() == ["before a restart"]


def test_dvc_interrupts_no_other_process_that_has_the_id_now(workspace, monkeypatch):
    """With DVC's own queue: it would interrupt the group of the process with that id."""
    (workspace / ".dvc/tmp/exps/celery").mkdir(parents=True)
    name = "0123456789"
    entry = QueueEntry(str(workspace), str(workspace), "stash", name, "base", None, "task")
    message = SimpleNamespace(headers={"id": "id of the task"})
    dvcs = LocalCeleryQueue(SimpleNamespace(tmp_dir=str(workspace / ".dvc/tmp")), "stash")
    monkeypatch.setattr(LocalCeleryQueue, "scm", SimpleNamespace(is_sha=lambda _: True))
    monkeypatch.setattr(dvcs, "_iter_processed", lambda: iter([(message, entry)]))
    monkeypatch.setattr(dvcs, "worker_status", dict)
    repository = SimpleNamespace(experiments=SimpleNamespace(celery_queue=dvcs))
    monkeypatch.setattr(queue, "Repo", lambda _: nullcontext(repository))
    dvcs.celery.set_current()
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleep, start_new_session=True) as unrelated:
        file = Path(dvcs.proc.wdir, name, f"{name}.json")
        file.parent.mkdir(parents=True)
        dvcs.proc[name] = ProcessInfo(unrelated.pid, None, None, None, None)
        os.utime(file, (time.time() - 600,) * 2)
        try:
            assert queue.fail_dead_tasks() == ["task"]
            with pytest.raises(subprocess.TimeoutExpired):
                unrelated.wait(1)
        finally:
            unrelated.kill()
    assert AsyncResult("id of the task").status == "FAILURE"
    assert queue.fail_dead_tasks() == []


@pytest.mark.parametrize(("workers", "failed"), [({}, ["early"]), ({"one": []}, [])])
def test_a_task_without_a_process_is_dead_if_no_worker_answers(tasks, workers, failed):
    tasks.pids["early"] = None
    tasks.workers = workers
    assert queue.fail_dead_tasks() == failed


def test_without_a_queue_dvc_is_not_asked(workspace, monkeypatch):
    monkeypatch.setattr(queue, "Repo", None)
    assert queue.fail_dead_tasks() == []
