"""Locks between processes on one machine, and temporary folders that are always removed."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import filelock


@contextmanager
def process_lock(root: Path, key: str, say: Callable[[str], Any] = print) -> Iterator[None]:
    """Hold a lock on what two sweeps of a repository, each with its own Ray, must not both do.

    Args:
        say: shows a line if another sweep has the lock.
    """
    lock = filelock.FileLock(root / ".training" / "sweep" / f"{key}.lock")
    try:
        held = lock.acquire(timeout=0)
    except filelock.Timeout:
        say("waiting for another sweep of this repository, which does the same")
        held = lock.acquire()
    with held:
        yield


@contextmanager
def scratch_folder(root: Path | None) -> Iterator[Path]:
    """Make a temporary folder; remove it afterwards, and those of killed processes.

    It is next to DVC's cache, so that files can be linked; without a root, in the system's
    temporary folder.
    """
    own = Path(tempfile.gettempdir(), f"sweep-{os.getuid()}")  # other users have their own
    parent = own if root is None else root / ".dvc" / "tmp" / "sweep"
    parent.mkdir(parents=True, exist_ok=True)
    for lock in parent.glob("*.lock"):
        with suppress(filelock.Timeout), filelock.FileLock(lock, timeout=0):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    folder = parent / uuid4().hex
    with filelock.FileLock(f"{folder}.lock"):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            Path(f"{folder}.lock").unlink(missing_ok=True)
