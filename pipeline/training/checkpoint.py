"""Checkpoints of a running training, after whole epochs, safe against interruption.

They are in a folder named by the training's identity, so a training with a changed parameter never
resumes from an old one's checkpoint. The folder is outside DVC's outputs, which DVC deletes before
it runs a stage.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from pipeline.core.errors import UserError, warn
from pipeline.core.files import hash_file, read_json, write_json
from pipeline.settings.identity import digest
from pipeline.settings.trainings import HistoryRow

KEPT = 2  # checkpoints: the newest, and the previous one in case the newest is damaged
WEIGHTS = ("last.keras", "best.keras")


@contextmanager
def training_folder(root: Path, key: str) -> Iterator[Path]:
    """Lock the checkpoint folder of one training, so that no two processes run the same training.

    Raises:
        UserError: another process has locked it.
    """
    folder = root / key
    try:
        held = filelock.FileLock(folder / "lock").acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(
            "the same training (network, seed, params, data) is already running in another "
            f"process; wait for it to end ({folder})"
        ) from None
    with held:
        yield folder


def discard_checkpoints(root: Path, key: str) -> None:
    """Remove a training's folder once its outputs are safe, unless it is being trained again."""
    with suppress(UserError), training_folder(root, key) as folder:
        shutil.rmtree(folder)


def save_checkpoint(folder: Path, model: Any, rows: list[HistoryRow], best: bool) -> None:
    """Save model, optimizer and history after an epoch, atomically; keep two checkpoints.

    Args:
        model: a compiled Keras model.
        rows: the history, one row per epoch.
        best: whether this epoch's weights are the best so far.
    """
    previous = folder / f"epoch-{len(rows) - 1:05d}"
    target = folder / f"epoch-{len(rows):05d}"
    partial = folder / f"partial-{len(rows):05d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    model.save(partial / "last.keras")
    best_so_far = partial / "last.keras" if best else previous / "best.keras"
    shutil.copyfile(best_so_far, partial / "best.keras")
    state = {"rows": rows, "hashes": {**_hashes(partial), "rows": digest(rows)}}
    write_json(partial / "state.json", state)
    for path in (*partial.iterdir(), partial):
        _flush(path)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    _flush(folder)
    for old in _checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path) -> tuple[Path, list[HistoryRow]] | None:
    """Return the newest undamaged checkpoint and its history; remove damaged ones.

    Raises:
        UserError: the disk refuses to read one, perhaps only for a moment.
    """
    for checkpoint in reversed(_checkpoints(folder)):
        try:
            hashes = _hashes(checkpoint)
            state = read_json(checkpoint / "state.json", "rows", "hashes")
            if state["hashes"] == {**hashes, "rows": digest(state["rows"])}:
                return checkpoint, state["rows"]
        except (FileNotFoundError, UserError):
            pass
        except OSError as error:
            raise UserError(
                f"{checkpoint} cannot be read ({error}); repeat the command, or delete this folder "
                "to resume from the checkpoint before it"
            ) from None
        warn(f"{checkpoint} is damaged and is removed")
        shutil.rmtree(checkpoint)
    return None


def _hashes(checkpoint: Path) -> dict[str, str]:
    return {name: hash_file(checkpoint / name) for name in WEIGHTS}


def newest_checkpoint(folder: Path) -> Path:
    """Return the newest checkpoint, without checking it."""
    return _checkpoints(folder)[-1]


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*"))


def _flush(path: Path) -> None:
    """Wait until the file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
