import json

import keras
import numpy as np
import pytest

from pipeline import tracking
from pipeline.errors import UserError
from pipeline.register import rank, register
from pipeline.results import load_metrics
from tests.conftest import write_results

DIGEST = "d1" * 32


def log_small_model():
    inputs = keras.Input((4,), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.ops.cast(inputs, "float32")))
    with tracking.tracked_run("small", {}) as run:
        return run.run_id, run.log_model(model)


@pytest.fixture
def results(workspace, params):
    """Results of both networks with models in the store; returns a setter of accuracies."""
    write_results(workspace, seeds=[0])
    run_id, uri = log_small_model()

    def set_accuracy(**accuracies):
        for network, accuracy in accuracies.items():
            folder = workspace / f"outputs/evaluation/{network}-dropblock-0"
            metrics = json.loads((folder / "metrics.json").read_text())
            metrics["scores"]["best"]["val"] = {"accuracy": accuracy, "loss": 1.0}
            (folder / "metrics.json").write_text(json.dumps(metrics))
            (folder / "run.json").write_text(json.dumps({"run_id": run_id, "model_uri": uri}))

    return set_accuracy


def aliases():
    registry = tracking.Registry("digits", DIGEST)
    found = {alias: registry.find(alias) for alias in ("champion", "challenger")}
    return {alias: version and version.tags["run_name"] for alias, version in found.items()}


def test_the_better_network_by_validation_accuracy_is_champion(results, params):
    results(baseline=0.6, model=0.7)
    assert "model-dropblock-0 is champion of digits-d1d1d1d1" in register(params)
    assert aliases() == {"champion": "model-dropblock-0", "challenger": "baseline-dropblock-0"}


def test_only_a_better_one_takes_the_champions_place(results, params):
    results(baseline=0.6, model=0.7)
    register(params)
    results(baseline=0.7, model=0.65)
    assert "model-dropblock-0 stays champion" in register(params)
    assert aliases() == {"champion": "model-dropblock-0", "challenger": "baseline-dropblock-0"}
    results(baseline=0.71)
    assert "baseline-dropblock-0 is champion" in register(params)
    assert aliases() == {"champion": "baseline-dropblock-0", "challenger": "model-dropblock-0"}


def test_the_test_set_never_chooses(workspace, params):
    write_results(workspace, seeds=[0], watched="test")
    assert "no champion without validation images" in register(params)


def test_a_model_that_the_store_lost_is_a_clear_error(results, params, workspace):
    results(baseline=0.6, model=0.7)
    file = workspace / "outputs/evaluation/model-dropblock-0/run.json"
    file.write_text(json.dumps({"run_id": "gone", "model_uri": "models:/m-gone"}))
    with pytest.raises(UserError, match=r"models:/m-gone cannot be registered .*doctor"):
        register(params)


def test_an_alias_that_nothing_has_is_a_clear_error(workspace):
    with pytest.raises(UserError, match=r"no champion of digits-12345678 .*dvc repro"):
        tracking.Registry("digits", "123456789").uri("champion")


def test_each_networks_best_seed_stands_for_it(workspace, params):
    write_results(workspace, seeds=[0, 1, 2])
    train = params.train.model_copy(update={"seeds": [0, 1, 2]})
    metrics = load_metrics(params.model_copy(update={"train": train}), DIGEST)
    first, second = rank(metrics)
    assert {first["network"], second["network"]} == {"baseline", "resnet"}
    assert first["best_val_accuracy"] == metrics["best_val_accuracy"].max()
    of_second = metrics.query("network == @second['network']")["best_val_accuracy"]
    assert second["best_val_accuracy"] == of_second.max()


def test_the_logged_model_loads_again(workspace):
    _, uri = log_small_model()
    tracking.open_store()
    assert tracking.load_model(uri).predict(np.zeros((1, 4), np.uint8), verbose=0).shape == (1, 2)
