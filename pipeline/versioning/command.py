"""DVC's command line, in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

from pipeline.core.errors import UserError

TAIL = 12  # lines of what a failed command said


def dvc(*arguments: str) -> list[str]:
    """Return the command line of DVC in this Python."""
    return [sys.executable, "-m", "dvc", *arguments]


def run_dvc(folder: Path, problem: str, *arguments: str, environment: dict[str, str]) -> None:
    """Run DVC in a folder.

    Args:
        problem: what it means where it fails.

    Raises:
        UserError: it failed; the message has the last lines of what it said.
    """
    done = subprocess.run(
        dvc(*arguments), cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"{problem}:\n{last_lines(done.stdout)}")


def restore(folder: Path, scratch: Path, environment: dict[str, str], *targets: str) -> None:
    """Have DVC restore what its cache has of stages, and run nothing: their `python` fails.

    Args:
        scratch: a folder for that `python`.
    """
    stub = scratch / "stub" / "python"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text("#!/bin/sh\nexit 1\n")
    stub.chmod(0o755)
    path = f"{stub.parent}{os.pathsep}{environment['PATH']}"
    subprocess.run(
        dvc("repro", "--quiet", "--keep-going", *targets), cwd=folder,
        env={**environment, "PATH": path}, capture_output=True,
    )  # fmt: skip


def last_lines(said: str) -> str:
    """Return the end of what a failed command said."""
    return "\n".join(said.splitlines()[-TAIL:])


def user_environment() -> dict[str, str]:
    """Return this process's environment, in which a stage's `python` is this one."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "RAY_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "DVC_NO_ANALYTICS": "1"}
