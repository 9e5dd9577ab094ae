"""Open MLflow's UI on this project's runs, on 127.0.0.1 only."""

import argparse
import os
import sys

from pipeline import tracking
from pipeline.errors import exit_on_user_error
from pipeline.ports import HOST, free_port


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
    page = f"/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
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
