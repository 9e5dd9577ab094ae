"""MLflow as a server by URI, which goes away and comes back."""

import subprocess
import sys

import pytest
from mlflow import MlflowClient

from pipeline import tracking
from pipeline.ports import HOST, free_port
from tests.conftest import environment_of_a_user, stop, wait_until_up
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


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_stays_away_costs_nothing_that_the_next_stage_does_not_send(
    workspace, monkeypatch, capsys
):
    port = free_port(0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = start_server(workspace, port)
    try:
        with tracking.tracked_run("train", {}) as run:
            stop(server)
            assert not run.log_history(ROWS)
        assert "stays open" in capsys.readouterr().err
        server = start_server(workspace, port)
        with tracking.tracked_run("evaluate", {}, run.run_id) as again:
            assert again.log_history(ROWS)
        client = MlflowClient(f"http://{HOST}:{port}")
        assert client.get_run(run.run_id).info.status == "FINISHED"
        steps = [m.step for m in client.get_metric_history(run.run_id, "train_loss")]
        assert steps == [1, 2, 3]
    finally:
        stop(server)
