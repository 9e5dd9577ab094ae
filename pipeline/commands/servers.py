"""MLflow's own servers, on 127.0.0.1 only: its UI, and one that answers pictures."""

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
from pipeline.core.errors import UserError, warn
from pipeline.core.secrets import masked
from pipeline.settings.params import load_params
from pipeline.stages.publish import publish
from pipeline.tracking.serving import scoring_app
from pipeline.tracking.store import EXPERIMENT, open_store, store_uri
from pipeline.tracking.views import VIEW, save_view
from pipeline.versioning.experiments import WORKSPACE

HOST = "127.0.0.1"
UI_PORT, SERVE_PORT = 5000, 5001  # the usual ones
ENDED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(name: str, port: int | None) -> None:
    """Serve a network of this folder or of MLflow's registry until Ctrl-C.

    Raises:
        UserError: there is no such network, or the port is in use.
    """
    port = choose_port(port, SERVE_PORT)
    app = scoring_app(*load_classifier(name))
    print(f"{name}: http://{HOST}:{port}/invocations (Ctrl-C ends it)", flush=True)
    with suppress(KeyboardInterrupt):  # raised once the last answers are given
        PatientServer(uvicorn.Config(app, host=HOST, port=port, log_level="warning")).run()


class PatientServer(uvicorn.Server):
    """Ends in order also where Ctrl-C arrives twice, as from make, which passes it on."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, once."""
        if not self.should_exit:
            super().handle_exit(sig, frame)


def open_ui(port: int | None) -> None:
    """Open MLflow's UI on this project's runs until Ctrl-C.

    Where MLFLOW_TRACKING_URI names a server, its address is printed instead.

    Raises:
        UserError: the port is in use, or MLflow's store cannot be used.
    """
    client = open_store()
    save_view(client)
    fill_store()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    uri = store_uri()
    view = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
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
    """Publish the workspace's results where the store lacks them, as after `dvc pull`."""
    try:
        if WORKSPACE in experiments_not_in_store():
            print(publish(load_params()))
    except UserError as error:
        warn(f"the results of this folder cannot be published: {error}")


def _run_mlflow(arguments: list[str], **environment: str) -> None:
    """Run a server of MLflow's until it ends, or a signal ends it: once, however many arrive.

    It passes a signal on to its own process, which leaves its work with a traceback at a second
    one; a terminal and make send it to every process.
    """
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *arguments],
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
        start_new_session=True,
    )

    def end(*_: object) -> None:
        for handled in ENDED_BY:
            signal.signal(handled, signal.SIG_IGN)
        server.terminate()

    for handled in ENDED_BY:
        signal.signal(handled, end)
    server.wait()


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
