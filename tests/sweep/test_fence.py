import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest

from pipeline.sweep import fence
from tests.conftest import REPOSITORY, obey_ctrl_c
from tests.waiting import wait_for

# A child process, like DVC's training, that records when it is ended.
TRAINING = """
import pathlib, signal, subprocess, sys, time
folder = pathlib.Path({folder!r})
inner = '''
import pathlib, signal, sys, time, os
folder = pathlib.Path({folder!r})
def end(*_):
    (folder / "ended").write_text("politely")
    time.sleep({takes})
    if {obeys}:
        sys.exit(143)
signal.signal(signal.SIGTERM, end)
(folder / "pid.part").write_text(str(os.getpid()))
(folder / "pid.part").rename(folder / "pid")
while True:
    time.sleep(0.05)
'''
subprocess.Popen([sys.executable, "-c", inner]).wait()
"""
WORKER = """
import os, pathlib, sys
from pipeline.sweep.fence import run_fenced
with open(os.devnull, "w") as log:
    run_fenced([sys.executable, "-c", sys.argv[1]], pathlib.Path.cwd(), dict(os.environ), log)
"""


def run(command, folder, **changes):
    with (folder / "log").open("w+") as log:
        code = fence.run_fenced(command, folder, {**os.environ, **changes}, log)
        log.seek(0)
        return code, log.read()


def training(folder, obeys=True, takes=0):
    return TRAINING.format(folder=str(folder), obeys=obeys, takes=takes)


def started_pid(folder):
    wait_for((folder / "pid").exists)
    return int((folder / "pid").read_text())


@pytest.mark.parametrize(
    ("code", "expected"), [("print('said')", 0), ("print('said'); exit(3)", 3)]
)
def test_the_exit_code_and_what_was_said_come_through(tmp_path, code, expected):
    assert run([sys.executable, "-c", code], tmp_path) == (expected, "said\n")


def test_folder_and_environment_come_through_and_input_is_empty(tmp_path):
    code = "import os, sys; print(os.getcwd(), os.environ['FENCED'], repr(sys.stdin.read()))"
    said = run([sys.executable, "-c", code], tmp_path, FENCED="yes")[1]
    assert said == f"{tmp_path} yes ''\n"


def test_a_command_that_a_signal_ends_is_a_failure(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run([sys.executable, "-c", code], tmp_path)[0] == 137


def kill_with_its_children(worker, pid):
    """As Ray does when a worker goes."""
    children = psutil.Process(worker.pid).children()
    assert pid not in {child.pid for child in children}
    for process in (worker, *children):
        process.kill()


RAYLET = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]]).wait()
"""
ENDS = {
    "killed": ([WORKER], lambda worker, _: worker.kill()),
    "told to end": ([WORKER], lambda worker, _: worker.terminate()),
    "killed with its children": ([WORKER], kill_with_its_children),
    # The raylet is not reaped: a zombie, which Ray considers alive. The worker outlives it.
    "its raylet killed": ([RAYLET, WORKER], lambda raylet, _: raylet.kill()),
}


@pytest.mark.parametrize("how", ENDS)
def test_the_training_ends_when_its_worker_does(tmp_path, how):
    code, end = ENDS[how]
    worker = subprocess.Popen(
        [sys.executable, "-c", *code, training(tmp_path)], cwd=REPOSITORY,
        start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    pid = started_pid(tmp_path)
    end(worker, pid)
    wait_for(lambda: not psutil.pid_exists(pid))
    assert (tmp_path / "ended").read_text() == "politely"
    worker.wait()


HEAD = """
import os, pathlib, sys
from pipeline.sweep.command import run_dvc
folder = pathlib.Path(sys.argv[2])
(folder / "dvc.py").write_text(sys.argv[1])
run_dvc(folder, "it failed", environment=dict(os.environ))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_dvc_and_its_stage_end_when_the_sweep_does(tmp_path, how):
    sweep = subprocess.Popen(
        [sys.executable, "-c", HEAD, training(tmp_path), str(tmp_path)], cwd=REPOSITORY,
        preexec_fn=obey_ctrl_c, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    pid = started_pid(tmp_path)
    sweep.send_signal(how)
    sweep.wait()
    if how != signal.SIGINT:  # at which it waits itself
        wait_for(lambda: not psutil.pid_exists(pid))
    assert not psutil.pid_exists(pid)
    assert (tmp_path / "ended").read_text() == "politely"


@pytest.fixture
def obeying_ctrl_c():
    """A process that a shell started in the background ignores Ctrl-C, and would wait for ever."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("obeying_ctrl_c")
def test_a_call_that_is_interrupted_again_and_again_ends_the_training_before_it_returns(tmp_path):
    def interrupt():
        started_pid(tmp_path)
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.4)

    interrupts = threading.Thread(target=interrupt)
    interrupts.start()
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", training(tmp_path, takes=2)], tmp_path)
    while interrupts.is_alive():
        with suppress(KeyboardInterrupt):  # the machine may be slow to send the last ones
            interrupts.join()
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    assert (tmp_path / "ended").exists()


def test_a_training_left_behind_by_dvc_is_ended_too(tmp_path):
    """DVC itself was killed: its training is in the same group."""
    code = training(tmp_path).replace(".wait()", "") + (
        "\nwhile not (folder / 'pid').exists(): time.sleep(0.02)\n"
    )
    assert run([sys.executable, "-c", code], tmp_path)[0] == 0
    assert not psutil.pid_exists(started_pid(tmp_path))


def test_who_does_not_end_politely_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(fence, "GRACE", 5)  # enough to write a file, on a busy machine too
    process = subprocess.Popen(
        [sys.executable, "-c", training(tmp_path, obeys=False)], start_new_session=True
    )
    pid = started_pid(tmp_path)
    fence.end_group(process)
    assert (tmp_path / "ended").exists()
    assert not psutil.pid_exists(pid)
