import socket

import pytest

from pipeline.commands import servers
from pipeline.commands.servers import HOST, free_port
from tests.conftest import start_python, stop, wait_until_up
from tests.made_up_results import write_results


def test_the_wanted_port_is_taken_where_it_is_free_and_another_one_where_not(capsys):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
        assert f"port {port} is in use" in capsys.readouterr().err
    assert free_port(port) == port


@pytest.mark.slow
def test_the_page_answers_on_127_0_0_1(workspace):
    process = start_python(workspace, "-m", "pipeline", "ui", "--port", str(free_port(0)))
    try:
        address = process.stdout.readline().split()[2]
        assert address.startswith("http://127.0.0.1:")
        assert "<title>MLflow</title>" in wait_until_up(address.split("/#")[0])
    finally:
        stop(process)


def test_the_server_of_the_environment_is_named_instead(workspace, monkeypatch, invoke):
    class Client:
        @staticmethod
        def get_experiment_by_name(_):
            return type("Experiment", (), {"experiment_id": "7"})

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000/")
    monkeypatch.setattr(servers, "open_store", Client)
    code, said = invoke("ui")
    assert code == 0
    assert "http://tracking.example:5000/#/experiments/7/runs" in said


def test_the_champion_is_served_from_this_projects_store(workspace, store, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(servers.os, "execve", lambda *arguments: started.append(arguments))
    monkeypatch.setattr(servers.Registry, "uri", lambda self, alias: f"models:/{self.name}@{alias}")
    write_results(workspace, seeds=[0])
    port = free_port(0)
    servers.serve("challenger", port)
    ((_, command, environment),) = started
    uri = "models:/digits-d1d1d1d1@challenger"
    assert command[1:] == [
        "-m", "mlflow", "models", "serve", "--model-uri", uri, "--env-manager", "local",
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    assert environment["MLFLOW_TRACKING_URI"] == f"sqlite:///{workspace}/mlflow.db"
    assert f"{uri}: http://127.0.0.1:{port}/invocations" in capsys.readouterr().out
