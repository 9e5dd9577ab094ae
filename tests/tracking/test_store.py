import multiprocessing
import os
import re
import shutil
import sqlite3
from collections import OrderedDict
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.cli import cli
from mlflow.exceptions import MlflowException

from pipeline.core.errors import UserError
from pipeline.tracking import store
from pipeline.tracking.database import store_problem, store_uri
from pipeline.tracking.registry import Registry, load_model
from pipeline.tracking.runs import TRAINING
from pipeline.tracking.store import open_store, store_errors
from tests.conftest import quick_params, start_python
from tests.small_model import log_small_model
from tests.store_contents import everything

DIGEST = "d1" * 32


def test_the_store_is_the_main_repositorys_also_from_a_copy(workspace, monkeypatch):
    copy = workspace / ".dvc/tmp/exps/copy"
    (copy / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    assert store_uri() == f"sqlite:///{workspace}/mlflow.db"
    experiment = store.open_store().get_experiment_by_name(store.EXPERIMENT)
    assert experiment.artifact_location == (workspace / "mlartifacts").as_uri()


def test_the_environments_store_comes_first(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    assert store_uri() == "http://tracking.example:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/my.db")
    assert store_uri() == f"sqlite:///{workspace}/other/my.db"


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "file:///tmp/mlruns"])
def test_a_folder_as_store_is_refused_with_the_way_out(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="mlflow migrate-filestore"):
        store_uri()


def test_a_server_that_does_not_answer_is_a_clear_error_without_the_password(
    workspace, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"http://\*\*\*@127.0.0.1:9 cannot be used") as caught:
        store.open_store()
    assert "start the server" in str(caught.value)


OPEN_STORE = """
import sys
from pipeline.core.errors import run_command
from pipeline.tracking.store import open_store

def command():
    open_store()

sys.exit(run_command(command))
"""


