"""Open MLflow's UI on this project's runs, on 127.0.0.1 only."""

import argparse
import os
import socket
import sys

from pipeline import tracking
from pipeline.errors import exit_on_user_error

HOST = "127.0.0.1"


def free_port(wanted: int) -> int:
    """Return `wanted`, or a free port chosen by the system where that one is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError(f"no free port on {HOST}")


@exit_on_user_error
def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.ui",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=5000, help="another one is taken if in use")
    arguments = parser.parse_args()
    experiment = tracking.open_store().get_experiment_by_name(tracking.EXPERIMENT)
    uri = tracking.store_uri()
    page = f"/#/experiments/{experiment.experiment_id}/runs"
    if uri.startswith(("http://", "https://")):
        address = tracking.without_password(uri).rstrip("/") + page
        print(f"The runs are on the server of MLFLOW_TRACKING_URI: {address}")
        return
    port = free_port(arguments.port)
    print(f"MLflow's UI: http://{HOST}:{port}{page} (Ctrl-C ends it)", flush=True)
    server = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    store = ["--backend-store-uri", uri, "--workers", "1"]
    # No job runners: nothing here needs them.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    os.execve(sys.executable, [*server, *store], environment)


if __name__ == "__main__":
    main()
