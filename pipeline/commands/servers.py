"""MLflow's own servers, on 127.0.0.1 only: its UI, and a network that answers pictures."""

import os
import socket
import sys

from pipeline.core.files import PREPARED
from pipeline.core.records import load_metadata
from pipeline.tracking.registry import Registry
from pipeline.tracking.store import EXPERIMENT, open_store, store_uri, without_password

HOST = "127.0.0.1"


def serve(alias: str, port: int) -> None:
    """Serve a network of MLflow's registry; this process becomes the server.

    Raises:
        UserError: nothing has this alias.
    """
    metadata = load_metadata(PREPARED)
    uri = Registry(metadata["params"]["source"], metadata["digest"]).uri(alias)
    port = free_port(port)
    print(f"{uri}: http://{HOST}:{port}/invocations (Ctrl-C ends it)", flush=True)
    server = ["models", "serve", "--model-uri", uri, "--env-manager", "local"]
    _become_mlflow([*server, "--host", HOST, "--port", str(port)], MLFLOW_TRACKING_URI=store_uri())


def open_ui(port: int) -> None:
    """Open MLflow's UI on this project's runs; this process becomes the server.

    Where MLFLOW_TRACKING_URI names a server, its address is printed instead.
    """
    experiment = open_store().get_experiment_by_name(EXPERIMENT)
    uri = store_uri()
    page = f"/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    if uri.startswith(("http://", "https://")):
        address = without_password(uri).rstrip("/") + page
        print(f"The runs are on the server of MLFLOW_TRACKING_URI: {address}")
        return
    port = free_port(port)
    print(f"MLflow's UI: http://{HOST}:{port}{page} (Ctrl-C ends it)", flush=True)
    server = ["server", "--backend-store-uri", uri, "--workers", "1"]
    listen = ["--host", HOST, "--port", str(port)]
    # No job runners: nothing here needs them.
    _become_mlflow([*server, *listen], MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")


def _become_mlflow(arguments: list[str], **environment: str) -> None:
    command = [sys.executable, "-m", "mlflow", *arguments]
    os.execve(sys.executable, command, {**os.environ, **environment})


def free_port(wanted: int) -> int:
    """Return `wanted`, or a free port chosen by the system where that one is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                print(f"port {port} is in use, taking another one", file=sys.stderr)
                continue
            return probe.getsockname()[1]
    raise OSError(f"no free port on {HOST}")
