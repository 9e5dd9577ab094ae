import multiprocessing
import os
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.core.errors import UserError
from pipeline.tracking import store
from pipeline.tracking.registry import Registry, load_model
from pipeline.tracking.runs import TRAINING
from pipeline.tracking.store import find_or_none, store_errors
from tests.conftest import start_python
from tests.small_model import log_small_model
from tests.store_contents import everything


def test_the_store_is_the_main_repositorys_also_from_a_copy(workspace, monkeypatch):
    copy = workspace / ".dvc/tmp/exps/copy"
    (copy / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    assert store.store_uri() == f"sqlite:///{workspace}/mlflow.db"
    experiment = store.open_store().get_experiment_by_name(store.EXPERIMENT)
    assert experiment.artifact_location == (workspace / "mlartifacts").as_uri()


def test_the_environments_store_comes_first(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    assert store.store_uri() == "http://tracking.example:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/my.db")
    assert store.store_uri() == f"sqlite:///{workspace}/other/my.db"


@pytest.mark.parametrize("uri", ["mlruns", "./mlruns", "file:///tmp/mlruns"])
def test_a_folder_as_store_is_refused_with_the_way_out(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="mlflow migrate-filestore"):
        store.store_uri()


def test_a_server_that_does_not_answer_is_a_clear_error_without_the_password(
    workspace, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"http://\*\*\*@127.0.0.1:9 cannot be used") as caught:
        store.open_store()
    assert "start the server" in str(caught.value)


def test_a_damaged_database_is_a_clear_error(workspace):
    (workspace / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(UserError, match=r"mlflow.db cannot be used"):
        store.open_store()


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
    names = [e.name for e in MlflowClient(store.store_uri()).search_experiments()]
    assert names.count(store.EXPERIMENT) == 1


def test_an_experiment_that_another_machine_made_just_now_is_taken(workspace, monkeypatch):
    monkeypatch.setattr(store, "_create_experiment", lambda *_, make=store._create_experiment: (
        make(*_), make(*_)))  # fmt: skip
    experiment = store.open_store().get_experiment_by_name(store.EXPERIMENT)
    assert experiment.lifecycle_stage == "active"


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("http://user:secret@host:1/x", "http://***@host:1/x"),
        ("http://host/a@b", "http://host/a@b"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_passwords_are_masked(uri, masked):
    assert store.without_password(uri) == masked


def test_what_is_not_there_is_told_from_a_store_that_fails(store, monkeypatch):
    assert find_or_none(lambda: store.get_run("f00d")) is None

    def fail(*_):
        raise MlflowException("503 Service Unavailable")

    monkeypatch.setattr(store, "get_run", fail)
    with pytest.raises(MlflowException, match="503"):
        find_or_none(lambda: store.get_run("f00d"))
    with pytest.raises(UserError, match=r"MLflow's store .* cannot be used \(503"), store_errors():
        store.get_run("f00d")


@pytest.fixture
def enter(workspace, empty_store, monkeypatch):
    """Go into a project of its own, by name; made with an empty store where there is none."""

    def go(name):
        folder = workspace / name
        if not folder.exists():
            (folder / ".dvc").mkdir(parents=True)
            (folder / "requirements.lock").write_text("keras\n")
            shutil.copyfile(empty_store, folder / "mlflow.db")
        monkeypatch.chdir(folder)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # which MLflow sets
        return folder, store.open_store()

    return go


OLD, NEW = "alte Küche 100 %_a", "neue Küche, größer & 'anders'"


@pytest.mark.parametrize("copied", [False, True])
def test_a_store_may_be_moved_or_copied_with_its_folder(enter, copied):
    old, _ = enter(OLD)
    model = log_small_model()
    Registry("digits", "123456789").register(model, "champion", {TRAINING: "identity-0"}, "")
    before = everything(old)
    if copied:
        shutil.copytree(old, old.parent / NEW)
    else:
        old.rename(old.parent / NEW)
    new, client = enter(NEW)
    champion = load_model("models:/digits-12345678@champion")
    assert champion.predict(np.zeros((1, 4), np.uint8), verbose=0).shape == (1, 2)
    places = [client.get_experiment_by_name(store.EXPERIMENT).artifact_location,
              client.get_run(model.source_run_id).info.artifact_uri,
              client.get_logged_model(model.model_id).artifact_location]  # fmt: skip
    assert [place.startswith((new / "mlartifacts").as_uri()) for place in places] == [True] * 3
    client.log_text(model.source_run_id, "new", "new.txt")
    log_small_model("identity-1")
    assert len(list(new.glob("mlartifacts/**/new.txt"))) == 1
    assert len(list(new.glob("mlartifacts/**/*.keras"))) == 2
    assert old.exists() == copied
    if copied:
        assert everything(old) == before
        enter(OLD)
        assert everything(old) == before


def test_a_database_outside_of_the_project_is_left_to_those_who_share_it(enter, monkeypatch):
    folder, _ = enter("one")
    shared = f"sqlite:///{folder.parent}/shared.db"
    shutil.copyfile(folder / "mlflow.db", folder.parent / "shared.db")
    location = (folder / "mlartifacts").as_uri()
    enter("two")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared)
    client = store.open_store()
    assert client.get_experiment_by_name(store.EXPERIMENT).artifact_location == location
