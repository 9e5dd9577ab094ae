"""Sweeps that must be refused before anything is trained."""

import pytest
from mlflow import environment_variables

from pipeline.commands.servers import free_port
from pipeline.sweep.run import CLUSTER_ENVIRONMENT


@pytest.fixture
def refuse(project, refused):
    """Run `sweep`, which must say one error and leave nothing behind; return the error."""

    def run(*arguments):
        said = refused("sweep", *arguments)
        assert said.startswith("error: ")
        assert list((project / ".dvc/tmp/sweep").glob("*")) == []
        return said

    return run


def test_a_wrong_value_is_named_as_elsewhere(refuse):
    said = refuse("-S", "model.drop_block_size=3,0")
    assert "model.drop_block_size" in said and "0" in said


@pytest.mark.parametrize("address", ["head", "127.0.0.1", "localhost:8265"])
def test_a_clusters_address_is_a_whole_one(refuse, address):
    said = refuse("--on", address)
    assert said == f"error: --on {address}: give the whole address, like http://127.0.0.1:8265\n"


def test_a_cluster_takes_an_mlflow_server(refuse):
    said = refuse("--on", f"http://127.0.0.1:{free_port()}")
    assert "mlflow.db is a file on this machine" in said and "MLFLOW_TRACKING_URI" in said


@pytest.mark.parametrize("user", ["me:S3cret@", "me:S3/cr#et@"])
def test_a_password_is_not_sent_with_a_job(refuse, monkeypatch, user):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{user}127.0.0.1:{free_port()}")
    said = refuse("--on", f"http://127.0.0.1:{free_port()}")
    assert "MLFLOW_TRACKING_URI has a user or password" in said and "S3" not in said
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said


def test_a_shared_store_is_sent_fewer_system_metrics(monkeypatch):
    for name, value in CLUSTER_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
        assert getattr(environment_variables, name).get() == float(value)
    assert environment_variables.MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() == 30
