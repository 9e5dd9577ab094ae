"""Paths of files, relative to the project's folder, and how they are read and hashed."""

import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.errors import UserError

PREPARED = Path("data/prepared")
OUTPUTS = Path("outputs")
REPORTS = Path("reports")
COMPARISON = REPORTS / "comparison.json"
METRICS = REPORTS / "metrics.json"
PREDICTIONS = REPORTS / "predictions.npz"
HISTORY = REPORTS / "history.csv"
# Set when a sweep gives each training a GPU; a training then fails if it finds none.
NEEDS_GPU = "PIPELINE_NEEDS_GPU"
DAMAGED = (OSError, ValueError, EOFError, BadZipFile, zlib.error)  # what an .npz file may raise
NOT_YAML = (YAMLError, ValueError, KeyError)  # the last two: 2024-13-45, `!!bool maybe`


def project_root() -> Path:
    """Return the main repository's folder, also in the copies where DVC runs --temp and --queue."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir():
            return folder
    return here


def project_folder() -> Path:
    """Return the nearest folder upwards that has a dvc.yaml; the current folder if there is none.

    In a copy that DVC made for --temp or --queue, that is the copy.
    """
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / "dvc.yaml").exists()), here)


def work_folder() -> Path:
    """Return the main repository's folder of checkpoints and locks; create it if it is missing."""
    folder = project_root() / ".training"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_json(file: Path, *needed: str) -> dict[str, Any]:
    """Read a JSON object that a stage wrote.

    Args:
        needed: keys that it must have.

    Raises:
        UserError: the file is missing or damaged, or lacks a key.
    """
    try:
        values = json.loads(file.read_text())
    except OSError as error:
        raise unreadable(file, error.strerror) from None
    except ValueError as error:
        raise unreadable(file, error) from None
    if not isinstance(values, dict):
        raise unreadable(file, "it is not a JSON object")
    for key in needed:
        if key not in values:
            raise unreadable(file, f"it has no {key}")
    return values


def write_json(file: Path, values: dict[str, Any]) -> None:
    """Write a JSON object for read_json; create the folder if it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=1) + "\n")


def write_whole(file: Path, text: str) -> None:
    """Write a file; if that fails, as on a full disk, the old file is still there."""
    part = file.with_name(f"{file.name}.part")
    part.write_text(text)
    part.replace(file)


def unreadable(file: Path, reason: object) -> UserError:
    """Return the error for a stage's output that is missing or damaged."""
    return UserError(f"{file} cannot be read ({reason}); run `dvc repro`")


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Return a file's digest as hexadecimal digits; it detects damage, not tampering."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    return found.hexdigest()


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; duplicate keys and syntax errors raise a UserError with the line."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8-sig"), path)
    except FileNotFoundError:
        raise UserError(
            f"{path} not found; run this in the project's folder, or restore the file with `git "
            f"checkout {path}`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def parse_yaml(text: str, path: Path) -> dict[str, Any]:
    """Parse a YAML mapping.

    Args:
        path: the file that the text is from, for the error message.
    """
    try:
        values = YAML(typ="safe", pure=True).load(text)
    except NOT_YAML as error:
        raise UserError(f"{path} is not valid YAML: {_yaml_problem(error)}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold sections like `model:`, got {values!r}")
    return values


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark else problem
