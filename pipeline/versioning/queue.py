"""Tasks of DVC's queue whose worker was killed: DVC shows them as running for ever."""

import psutil
from dvc.exceptions import DvcException
from dvc.repo import Repo

from pipeline.core.files import project_root


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
                alive = psutil.pid_exists(queue.proc[entry.stash_rev].pid)
            except KeyError:  # not started yet, or never
                alive = bool(queue.worker_status())
            if not alive:
                try:
                    queue.kill([entry.stash_rev])
                except DvcException:  # a worker is just ending it
                    continue
                failed.append(name)
    return failed
