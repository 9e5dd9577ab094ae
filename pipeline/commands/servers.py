"""Two servers, on 127.0.0.1 only: MLflow's UI, and one that classifies pictures."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from types import FrameType

import uvicorn

from pipeline.commands.doctor import experiments_not_in_store
from pipeline.commands.predict import load_classifier
from pipeline.commands.serving import make_app
from pipeline.core.errors import UserError, warn
from pipeline.core.files import OUTPUTS, PREPARED, REPORTS
from pipeline.core.secrets import masked
from pipeline.stages.publish import publish
from pipeline.tracking.database import store_uri
from pipeline.tracking.store import EXPERIMENT, open_store
from pipeline.tracking.views import VIEW, save_view
from pipeline.versioning.experiments import WORKSPACE, check_outputs, params_of_results

HOST = "127.0.0.1"
UI_PORT, SERVE_PORT = 5000, 5001  # defaults
ENDED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(name: str, port: int | None) -> None:
    """Serve a network from this folder or from MLflow's registry until Ctrl-C.

    Raises:
        UserError: there is no such network, or the port is in use.
    """
    port = choose_port(port, SERVE_PORT)
    app = make_app(*load_classifier(name))
    print(f"{name}: http://{HOST}:{port}/invocations (Ctrl-C ends it)", flush=True)
    with suppress(KeyboardInterrupt):  # raised after the last answers are sent
        PatientServer(uvicorn.Config(app, host=HOST, port=port, log_level="warning")).run()


class PatientServer(uvicorn.Server):
    """Shuts down cleanly even if Ctrl-C arrives twice, as it does through make."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to shut down, once."""
        if not self.should_exit:
            super().handle_exit(sig, frame)


def open_ui(port: int | None) -> None:
    """Serve MLflow's UI for this project's runs until Ctrl-C.

    If MLFLOW_TRACKING_URI names a server, print its address instead.

    Raises:
        UserError: the port is in use, or MLflow's store cannot be used.
    """
    client = open_store()
    save_view(client)
    fill_store()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    uri = store_uri()
    view = f"workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey={VIEW}"
    page = f"/#/experiments/{experiment.experiment_id}/runs?{view}"
    if uri.startswith(("http://", "https://")):
        address = masked(uri).rstrip("/") + page
        print(f"The runs are on the server of MLFLOW_TRACKING_URI: {address}")
        return
    port = choose_port(port, UI_PORT)
    print(f"MLflow's UI: http://{HOST}:{port}{page} (Ctrl-C ends it)", flush=True)
    server = ["server", "--backend-store-uri", uri, "--workers", "1"]
    listen = ["--host", HOST, "--port", str(port)]
    quiet = ["--uvicorn-opts", "--log-level warning"]
    # No job runners: nothing here needs them.
    _run_mlflow([*server, *listen, *quiet], MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")


def fill_store() -> None:
    """Publish this run's results if the store lacks them, for example after `dvc pull`."""
    try:
        if any(lacking.name == WORKSPACE for lacking in experiments_not_in_store()):
            check_outputs(PREPARED, OUTPUTS, REPORTS)
            print("recording this run's results in MLflow", flush=True)
            print(publish(params_of_results()))
    except UserError as error:
        warn(f"this run's results cannot be published: {error}")


def _run_mlflow(arguments: list[str], **environment: str) -> None:
    """Run an MLflow server until a signal arrives; further signals are ignored.

    The server passes a signal on to its worker, which dies with a traceback on a second one; and
    a terminal and make send each signal to every process.

    Raises:
        UserError: the server ended by itself.
    """
    ended = False
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *arguments],
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
        start_new_session=True,
    )

    def end(*_: object) -> None:
        nonlocal ended
        ended = True
        for handled in ENDED_BY:
            signal.signal(handled, signal.SIG_IGN)
        server.terminate()

    for handled in ENDED_BY:
        signal.signal(handled, end)
    code = server.wait()
    if not ended:
        raise UserError(f"MLflow's server ended with exit code {code}; its messages are above")


def choose_port(asked: int | None, usual: int) -> int:
    """Return the port that was asked for; else the default, or a free one if that is in use.

    Raises:
        UserError: the port that was asked for is in use, or not allowed.
    """
    try:
        return _bind(asked or usual)
    except OSError as error:
        if asked:
            said = f"--port {asked}: {error.strerror}; choose another one, or leave --port out"
            raise UserError(said) from None
    print(f"port {usual} is in use, using another one", file=sys.stderr)
    return free_port()


def free_port() -> int:
    """Return a port that nothing listens on."""
    return _bind(0)


def _bind(port: int) -> int:
    """Return the port after listening on it for a moment; 0 means any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return probe.getsockname()[1]
