"""DVC's record of which process reads or writes what, cleared of processes that are dead."""

from pathlib import Path
from typing import Any

import psutil
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, _edit_rwlock

from pipeline.core.errors import UserError
from pipeline.core.files import project_root


def release_dead_locks() -> list[str]:
    """Take out of DVC's locks what processes left that were killed; say which, a sentence each.

    DVC does so only for the paths that it is about to use, with a warning each time, and waits for
    a process that has the number of a dead one by now.

    Raises:
        UserError: this is no DVC repository, or the file of locks is damaged.
    """
    try:
        with Repo(str(project_root())) as repo:
            folder = Path(str(repo.tmp_dir))
            if not (folder / RWLOCK_FILE).exists():
                return []
            written = (folder / RWLOCK_FILE).stat().st_mtime
            with _edit_rwlock(
                str(folder), repo.fs, repo.config["core"].get("hardlink_lock")
            ) as lock:
                return _release(lock, written)
    except DvcException as error:
        raise UserError(
            f"DVC's locks cannot be read ({error}); where nothing of DVC runs, remove "
            f".dvc/tmp/{RWLOCK_FILE}"
        ) from None


def _release(lock: dict[str, Any], written: float) -> list[str]:
    dead: dict[int, str] = {}

    def lives(holder: dict[str, Any]) -> bool:
        if is_dead(holder["pid"], written):
            dead[holder["pid"]] = holder["cmd"]
        return holder["pid"] not in dead

    readers = {path: list(filter(lives, holders)) for path, holders in lock["read"].items()}
    lock["read"] = {path: holders for path, holders in readers.items() if holders}
    lock["write"] = {path: holder for path, holder in lock["write"].items() if lives(holder)}
    return [
        f"released what dead process {pid} ({command}) held of DVC's locks"
        for pid, command in dead.items()
    ]


def is_dead(pid: int, written: float) -> bool:
    """Whether the process that held a lock is dead beyond doubt.

    Args:
        pid: its number.
        written: when the locks were last written, seconds since 1970. A process that has this
            number and began later is another one.
    """
    try:
        return psutil.Process(pid).create_time() > written
    except psutil.NoSuchProcess:
        return True
