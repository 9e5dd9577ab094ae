"""Sweeps that must be refused before anything is trained."""

import subprocess
import sys

from pipeline.commands.servers import free_port
from tests.conftest import environment_of_a_user


def refuse(folder, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "sweep", *arguments], cwd=folder,
        env={**environment_of_a_user(), **environment}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    scratch = folder / ".dvc/tmp/sweep"
    assert list(scratch.glob("*")) == []
    return done.stderr


def test_a_wrong_value_is_named_as_elsewhere(project):
    said = refuse(project, "-S", "model.drop_block_size=3,0")
    assert "model.drop_block_size" in said and "0" in said


def test_a_cluster_takes_an_mlflow_server(project):
    said = refuse(project, "--on", f"http://127.0.0.1:{free_port()}")
    assert "mlflow.db is a file on this machine" in said and "MLFLOW_TRACKING_URI" in said
