"""Shared checkpoints: another machine can resume a training whose machine was lost.

A training saves checkpoints to a local folder (training/checkpoint.py). This module copies complete
checkpoints from there to shared storage while the next epoch is trained.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pipeline.core.repeat import run_periodically
from pipeline.training.checkpoint import KEPT
from pipeline.versioning.storage import Storage

POLL_SECONDS = 2.0  # between checks for a new checkpoint
CHECKPOINT = "*/epoch-*"  # path below the folder of all trainings
STATE = "state.json"  # copied last: a checkpoint without it is not complete


@contextmanager
def shared_checkpoints(folder: Path, storage: Storage) -> Iterator[None]:
    """Fetch a training's checkpoints, and send new ones until the training has ended.

    The shared copies are removed once it has succeeded. If the storage fails, the training goes on.
    """
    with suppress(Exception):
        fetch(folder, storage)
    with run_periodically(partial(send, folder, storage), POLL_SECONDS):
        yield
    with suppress(Exception):
        storage.files.rm(storage.root, recursive=True)


def fetch(folder: Path, storage: Storage) -> None:
    """Copy all checkpoints from the storage."""
    files, root = storage
    files.invalidate_cache()
    for path in files.find(root):
        target = folder / Path(path).relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(path, str(target))


def send(folder: Path, storage: Storage) -> None:
    """Copy new checkpoints to the storage, and remove those that newer ones replace."""
    files, root = storage
    files.invalidate_cache()
    found = files.find(root, detail=True)
    there = {str(Path(path).relative_to(root)): known["size"] for path, known in found.items()}
    for checkpoint in sorted(folder.glob(CHECKPOINT))[-KEPT:]:
        if str((checkpoint / STATE).relative_to(folder)) in there:
            continue  # complete, from this machine or another one with the same training
        for path in sorted(checkpoint.iterdir(), key=lambda path: path.name == STATE):
            name = str(path.relative_to(folder))
            if there.get(name) != path.stat().st_size:
                files.makedirs(f"{root}/{Path(name).parent}", exist_ok=True)
                files.put_file(str(path), f"{root}/{name}")
    whole = sorted({Path(name).parent for name in there if Path(name).name == STATE})
    for old in whole[:-KEPT]:
        files.rm(f"{root}/{old}", recursive=True)
