"""What setup.sh writes into .venv still works after the project's folder has been renamed."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture
def renamed(tmp_path):
    """A folder with the scripts of .venv, as if the project had been moved there."""
    scripts = tmp_path / "übrige Läufe/.venv/bin"
    scripts.mkdir(parents=True)
    (scripts.parent / "pyvenv.cfg").touch()
    for name in ("activate", "pipeline"):
        (scripts / name).write_text((REPOSITORY / ".venv/bin" / name).read_text())
    (scripts / "pipeline").chmod(0o755)
    (scripts / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (scripts / "python").chmod(0o755)
    (scripts.parents[1] / "pipeline").symlink_to(REPOSITORY / "pipeline")
    return scripts.parents[1]


def test_activate_finds_the_renamed_folder_and_can_be_undone(renamed, tmp_path):
    said = subprocess.run(
        ["bash", "-c", 'source "$0" && echo "$VIRTUAL_ENV" && which python && deactivate && '
         'echo "$PATH"', renamed / ".venv/bin/activate"],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, text=True, capture_output=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert said == [f"{renamed}/.venv", f"{renamed}/.venv/bin/python", "/usr/bin:/bin"]


def test_the_one_word_command_runs_in_the_renamed_folder(renamed, tmp_path):
    command = [renamed / ".venv/bin/pipeline", "--help"]
    said = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=True).stdout
    assert "Usage: " in said
