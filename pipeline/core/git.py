"""Run git."""

import os
import subprocess
from pathlib import Path

from pipeline.core.errors import UserError


def git(
    folder: Path, *arguments: str, check: bool = True, environment: dict[str, str] | None = None
) -> str:
    """Run git in a folder and return its output.

    Args:
        check: raise an error if git fails.
        environment: variables to add to this process's.

    Raises:
        UserError: it failed, or cannot be run.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            errors="surrogateescape",  # file names need not be UTF-8
        )
    except OSError as error:
        raise UserError(f"git cannot be run: {error.filename}: {error.strerror}") from None
    if check and done.returncode:
        raise UserError(f"git {' '.join(arguments[:2])} failed in {folder}: {done.stderr.strip()}")
    return done.stdout.strip()
