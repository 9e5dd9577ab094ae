"""The project's git repository, and what DVC writes into it."""

import os
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.core.errors import UserError
from pipeline.core.params import read_yaml

LOCK = "dvc.lock"
Stages = dict[str, dict[str, Any]]  # entries of dvc.lock


def read_lock(folder: Path) -> Stages:
    """Return the entries of dvc.lock, none where there is no such file."""
    return read_yaml(folder / LOCK).get("stages", {}) if (folder / LOCK).exists() else {}


def write_lock(folder: Path, stages: Stages) -> None:
    """Write a dvc.lock of nothing but these entries."""
    with (folder / LOCK).open("w") as opened:
        YAML(typ="safe").dump({"schema": "2.0", "stages": stages}, opened)


def git(
    folder: Path, *arguments: str, check: bool = True, environment: dict[str, str] | None = None
) -> str:
    """Run git in a folder and return what it says.

    Args:
        check: whether it must succeed.
        environment: on top of this process's own.

    Raises:
        UserError: it failed.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    if check and done.returncode:
        raise UserError(f"git {' '.join(arguments[:2])} failed in {folder}: {done.stderr.strip()}")
    return done.stdout.strip()


def experiment_ref(head: str, name: str) -> str:
    """Return the git reference under which DVC keeps an experiment of a commit."""
    return f"refs/exps/{head[:2]}/{head[2:]}/{name}"
