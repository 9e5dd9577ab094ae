"""MLflow's own servers, on 127.0.0.1 only: its UI, and one that answers pictures."""

import os
import socket
import sys

import uvicorn

from pipeline.commands.predict import load_classifier
from pipeline.core.errors import UserError
from pipeline.tracking.serving import scoring_app
from pipeline.tracking.store import EXPERIMENT, open_store, store_uri, without_password

HOST = "127.0.0.1"
UI_PORT, SERVE_PORT = 5000, 5001  # the usual ones


def serve(name: str, port: int | None) -> None:
    """Serve a network of this folder or of MLflow's registry until Ctrl-C.

    Raises:
        UserError: there is no such network, or the port is in use.
    """
    port = choose_port(port, SERVE_PORT)
    app = scoring_app(*load_classifier(name))
    print(f"{name}: http://{HOST}:{port}/invocations (Ctrl-C ends it)", flush=True)
    uvicorn.run(app, host=HOST, port=port, log_level="warning", access_log=False)


def open_ui(port: int | None) -> None:
    """Open MLflow's UI on this project's runs; this process becomes the server.

    Where MLFLOW_TRACKING_URI names a server, its address is printed instead.

    Raises:
        UserError: the port is in use, or MLflow's store cannot be used.
    """
    experiment = open_store().get_experiment_by_name(EXPERIMENT)
    uri = store_uri()
    page = f"/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    if uri.startswith(("http://", "https://")):
        address = without_password(uri).rstrip("/") + page
        print(f"The runs are on the server of MLFLOW_TRACKING_URI: {address}")
        return
    port = choose_port(port, UI_PORT)
    print(f"MLflow's UI: http://{HOST}:{port}{page} (Ctrl-C ends it)", flush=True)
    server = ["server", "--backend-store-uri", uri, "--workers", "1"]
    listen = ["--host", HOST, "--port", str(port)]
    # No job runners: nothing here needs them.
    _become_mlflow([*server, *listen], MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")


def _become_mlflow(arguments: list[str], **environment: str) -> None:
    command = [sys.executable, "-m", "mlflow", *arguments]
    os.execve(sys.executable, command, {**os.environ, **environment})


def choose_port(asked: int | None, usual: int) -> int:
    """Return the port that was asked for, else the usual one, or a free one where that is taken.

    Raises:
        UserError: the port that was asked for is taken.
    """
    if is_free(asked or usual):
        return asked or usual
    if asked:
        raise UserError(f"--port {asked} is in use; name another one, or none at all")
    print(f"port {usual} is in use, taking another one", file=sys.stderr)
    return free_port()


def is_free(port: int) -> bool:
    """Whether a server can listen on a port."""
    try:
        _bind(port)
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that nothing listens on."""
    return _bind(0)


def _bind(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return probe.getsockname()[1]
