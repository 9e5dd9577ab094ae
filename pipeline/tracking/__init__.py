"""MLflow: the only room that imports it."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that went away must not hold up training: the metrics are sent again later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
