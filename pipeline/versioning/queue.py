"""Tasks of DVC's queue whose worker was killed: DVC shows them as running for ever."""

from pathlib import Path

import psutil
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_task.proc.manager import ProcessManager

from pipeline.core.files import project_root

CLOCK_STEP = 1  # seconds by which the times of a process and of a file may differ


def fail_dead_tasks() -> list[str]:
    """Let DVC mark as failed the running tasks whose process is gone; return their names."""
    root = project_root()
    if not (root / ".dvc/tmp/exps/celery").is_dir():  # no queue; DVC takes seconds to say so
        return []
    failed = []
    with Repo(str(root)) as repo:
        queue = repo.experiments.celery_queue
        for entry in list(queue.iter_active()):
            name = entry.name or entry.stash_rev[:7]
            try:
                alive = _runs(queue.proc, entry.stash_rev)
            except KeyError:  # not started yet, or never
                alive = bool(queue.worker_status())
            if not alive:
                _mark_ended(queue.proc, entry.stash_rev)
                try:
                    queue.kill([entry.stash_rev])
                except DvcException:  # a worker is just ending it
                    continue
                failed.append(name)
    return failed


def _runs(processes: ProcessManager, task: str) -> bool:
    """Whether the process of a task still runs; KeyError if it never had one.

    DVC writes a process's id when it has started, so a process that is younger than the file only
    got the same id later, after a restart of the machine for example.
    """
    info = processes[task]
    if info.returncode is not None:
        return False
    written = Path(processes.wdir, task, f"{task}.json").stat().st_mtime
    try:
        return psutil.Process(info.pid).create_time() <= written + CLOCK_STEP
    except psutil.NoSuchProcess:
        return False


def _mark_ended(processes: ProcessManager, task: str) -> None:
    """Note that a task's process has ended.

    Otherwise DVC would interrupt the process that has the id now, and its whole group.
    """
    info = processes.get(task)
    if info and info.returncode is None:
        info.returncode = -1
        processes[task] = info
