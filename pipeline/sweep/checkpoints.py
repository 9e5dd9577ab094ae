"""Checkpoints where all machines see them: a training goes on where a lost machine left it.

The training saves to a folder of its machine (training/checkpoint.py); here whole checkpoints are
copied from there to shared storage, while it trains the next epoch.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pipeline.core.repeat import repeated
from pipeline.training.checkpoint import KEPT
from pipeline.versioning.storage import Storage

LOOK = 2.0  # seconds between two looks for a new checkpoint
CHECKPOINT = "*/epoch-*"  # of a training's folder
STATE = "state.json"  # without it a checkpoint is not whole: copied last


@contextmanager
def shared_checkpoints(folder: Path, storage: Storage) -> Iterator[None]:
    """Bring a training's checkpoints here, and new ones there until the training has ended.

    They are removed once it has ended well. A storage that does not answer stops nothing.
    """
    with suppress(Exception):
        fetch(folder, storage)
    with repeated(partial(send, folder, storage), LOOK, (Exception,)):
        yield
    with suppress(Exception):
        storage.files.rm(storage.root, recursive=True)


def fetch(folder: Path, storage: Storage) -> None:
    """Copy all that is there."""
    files, root = storage
    files.invalidate_cache()
    for path in files.find(root):
        target = folder / Path(path).relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(path, str(target))


def send(folder: Path, storage: Storage) -> None:
    """Copy what is new, and remove checkpoints that newer ones replace."""
    files, root = storage
    files.invalidate_cache()
    found = files.find(root, detail=True)
    there = {str(Path(path).relative_to(root)): known["size"] for path, known in found.items()}
    for checkpoint in sorted(folder.glob(CHECKPOINT))[-KEPT:]:
        if str((checkpoint / STATE).relative_to(folder)) in there:
            continue  # whole, by this machine or by another one that trains the same
        for path in sorted(checkpoint.iterdir(), key=lambda path: path.name == STATE):
            name = str(path.relative_to(folder))
            if there.get(name) != path.stat().st_size:
                files.makedirs(f"{root}/{Path(name).parent}", exist_ok=True)
                files.put_file(str(path), f"{root}/{name}")
    whole = sorted({Path(name).parent for name in there if Path(name).name == STATE})
    for old in whole[:-KEPT]:
        files.rm(f"{root}/{old}", recursive=True)
