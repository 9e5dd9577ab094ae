"""What processes of one machine must not do at once, and folders that none leaves behind."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock


@contextmanager
def held(root: Path, key: str) -> Iterator[None]:
    """Hold what two sweeps of a repository, each with a Ray of its own, must not do both."""
    folder = root / ".training" / "sweep"
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / f"{key}.lock"):
        yield


@contextmanager
def scratch_folder(root: Path | None) -> Iterator[Path]:
    """Make a folder that is gone afterwards, with those of processes that were killed.

    Next to DVC's cache, so that files can be linked; without a root among temporary files.
    """
    own = Path(tempfile.gettempdir(), f"sweep-{os.getuid()}")  # other users have theirs
    parent = own if root is None else root / ".dvc" / "tmp" / "sweep"
    parent.mkdir(parents=True, exist_ok=True)
    for lock in parent.glob("*.lock"):
        with suppress(filelock.Timeout), filelock.FileLock(lock, timeout=0):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    with filelock.FileLock(f"{folder}.lock"):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            Path(f"{folder}.lock").unlink(missing_ok=True)
