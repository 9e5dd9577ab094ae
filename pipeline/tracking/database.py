"""Where MLflow's store is, and whether its file can be read. Does not import MLflow."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.core.errors import UserError, first_line
from pipeline.core.files import project_root

DAMAGE = ("file is empty", "malformed", "not a database")  # in the errors of SQLite


def store_uri() -> str:
    """Return MLFLOW_TRACKING_URI; by default mlflow.db in the main repository.

    A relative sqlite path is relative to the main repository.

    Raises:
        UserError: the URI has no scheme, options, or names a folder of files, which MLflow no
            longer supports.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if uri.startswith("sqlite:///"):
        if "?" in uri:
            raise UserError(f"MLFLOW_TRACKING_URI = {uri}: leave out the options after the ?")
        return f"sqlite:///{(project_root() / uri.removeprefix('sqlite:///')).resolve()}"
    if "://" not in uri or uri.startswith("file:"):
        raise UserError(
            f"MLFLOW_TRACKING_URI = {uri}: write a server as http://..., a database as sqlite:///"
            "...; convert a folder of files, which MLflow 3 no longer writes, with `mlflow "
            "migrate-filestore`"
        )
    return uri


def local_file(uri: str) -> Path | None:
    """Return the file of a local database; None for a server."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:") else None


def check_database(uri: str) -> None:
    """Raise a UserError if the file is not an SQLite database.

    MLflow would retry for two minutes.
    """
    file = local_file(uri)
    if file is None or not file.exists():
        return
    if not file.stat().st_size:  # SQLite would take it for a new database
        raise UserError(store_problem(uri, ValueError("the file is empty")))
    try:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:  # locked or not readable: MLflow says so, or waits
        pass
    except sqlite3.DatabaseError as error:
        raise UserError(store_problem(uri, error)) from None


def store_problem(uri: str, error: BaseException) -> str:
    """Say why the store cannot be used, and how to fix it."""
    if isinstance(error, ImportError):
        way_out = "install its driver, as `make setup-cluster` does for PostgreSQL"
    elif "database schema" in str(error):
        way_out = f"back it up and run `mlflow db upgrade {uri}`"
    elif "disk is full" in str(error):
        way_out = "free some space and repeat the command"
    elif "locked" in str(error):
        way_out = "end the program that has it open, and repeat the command"
    elif any(damage in str(error) for damage in DAMAGE):
        way_out = "move the damaged file away"
    elif local_file(uri):
        way_out = "check that its folder is writable, and repeat the command"
    else:
        way_out = "start the server, or correct or unset MLFLOW_TRACKING_URI"
    return f"MLflow's store {uri} cannot be used ({first_line(error)}); {way_out}"
