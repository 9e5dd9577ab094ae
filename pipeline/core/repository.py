"""The project's git repository, and what DVC writes into it."""

import os
import subprocess
from pathlib import Path

from pipeline.core.errors import UserError

LOCK = "dvc.lock"


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
