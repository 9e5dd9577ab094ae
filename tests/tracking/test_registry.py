import keras
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.core.errors import UserError
from pipeline.tracking.lifecycle import tracked_run
from pipeline.tracking.registry import Registry, load_model
from tests.small_model import log_small_model


def test_an_alias_that_nothing_has_is_a_clear_error(store):
    with pytest.raises(
        UserError, match=r"champion: no training .* no such version of digits-12345678, .*dvc repro"
    ):
        Registry("digits", "123456789").get("champion")


def test_a_registry_that_fails_is_no_registry_without_a_champion(store, monkeypatch):
    def fail(*_):
        raise MlflowException("503 Service Unavailable")

    registry = Registry("digits", "123456789")
    monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", fail)
    with pytest.raises(UserError, match="503"):
        registry.find("champion")


def test_a_registered_model_is_found_by_its_alias_and_loads_again(store):
    _, uri = log_small_model()
    registry = Registry("digits", "123456789")
    version = registry.register(uri, "champion", {"val_accuracy": "0.5"}, "what it is")
    registry.describe("classifiers of digits")
    assert registry.get("champion").description == "what it is"
    assert store.get_registered_model(registry.name).description == "classifiers of digits"
    assert registry.find("champion").version == int(version)
    assert registry.get("champion").tags["val_accuracy"] == "0.5"
    assert registry.find("challenger") is None
    model = load_model(f"models:/{registry.name}@champion")
    assert model.predict(np.zeros((1, 4), np.uint8), verbose=0).shape == (1, 2)


def test_a_model_is_named_like_its_run_but_for_what_mlflow_forbids(store):
    with tracked_run("resnet block=5 seed=0: 1/2", {}) as run:
        inputs = keras.Input((4,), dtype="uint8")
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.ops.cast(inputs, "float32")))
        uri = run.log_model(model, "resnet block=5 seed=0: 1/2")
    assert store.get_logged_model(uri.rpartition("/")[2]).name == "resnet block=5 seed=0- 1-2"
