"""Serve a network of MLflow's registry with MLflow's own server, on 127.0.0.1 only.

POST /invocations takes {"inputs": [image, ...]}, each image 32x32x3 raw pixels 0..255, and answers
{"predictions": [[probability of each class], ...]}.
"""

import argparse
import os
import sys

from pipeline import tracking
from pipeline.errors import exit_on_user_error
from pipeline.ports import HOST, free_port
from pipeline.results import load_prepared_metadata


@exit_on_user_error
def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.serve",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--alias", default="champion", help="or challenger (default: champion)")
    parser.add_argument("--port", type=int, default=5001, help="default: 5001, or a free one")
    arguments = parser.parse_args()
    metadata = load_prepared_metadata()
    uri = tracking.Registry(metadata["params"]["source"], metadata["digest"]).uri(arguments.alias)
    port = free_port(arguments.port)
    print(f"{uri}: http://{HOST}:{port}/invocations (Ctrl-C ends it)", flush=True)
    server = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", uri]
    options = ["--env-manager", "local", "--host", HOST, "--port", str(port)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking.store_uri()}
    os.execve(sys.executable, [*server, *options], environment)


if __name__ == "__main__":
    main()
