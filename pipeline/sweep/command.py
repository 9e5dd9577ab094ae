"""Run DVC's command line in subprocesses."""

import os
import subprocess
import sys
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.sweep.fence import guarded

TAIL = 12  # last lines of a failed command's output, for the error message


def dvc(*arguments: str) -> list[str]:
    """Return the command line that runs DVC with this Python."""
    return [sys.executable, "-m", "dvc", *arguments]


def run_dvc(folder: Path, problem: str, *arguments: str, environment: dict[str, str]) -> None:
    """Run DVC in a folder; it is ended with its stage when this process or this call ends.

    Args:
        problem: the error message's first line if DVC fails.

    Raises:
        UserError: it failed; the message has the last lines of its output.
    """
    with guarded(dvc(*arguments), folder, environment, subprocess.PIPE) as guard:
        assert guard.stdout is not None
        said = guard.stdout.read().decode(errors="replace")  # communicate() would close its input
    if guard.returncode:
        raise UserError(f"{problem}:\n{last_lines(said)}")


def restore(clone: Path, environment: dict[str, str], *targets: str) -> None:
    """Restore from DVC's cache the stages that it has; run none, because their `python` is a stub.

    The stub, which always fails, is next to the clone, so that each thread has its own.
    """
    stub = clone.parent / "stub" / "python"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text("#!/bin/sh\nexit 1\n")
    stub.chmod(0o755)
    path = f"{stub.parent}{os.pathsep}{environment['PATH']}"
    subprocess.run(
        dvc("repro", "--quiet", "--keep-going", *targets), cwd=clone,
        env={**environment, "PATH": path}, capture_output=True,
    )  # fmt: skip


def last_lines(said: str) -> str:
    """Return the last lines of a failed command's output."""
    return "\n".join(said.splitlines()[-TAIL:])


def user_environment() -> dict[str, str]:
    """Return this process's environment, changed so that a stage's `python` is this Python."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "RAY_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "DVC_NO_ANALYTICS": "1"}
