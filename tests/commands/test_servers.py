import os
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.commands import servers
from pipeline.commands.servers import HOST, choose_port, free_port
from pipeline.core.errors import UserError
from pipeline.versioning.experiments import Experiment
from tests.conftest import REPOSITORY, start_python, stop, wait_until_up


@pytest.fixture
def taken_port():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_the_port_that_is_asked_for_is_taken_and_no_other_one(taken_port):
    free = free_port()
    assert choose_port(free, taken_port) == free
    with pytest.raises(UserError, match=f"--port {taken_port}: Address already in use;"):
        choose_port(taken_port, free)


def test_without_one_it_is_the_usual_port_or_a_free_one_which_is_said(taken_port, capsys):
    free = free_port()
    assert choose_port(None, free) == free
    assert choose_port(None, taken_port) != taken_port
    assert f"port {taken_port} is in use, using another one" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0, 0.05])
def test_ctrl_c_ends_the_page_without_a_word(workspace, store, pause):
    process = start_python(
        workspace, "-m", "pipeline", "ui", "--port", str(free_port()), errors=True, session=True
    )
    address = process.stdout.readline().split()[2]
    wait_until_up(address.split("/#")[0])
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(pause)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    said = process.stdout.read()
    assert process.wait(30) == 0
    assert "Traceback" not in said


@pytest.mark.slow
def test_the_page_answers_on_127_0_0_1(workspace):
    process = start_python(workspace, "-m", "pipeline", "ui", "--port", str(free_port()))
    try:
        address = process.stdout.readline().split()[2]
        assert address.startswith("http://127.0.0.1:")
        assert "<title>MLflow</title>" in wait_until_up(address.split("/#")[0])
    finally:
        stop(process)


def test_a_server_ends_in_order_however_often_it_is_told_to():
    server = servers.PatientServer(servers.uvicorn.Config(None))
    for _ in range(2):
        server.handle_exit(signal.SIGINT, None)
    assert server.should_exit
    assert not server.force_exit


def test_a_server_that_ends_by_itself_is_an_error(capfd):
    with pytest.raises(UserError, match=r"MLflow's server ended with exit code [1-9]"):
        servers._run_mlflow(["no-such-command"])


def test_the_server_of_the_environment_is_named_instead(workspace, monkeypatch, invoke):
    class Client:
        @staticmethod
        def get_experiment_by_name(_):
            return type("Experiment", (), {"experiment_id": "7", "tags": {}})

        @staticmethod
        def set_experiment_tag(experiment_id, key, _):
            assert (experiment_id, key) == ("7", "mlflow.sharedViewState.comparison")

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000/")
    monkeypatch.setattr(servers, "open_store", Client)
    monkeypatch.setattr(servers, "fill_store", lambda: None)
    code, said = invoke("ui")
    assert code == 0
    assert "http://tracking.example:5000/#/experiments/7/runs" in said


@pytest.mark.parametrize("lacking", [["block-7", "workspace"], ["block-7"], []])
def test_a_store_that_lacks_the_workspaces_results_is_filled(
    workspace, monkeypatch, params, lacking
):
    published, found = [], [Experiment(name, "", {}, {}) for name in lacking]
    monkeypatch.setattr(servers, "experiments_not_in_store", lambda: found)
    monkeypatch.setattr(servers, "params_of_results", lambda: params)
    monkeypatch.setattr(servers, "publish", published.append)
    servers.fill_store()
    assert published == ([params] if "workspace" in lacking else [])


def test_a_damaged_lock_does_not_keep_the_ui_from_opening(workspace, store, capsys):
    shutil.copy(REPOSITORY / "params.yaml", workspace)
    Path("dvc.lock").write_text("<<<<<<< HEAD\n")
    servers.fill_store()
    assert "dvc.lock is damaged" in capsys.readouterr().err


def test_a_training_of_this_folder_is_served(workspace, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(servers.PatientServer, "run", lambda self: started.append(self.config))
    monkeypatch.setattr(servers, "load_classifier", lambda name: (name, ["a", "b"]))
    monkeypatch.setattr(servers, "make_app", lambda model, names: (model, names))
    port = free_port()
    servers.serve("resnet-dropblock-0", port)
    (config,) = started
    assert config.app == ("resnet-dropblock-0", ["a", "b"])
    assert (config.host, config.port) == ("127.0.0.1", port)
    said = capsys.readouterr().out
    assert f"resnet-dropblock-0: http://127.0.0.1:{port}/invocations" in said
