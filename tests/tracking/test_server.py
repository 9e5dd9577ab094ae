"""MLflow as a server, given by URI, that fails and comes back."""

from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from pipeline.commands.servers import HOST, free_port
from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.runs import TRAINING, TrackedRun
from tests.conftest import start_python, stop, wait_until_up
from tests.tracking.test_runs import ROWS

pytestmark = pytest.mark.slow


def start_server(folder, port):
    server = ["-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    process = start_python(folder, *server, *store, readable=False)
    wait_until_up(f"http://{HOST}:{port}/health")
    return process


@pytest.fixture
def server(workspace, monkeypatch):
    """A running server that the environment names: start() and stop() it as you like."""
    port = free_port()
    uri = f"http://{HOST}:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    started = [start_server(workspace, port)]
    yield SimpleNamespace(
        uri=uri,
        start=lambda: started.append(start_server(workspace, port)),
        stop=lambda: stop(started[-1]),
    )
    stop(started[-1])


def check_that_it_has_every_epoch_once(uri, run_id):
    client = MlflowClient(uri)
    assert client.get_run(run_id).info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(run_id, "train_loss")] == [1, 2, 3]


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_goes_away_and_comes_back_gets_every_epoch_once(server, capsys):
    with tracked_run("one", {}) as run:
        run.send_history(ROWS[:1])
        server.stop()
        run.log_history(ROWS[:2])
        assert "epochs will be sent later" in capsys.readouterr().err
        server.start()
        run.send_history(ROWS)
    check_that_it_has_every_epoch_once(server.uri, run.run_id)


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_stays_away_costs_nothing_that_is_not_sent_later(server, capsys):
    with tracked_run("train", {TRAINING: "abc-0"}) as run:
        server.stop()
        run.log_history(ROWS)
        run.log_end("f00d")
    said = capsys.readouterr().err
    assert "epochs will be sent later" in said
    assert "`publish` will recreate the run" in said and "stays RUNNING until" in said
    server.start()
    client = MlflowClient(server.uri)
    later = TrackedRun(client, client.get_run(run.run_id))
    later.send_history(ROWS)
    client.set_terminated(run.run_id)
    check_that_it_has_every_epoch_once(server.uri, run.run_id)
