"""Open MLflow's store: one store for normal, --temp, queued and cluster runs."""

import logging
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import mlflow
from alembic.util import CommandError
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from pipeline.core.errors import UserError
from pipeline.core.files import project_root, work_folder
from pipeline.tracking.database import check_database, local_file, store_problem, store_uri

logging.getLogger("mlflow").setLevel(logging.WARNING)
# It prints a traceback for each error of a database, and then raises it too.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

EXPERIMENT = "dropblock-comparison"
# Where MLflow's database keeps absolute paths of artifacts.
PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
REQUEST_ERRORS = (MlflowException, SQLAlchemyError, CommandError, OSError)


def open_store() -> MlflowClient:
    """Connect to the store; create its database and experiment if they do not exist yet.

    Safe if several first runs do this at once, even on several machines.

    Raises:
        UserError: the store cannot be reached, has another version's tables, or its experiment is
            deleted.
    """
    uri = store_uri()
    check_database(uri)
    mlflow.set_tracking_uri(uri)
    try:
        with filelock.FileLock(work_folder() / "store.lock"), _database_lock(uri):
            if file := local_file(uri):
                create_database(file)
            client = MlflowClient(uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                _create_experiment(client, uri)
            elif experiment.lifecycle_stage == LifecycleStage.DELETED:
                raise UserError(
                    f"MLflow's experiment {EXPERIMENT} in {uri} is deleted; restore it with "
                    f"`MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow experiments restore "
                    f"--experiment-id {experiment.experiment_id}`"
                )
            elif file:
                _rewrite_artifact_paths(file, experiment.artifact_location)
        mlflow.set_experiment(EXPERIMENT)
    except (*REQUEST_ERRORS, ImportError) as error:  # a database's driver may be missing
        raise UserError(store_problem(uri, error)) from None
    return client


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of the store or the connection into a UserError that names the store."""
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise UserError(store_problem(store_uri(), error)) from None


def add_row(request: Callable[[], None]) -> None:
    """Send a request that adds a row to a table; send it again if the row is refused.

    MLflow checks that a row is missing before it adds it. If two runs do so at once, the database
    refuses the second row, with an error that MLflow does not handle.
    """
    try:
        request()
    except MlflowException:
        request()


def create_database(file: Path) -> None:
    """Create a local database with all its tables, or nothing if this is interrupted.

    One that exists is left as it is.

    MLflow creates the tables in many steps, and cannot go on from a step in the middle.
    """
    if file.exists():
        return
    part = file.with_name(f"{file.name}.part")
    for left_over in file.parent.glob(f"{part.name}*"):
        left_over.unlink()
    MlflowClient(f"sqlite:///{part}").search_experiments()
    part.rename(file)


@contextmanager
def _database_lock(uri: str) -> Iterator[None]:
    """Keep other machines from creating the same tables, if they access the database directly."""
    if not uri.startswith("postgresql"):
        yield
        return
    engine = create_engine(uri, poolclass=NullPool)
    with engine.connect() as connection:  # closing it releases the lock
        connection.execute(text("SELECT pg_advisory_lock(hashtext(:name))"), {"name": EXPERIMENT})
        yield


def _create_experiment(client: MlflowClient, uri: str) -> None:
    """Create the experiment, unless another machine has just done so."""
    try:
        client.create_experiment(
            EXPERIMENT,
            artifact_location=_artifact_location(uri),
            tags={"mlflow.experimentKind": "custom_model_development"},  # the UI's mode
        )
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def _artifact_location(uri: str) -> str | None:
    """Return the artifact folder next to a local database; None for a server, which decides."""
    return (file.parent / "mlartifacts").as_uri() if (file := local_file(uri)) else None


def _rewrite_artifact_paths(file: Path, location: str) -> None:
    """Correct the artifact paths of a local store whose folder was moved or copied.

    MLflow stores absolute paths: a moved store would lose its artifacts, and a copied one would
    write to the original's. A database outside the project is left alone: others may use it too.

    Args:
        location: the location of the artifacts according to the database.
    """
    uri = f"sqlite:///{file}"
    if location == (here := _artifact_location(uri)) or project_root() not in file.parents:
        return
    engine = create_engine(uri, poolclass=NullPool)
    with engine.begin() as connection:
        for table, column in PATHS:
            connection.execute(
                text(
                    f"UPDATE {table} SET {column} = :here || substr({column}, length(:before) + 1) "
                    f"WHERE substr({column} || '/', 1, length(:before) + 1) = :before || '/'"
                ),
                {"here": here, "before": location},
            )


def find_runs(filter_string: str = "") -> list[Run]:
    """Return the runs of this project's experiment in the open store, newest first."""
    return mlflow.search_runs(
        experiment_names=[EXPERIMENT], filter_string=filter_string, output_format="list"
    )
