"""MLflow; no other package imports it."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A lost server must not delay training: metrics are sent again later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
