import subprocess
import sys
import time
import urllib.request

from pipeline import ui
from pipeline.ports import free_port
from tests.conftest import REPOSITORY, environment_of_a_user


def test_the_page_answers_on_127_0_0_1(workspace):
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.ui", "--port", str(free_port(0))],
        cwd=workspace,
        env={**environment_of_a_user(), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = process.stdout.readline().split()[2]
        assert address.startswith("http://127.0.0.1:")
        assert "<title>MLflow</title>" in read_when_up(address.split("/#")[0])
    finally:
        process.terminate()
        process.wait(20)


def read_when_up(address):
    for _ in range(120):
        try:
            with urllib.request.urlopen(address) as page:
                return page.read().decode()
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(address)


def test_the_server_of_the_environment_is_named_instead(workspace, monkeypatch, capsys):
    class Client:
        @staticmethod
        def get_experiment_by_name(_):
            return type("Experiment", (), {"experiment_id": "7"})

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000/")
    monkeypatch.setattr(ui.tracking, "open_store", Client)
    monkeypatch.setattr("sys.argv", ["ui"])
    ui.main()
    assert "http://tracking.example:5000/#/experiments/7/runs" in capsys.readouterr().out
