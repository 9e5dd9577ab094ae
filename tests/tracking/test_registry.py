import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.core.errors import UserError
from pipeline.tracking.registry import Registry, load_model
from pipeline.tracking.runs import TRAINING
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


TAGS = {TRAINING: "identity-0", "val_accuracy": "0.5"}


def test_a_registered_model_is_found_by_its_alias_and_loads_again(store):
    registry = Registry("digits", "123456789")
    registry.register(log_small_model(), "champion", TAGS, "what it is")
    registry.describe("classifiers of digits")
    assert registry.get("champion").description == "what it is"
    assert store.get_registered_model(registry.name).description == "classifiers of digits"
    assert registry.get("champion").tags == TAGS
    assert registry.find("challenger") is None
    model = load_model(f"models:/{registry.name}@champion")
    assert model.predict(np.zeros((1, 4), np.uint8), verbose=0).shape == (1, 2)


def test_a_model_is_registered_once_and_its_alias_moves(store):
    registry, model = Registry("digits", "123456789"), log_small_model()
    for description in ("old", "new"):
        registry.register(model, "champion", TAGS, description)
    registry.register(model, "challenger", TAGS, "new")
    (version,) = store.search_model_versions(f"name = '{registry.name}'")
    assert version.description == "new"
    assert registry.find("champion").version == registry.find("challenger").version
    other = log_small_model("identity-1")
    registry.register(other, "champion", {**TAGS, TRAINING: "identity-1"}, "better")
    assert registry.find("champion").run_id == other.source_run_id
    assert registry.find("challenger").run_id == model.source_run_id
