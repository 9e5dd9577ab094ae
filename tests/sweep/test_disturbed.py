"""Whole sweeps that are stopped, run twice at once, or have a training that fails."""

import re
import signal
import subprocess
import time

import psutil
import pytest

from tests.conftest import clone_of, environment_of_a_user, obey_ctrl_c, runs_of
from tests.sweep.sweeps import (
    ALONE,
    BLOCKS,
    RESNET,
    RESNETS,
    assert_one_finished_run_each,
    experiments,
    sweep,
)

pytestmark = pytest.mark.slow


COMMAND = ["python", "-m", "pipeline", "sweep", *BLOCKS, *ALONE]


def start(project):
    return subprocess.Popen(
        COMMAND, cwd=project.folder, env=environment_of_a_user(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=obey_ctrl_c,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stopped(committed, tmp_path_factory):
    """A project in which Ctrl-C stopped a sweep that had trained an epoch."""
    project = clone_of(committed, tmp_path_factory.mktemp("stopped") / "stopped")
    process = start(project)
    while not list(project.folder.glob(".training/*/epoch-00001")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    project.output = process.communicate(timeout=600)[0]
    project.code = process.returncode
    return project


def test_ctrl_c_leaves_nothing_running(stopped):
    assert stopped.code == 130, stopped.output
    assert "Traceback" not in stopped.output
    assert stopped.output.endswith("interrupted\n")
    here = str(stopped.folder)
    assert not [p for p in psutil.process_iter() if _works_in(p, here)]
    _, runs = runs_of(stopped)
    assert {run.info.status for run in runs} <= {"KILLED", "FINISHED"}


def test_the_same_command_twice_at_once_goes_on_and_trains_and_records_each_once(stopped):
    sweeps = [start(stopped) for _ in range(2)]
    said = [each.communicate(timeout=900)[0] for each in sweeps]
    assert [each.returncode for each in sweeps] == [0, 0], said
    assert not any("not recorded" in each for each in said)
    assert set(experiments(stopped)) == {"drop_block_size-1", "drop_block_size-3"}
    assert_one_finished_run_each(stopped, RESNETS, killed=True)


def _works_in(process, folder):
    try:
        return process.cwd().startswith(folder)
    except psutil.Error:
        return False


def test_a_training_that_always_fails_is_named_and_the_others_are_recorded(committed, tmp_path):
    project = clone_of(committed, tmp_path / "failing")
    sizes = ["-S", "++model.batch_size=50,5000", *ALONE]
    done = sweep(project, *sizes, check=False)
    assert done.returncode == 1
    assert re.search(r"resnet-dropblock-0 of batch_size-5000-\w+ failed:\n", done.stdout)
    assert "model.batch_size = 5000: there are only" in done.stdout
    assert "not recorded: batch_size-5000-" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(experiments(project)) == ["batch_size-50"]
    # The training is refused before it opens a run.
    assert_one_finished_run_each(project, [RESNET])