@pytest.mark.slow
def test_a_database_of_another_mlflow_version_is_left_alone_and_the_upgrade_named(workspace):
    assert start_python(workspace, "-c", OPEN_STORE).wait() == 0
    with closing(sqlite3.connect(workspace / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'f00'")
    before = (workspace / "mlflow.db").read_bytes()
    process = start_python(workspace, "-c", OPEN_STORE, errors=True)
    assert process.wait() == 2
    assert "back it up and run `mlflow db upgrade sqlite:///" in process.stdout.read()
    assert (workspace / "mlflow.db").read_bytes() == before


def open_from_a_new_process(folder):
    os.chdir(folder)
    store.open_store()


@pytest.mark.slow
def test_two_first_starts_at_once_both_get_the_store(workspace):
    context = multiprocessing.get_context("spawn")
    starts = [context.Process(target=open_from_a_new_process, args=(workspace,)) for _ in range(2)]
    for process in starts:
        process.start()
    for process in starts:
        process.join()
    assert [process.exitcode for process in starts] == [0, 0]
    names = [e.name for e in MlflowClient(store_uri()).search_experiments()]
    assert names.count(store.EXPERIMENT) == 1


def test_a_first_start_that_was_cut_off_leaves_no_half_a_database(workspace, monkeypatch):
    left_over = workspace / "mlflow.db.part"
    left_over.write_text("of an earlier start")

    def interrupt(*_):
        assert left_over.read_bytes().startswith(b"SQLite")
        raise KeyboardInterrupt

    monkeypatch.setattr("alembic.command.upgrade", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_store()
    assert not (workspace / "mlflow.db").exists()


def test_an_experiment_that_another_machine_made_just_now_is_taken(workspace, monkeypatch):
    monkeypatch.setattr(store, "_create_experiment", lambda *_, make=store._create_experiment: (
        make(*_), make(*_)))  # fmt: skip
    experiment = store.open_store().get_experiment_by_name(store.EXPERIMENT)
    assert experiment.lifecycle_stage == "active"


def test_a_database_without_its_driver_is_named_with_the_way_out(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+pymysql://127.0.0.1/mlflow")
    with pytest.raises(UserError, match=r"No module named .*; install its driver"):
        open_store()


def test_the_message_on_a_deleted_experiment_names_the_command_that_restores_it(workspace):
    client = open_store()
    client.delete_experiment(client.get_experiment_by_name(store.EXPERIMENT).experiment_id)
    with pytest.raises(UserError, match="is deleted; restore it with") as raised:
        open_store()
    command = re.search("`MLFLOW_TRACKING_URI=(.*?) mlflow (.*)`", str(raised.value))
    said = CliRunner().invoke(cli, command[2].split(), env={"MLFLOW_TRACKING_URI": command[1]})
    assert said.exit_code == 0, said.output
    assert open_store().get_experiment_by_name(store.EXPERIMENT).lifecycle_stage == "active"


def test_what_is_not_there_is_none_and_a_store_that_fails_an_error(store, monkeypatch):
    def ask():
        return Registry("digits", DIGEST).find("champion")

    assert ask() is None

    def fail(*_):
        raise MlflowException("503 Service Unavailable")

    monkeypatch.setattr(MlflowClient, "search_registered_models", fail)
    with pytest.raises(UserError, match=r"MLflow's store .* cannot be used \(503"):
        ask()
    with pytest.raises(UserError, match=r"MLflow's store .* cannot be used \(503"), store_errors():
        fail()


def in_folder(folder, monkeypatch):
    """Work in a folder, as a process that starts there."""
    monkeypatch.chdir(folder)
    # MLflow sets the first; in the second it keeps the locations of this process's runs.
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._artifact_repos_cache",
                        OrderedDict())  # fmt: skip


@pytest.fixture
def filled(store, workspace, monkeypatch):
    """A project's folder, whose store has a run with a file and a champion."""
    project = workspace / "a project"
    (project / ".dvc").mkdir(parents=True)
    shutil.copyfile(workspace / "mlflow.db", project / "mlflow.db")
    in_folder(project, monkeypatch)
    (project / "requirements.lock").write_text("keras\n")
    open_store()
    model = log_small_model()
    open_store().log_text(model.source_run_id, "here", "notes.txt")
    Registry("digits", DIGEST).register(model, "champion", {TRAINING: "identity-0"}, "")
    return project


def check_that_all_is_there(folder):
    """All of it, and in this folder."""
    client = open_store()
    *_, run = client.search_runs(["1"])  # the first
    text = Path(client.download_artifacts(run.info.run_id, "notes.txt")).read_text()
    assert text == "here"
    version = Registry("digits", DIGEST).get("champion")
    assert load_model(f"models:/{version.name}@champion").output_shape == (None, 2)
    client.log_text(run.info.run_id, "new", "new.txt")
    written = folder / "mlartifacts" / run.info.run_id / "artifacts/new.txt"
    assert written.read_text() == "new"
    model = log_small_model("identity-1")
    assert model.artifact_location.startswith((folder / "mlartifacts").as_uri())
    assert (folder / "mlartifacts/models" / model.model_id / "artifacts/MLmodel").exists()


@pytest.mark.parametrize("name", ["moved", "übrige Läufe, 100 % é_x"])
def test_a_moved_store_finds_its_artifacts(filled, monkeypatch, name):
    moved = filled.rename(filled.parent / name)
    in_folder(moved, monkeypatch)
    check_that_all_is_there(moved)
    moved.rename(filled)  # and back again
    in_folder(filled, monkeypatch)
    check_that_all_is_there(filled)


def test_a_copied_store_writes_into_its_own_artifacts(filled, monkeypatch):
    before = everything(filled)
    copy = Path(shutil.copytree(filled, filled.parent / "copy"))
    in_folder(copy, monkeypatch)
    check_that_all_is_there(copy)
    assert everything(filled) == before
    shutil.rmtree(filled)
    check_that_all_is_there(copy)


def test_a_folder_whose_name_begins_alike_is_left_alone(filled, monkeypatch):
    """And one that a wildcard of SQL in the name would match."""
    client = open_store()
    location = client.get_experiment("1").artifact_location
    strange = [f"{location}-old/1", location.replace("%20", "%2F%20") + "/1"]
    for number, place in enumerate(strange):
        client.create_experiment(f"other {number}", artifact_location=place)
    moved = filled.rename(filled.parent / "moved")
    in_folder(moved, monkeypatch)
    client = open_store()
    others = [client.get_experiment_by_name(f"other {n}").artifact_location for n in range(2)]
    assert others == strange


def test_a_database_outside_of_the_project_stays_as_it_is(workspace, monkeypatch, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared") / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}")
    location = store.open_store().get_experiment("1").artifact_location
    other = workspace / "other"
    (other / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(other)
    assert store.open_store().get_experiment("1").artifact_location == location


@pytest.mark.parametrize("damage", [lambda data: b"damaged" * 20 + data[140:], lambda _: b""])
def test_a_damaged_database_is_named_before_mlflow_tries_it_for_two_minutes(
    workspace, empty_store, invoke, monkeypatch, damage
):
    """By `check` too, which runs first of all stages. An empty file is no new store."""
    shutil.copyfile(empty_store, "mlflow.db")
    Path("params.yaml").write_text(quick_params())
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n")
    assert invoke("check")[0] == 0
    Path("mlflow.db").write_bytes(damage(Path("mlflow.db").read_bytes()))
    monkeypatch.setattr(store, "MlflowClient", None)
    with pytest.raises(UserError, match=r"mlflow.db cannot be used .*move the damaged file away"):
        open_store()
    code, said = invoke("check")
    assert code == 2 and "mlflow.db cannot be used" in said


def test_the_artifacts_of_a_store_outside_are_next_to_it(workspace, monkeypatch, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}/mlflow.db")
    location = store.open_store().get_experiment("1").artifact_location
    assert location == (shared / "mlartifacts").as_uri()


@pytest.mark.parametrize(
    ("error", "way_out"),
    [("database is locked", "end the program"), ("file is not a database", "move the damaged"),
     ("attempt to write a readonly database", "folder is writable")],
)  # fmt: skip
def test_only_damage_is_a_reason_to_move_the_database_away(error, way_out):
    assert way_out in store_problem("sqlite:///mlflow.db", ValueError(error))


def test_on_a_full_disk_no_message_says_to_move_the_database_away():
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE rows (value)")
        database.execute("PRAGMA max_page_count = 3")
        with pytest.raises(sqlite3.OperationalError) as raised:
            database.execute("INSERT INTO rows VALUES (?)", ["x" * 100_000])
    said = store_problem("sqlite:///mlflow.db", raised.value)
    assert said.endswith("disk is full); free some space and repeat the command")
