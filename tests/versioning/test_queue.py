import os
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from dvc.exceptions import DvcException

from pipeline.versioning import queue

DEAD = 999_999_999


@pytest.fixture
def tasks(workspace, monkeypatch):
    """DVC's queue with a task for each name: the process of each, None before it has one.

    `workers` are those that answer; `ending` are tasks that DVC does not end.
    """
    (workspace / ".dvc/tmp/exps/celery").mkdir(parents=True)
    found = SimpleNamespace(pids={}, workers={}, ending=set(), killed=[])

    def kill(names):
        if found.ending & set(names):
            raise DvcException("cannot kill")
        found.killed += names

    @contextmanager
    def repo(_):
        processes = {k: SimpleNamespace(pid=pid) for k, pid in found.pids.items() if pid}
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


@pytest.mark.parametrize(("workers", "failed"), [({}, ["early"]), ({"one": []}, [])])
def test_a_task_without_a_process_is_dead_if_no_worker_answers(tasks, workers, failed):
    tasks.pids["early"] = None
    tasks.workers = workers
    assert queue.fail_dead_tasks() == failed


def test_without_a_queue_dvc_is_not_asked(workspace, monkeypatch):
    monkeypatch.setattr(queue, "Repo", None)
    assert queue.fail_dead_tasks() == []
