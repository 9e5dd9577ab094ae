"""Trainings killed at random moments end bit-identical to one that was never interrupted.

FAULTS sets how many times a training is killed (default 3).
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import defaultdict

import pandas as pd
import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from pipeline.tracking.runs import rounded
from tests.conftest import (
    TINY,
    environment_of_a_user,
    make_project,
    quick_values,
    runs_of,
    start_python,
    with_values,
)

pytestmark = pytest.mark.slow

FAULTS = int(os.environ.get("FAULTS", "3"))
SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}  # with the exit codes
LABEL = "model-dropblock-0"
EPOCHS = 6
TIMES = ["seconds", "images_per_second", "peak_memory_mb"]


def write_params(folder, **changes):
    """Write params.yaml of a tiny deterministic training."""
    own = {f"model.{key}": value for key, value in {"epochs": EPOCHS, **changes}.items()}
    values = with_values(quick_values(), {**TINY, "train.deterministic": True, **own})
    YAML().dump(values, folder / "params.yaml")


def start(folder, said="MLflow run"):
    """Start the training; return it once it trains, or has said something else."""
    process = start_python(folder, "-u", "-m", "pipeline", "train", LABEL)
    for line in process.stdout:
        if said in line:
            break
    return process


def finish(folder):
    process = start(folder)
    output = process.stdout.read()
    assert process.wait() == 0, output


def results_of(folder):
    """Return weights, history, and the (step, value) points of each of MLflow's runs by status.

    The weights as their files' bytes: the same training leaves the same files.
    """
    models = folder / "outputs/models" / LABEL
    weights = [(models / name).read_bytes() for name in ("last.keras", "best.keras")]
    history = pd.read_csv(folder / f"outputs/history/{LABEL}.csv", float_precision="round_trip")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("dropblock-comparison").experiment_id])
    points = defaultdict(list)
    for run in runs:
        values = client.get_metric_history(run.info.run_id, "val_loss")
        points[run.info.status].append([(m.step, m.value) for m in values])
    return weights, history.drop(columns=TIMES), points


def assert_the_same(folder, expected):
    weights, history, points = results_of(folder)
    assert weights == expected[0]
    pd.testing.assert_frame_equal(history, expected[1], check_exact=True)
    finished = [list(zip(history["epoch"], map(rounded, history["val_loss"]), strict=True))]
    # A training that was killed before its first checkpoint starts again, in a new run.
    cut_off = [[] for _ in points["KILLED"]]
    assert points == {"FINISHED": finished, "KILLED": cut_off}


@pytest.fixture(scope="module")
def clean(tmp_path_factory, empty_store):
    """A project with prepared data, in which nothing was trained. Do not change it; copy it."""
    folder = tmp_path_factory.mktemp("clean")
    (folder / ".dvc").mkdir()
    write_params(folder)
    assert start_python(folder, "-m", "pipeline", "prepare", readable=False).wait() == 0
    shutil.copyfile(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture(scope="module")
def whole(clean, tmp_path_factory):
    """The same project after a training that nothing interrupted, to be read."""
    folder = shutil.copytree(clean, tmp_path_factory.mktemp("whole") / "copy")
    finish(folder)
    return folder


def test_killed_at_random_moments_a_training_ends_like_an_uninterrupted_one(clean, whole, tmp_path):
    expected = results_of(whole)
    history = pd.read_csv(whole / f"outputs/history/{LABEL}.csv")
    assert list(history["epoch"]) == list(range(1, EPOCHS + 1))
    rng, faults, folder = random.Random(0), 0, None
    while faults < FAULTS:
        if folder is None:
            folder = shutil.copytree(clean, tmp_path / f"killed-{rng.random()}")
        process = start(folder)
        for _ in range(rng.randrange(3)):  # epochs of this process, then a part of the next one
            process.stdout.readline()
        time.sleep(rng.uniform(0, history["seconds"].median()))
        chosen, expected_code = list(SIGNALS.items())[faults % len(SIGNALS)]
        process.send_signal(chosen)
        output = process.stdout.read()
        code = process.wait()
        if f"trained {EPOCHS}" in output:  # it had finished before, but DVC had not recorded it yet
            shutil.rmtree(folder / "outputs")
            finish(folder)
            assert_the_same(folder, expected)
            folder = None
            continue
        assert code == expected_code, output
        faults += 1
        print(f"fault {faults}: {chosen.name}, exit {code}", flush=True)
    if folder is not None:
        finish(folder)
        assert_the_same(folder, expected)
    print(f"faults injected {faults}, each followed by a resumed training; results lost: none")


def test_killed_between_the_last_epoch_and_dvcs_record_nothing_is_trained_again(
    clean, whole, tmp_path
):
    expected = results_of(whole)
    rng, ended = random.Random(1), 0
    for fault in range(faults := max(1, FAULTS // 3)):
        folder = shutil.copytree(clean, tmp_path / f"ended-{fault}")
        process = start(folder)
        while not (last := list(folder.glob(f".training/*/epoch-{EPOCHS:05d}/state.json"))):
            assert process.poll() is None
            time.sleep(0.01)
        epochs = json.loads(last[0].read_text())["rows"]
        time.sleep(rng.uniform(0, 1))  # while it writes outputs, ends, or after that
        process.kill()
        process.stdout.read()
        ended += process.wait() == 0
        shutil.rmtree(folder / "outputs", ignore_errors=True)  # as DVC would at the next start
        finish(folder)
        assert_the_same(folder, expected)
        history = pd.read_csv(folder / f"outputs/history/{LABEL}.csv", float_precision="round_trip")
        assert history.to_dict("records") == epochs  # with the seconds before the kill
        shutil.rmtree(folder)
    print(f"killed after the last epoch: {faults}, {ended} of them had ended; trained again: none")


def test_dvc_repro_goes_on_where_a_killed_one_was(tmp_path):
    """The whole process group is killed, DVC and the training, as by a power cut."""
    project = make_project(tmp_path, **{"model.epochs": EPOCHS})
    command = ["dvc", "repro", f"train@{LABEL}"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment_of_a_user(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not list(tmp_path.glob(".training/*/epoch-00001")):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    output = project.run(*command).stdout
    assert re.search(r"resuming after epoch (\d), from .*epoch-0000\1", output)
    history = pd.read_csv(tmp_path / f"outputs/history/{LABEL}.csv")
    assert list(history["epoch"]) == list(range(1, EPOCHS + 1))
    _, runs = runs_of(project)
    assert [run.info.status for run in runs] == ["FINISHED"]


LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["pipeline", "train", sys.argv[2]]
runpy.run_module("pipeline", run_name="__main__")
"""


def test_a_disk_that_is_full_while_saving_loses_nothing(clean, tmp_path):
    """The system then refuses to write, here beyond a size that a checkpoint exceeds."""
    folder = shutil.copytree(clean, tmp_path / "full")
    write_params(folder, width=0.125, epochs=3)  # a checkpoint larger than MLflow's database
    process = start(folder)
    while not list((folder / ".training").glob("*/epoch-*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    checkpoint, *_ = (folder / ".training").glob("*/epoch-0000[12]/last.keras")
    limit = checkpoint.stat().st_size // 2
    process = start_python(folder, "-c", LIMITED, str(limit), LABEL, errors=True)
    output = process.communicate()[0]
    assert process.returncode == 2, output
    assert "cannot be saved" in output and "`dvc repro` resumes after epoch" in output
    assert "Traceback" not in output
    process = start(folder, "resuming after epoch")
    assert process.stdout.read() and process.wait() == 0
    history = pd.read_csv(folder / f"outputs/history/{LABEL}.csv")
    assert list(history["epoch"]) == [1, 2, 3]
