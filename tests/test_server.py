"""MLflow as a server by URI, which goes away and comes back; and the model server."""

import json
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from mlflow import MlflowClient

from pipeline import tracking
from pipeline.ports import HOST, free_port
from tests.conftest import environment_of_a_user, make_project
from tests.test_tracking import ROWS


def start_server(folder, port):
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--workers", "1"]
    environment = {**environment_of_a_user(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        [*command, *store],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until_up(f"http://{HOST}:{port}/health")
    return process


def wait_until_up(address):
    for _ in range(240):
        try:
            with urllib.request.urlopen(address):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(address)


def stop(process):
    process.terminate()
    process.wait(30)


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_goes_away_and_comes_back_gets_every_epoch_once(workspace, monkeypatch):
    port = free_port(0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = start_server(workspace, port)
    try:
        with tracking.tracked_run("one", {}) as run:
            assert run.log_history(ROWS[:1])
            stop(server)
            assert not run.log_history(ROWS[:2])
            server = start_server(workspace, port)
            assert run.log_history(ROWS)
        client = MlflowClient(f"http://{HOST}:{port}")
        assert client.get_run(run.run_id).info.status == "FINISHED"
        steps = [m.step for m in client.get_metric_history(run.run_id, "train_loss")]
        assert steps == [1, 2, 3]
    finally:
        stop(server)


def test_the_champion_is_served_and_answers_raw_pixels(tmp_path):
    project = make_project(tmp_path)
    project.run("dvc", "repro")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.serve", "--port", str(free_port(0))],
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = process.stdout.readline().split()[1]
        assert address.startswith(f"http://{HOST}:")
        wait_until_up(address.replace("invocations", "ping"))
        images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
        request = urllib.request.Request(
            address,
            data=json.dumps({"inputs": images.tolist()}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            probabilities = np.array(json.load(answer)["predictions"])
        assert probabilities.shape == (2, 10)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    finally:
        stop(process)
