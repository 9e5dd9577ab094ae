import os
import time
from contextlib import contextmanager
from types import SimpleNamespace

import psutil
import pytest
from dvc.exceptions import DvcException
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


@pytest.mark.parametrize(("workers", "failed"), [({}, ["early"]), ({"one": []}, [])])
def test_a_task_without_a_process_is_dead_if_no_worker_answers(tasks, workers, failed):
    tasks.pids["early"] = None
    tasks.workers = workers
    assert queue.fail_dead_tasks() == failed


def test_without_a_queue_dvc_is_not_asked(workspace, monkeypatch):
    monkeypatch.setattr(queue, "Repo", None)
    assert queue.fail_dead_tasks() == []
