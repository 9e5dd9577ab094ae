import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.tracking.registry import Registry, load_model
from pipeline.tracking.runs import TRAINING
from tests.small_model import log_small_model


def test_an_alias_that_nothing_has_is_a_clear_error(store):
    with pytest.raises(
        UserError, match=r"neither a training .* prepared data \(digits-12345678\).*dvc repro"
    ):
        Registry("digits", "123456789").get("champion")


@pytest.fixture
def registry(store):
    return Registry("digits", "123456789")


def tags(identity="identity-0", **more):
    return {TRAINING: identity, **more}


def test_a_registered_model_is_found_by_its_alias_and_loads_again(registry, store):
    registry.register(log_small_model(), "champion", tags(val_accuracy="0.5"), "what it is")
    registry.describe("classifiers of digits")
    assert registry.get("champion").description == "what it is"
    assert store.get_registered_model(registry.name).description == "classifiers of digits"
    assert registry.get("champion").tags["val_accuracy"] == "0.5"
    assert registry.find("challenger") is None
    model = load_model(f"models:/{registry.name}@champion")
    assert model.predict(np.zeros((1, 4), np.uint8), verbose=0).shape == (1, 2)


def test_a_version_registered_by_hand_is_none_of_the_pipelines(registry, store):
    registry.register(log_small_model(), "champion", tags(), "what it is")
    model = log_small_model("identity-1")
    own = store.create_model_version(registry.name, f"models:/{model.model_id}")
    store.set_registered_model_alias(registry.name, "champion", own.version)
    assert registry.find("champion") is None


def test_a_version_whose_model_was_deleted_is_none(registry, store):
    model = log_small_model()
    registry.register(model, "champion", tags(), "what it is")
    store.delete_logged_model(model.model_id)
    assert registry.find("champion") is None


def test_a_model_is_registered_once_whatever_its_aliases(registry):
    first, second = log_small_model(), log_small_model("identity-1")
    registry.register(first, "champion", tags(), "what it is")
    registry.register(second, "champion", tags("identity-1"), "better")
    registry.register(first, "challenger", tags(), "what it was")
    assert registry.get("champion").version == 2
    assert (registry.get("challenger").version, registry.get("challenger").description) == (
        1, "what it was",
    )  # fmt: skip


def test_the_model_of_a_training_made_again_is_another_version(registry):
    for version in (1, 2):
        registry.register(log_small_model(), "champion", tags(), "what it is")
        assert registry.get("champion").version == version


def test_a_model_is_named_like_its_run_but_for_what_mlflow_forbids(store):
    model = log_small_model(name="resnet, keep 1 to 0.95, seed 0: 1/2")
    assert model.name == "resnet, keep 1 to 0-95, seed 0- 1-2"
    assert model.tags[TRAINING] == "identity-0"
