import json

import pytest
from pipeline.stages.register import choose_champion, rank

from pipeline.core.errors import UserError
from pipeline.evaluation.outputs import metrics_table, save_logged_model
from pipeline.settings.trainings import Training
from pipeline.tracking.registry import Registry
from tests.conftest import with_train
from tests.made_up_results import DIGEST, write_results
from tests.small_model import log_small_model


@pytest.fixture
def results(workspace, store):
    """Results of both networks with models in the store; returns a setter of accuracies."""
    write_results(workspace, seeds=[0])
    run_id, uri = log_small_model()

    def set_accuracy(**accuracies):
        for network, accuracy in accuracies.items():
            folder = workspace / f"outputs/evaluation/{network}-dropblock-0"
            metrics = json.loads((folder / "metrics.json").read_text())
            metrics["scores"]["best"]["val"] = {"accuracy": accuracy, "loss": 1.0}
            (folder / "metrics.json").write_text(json.dumps(metrics))
            save_logged_model(Training(network, "dropblock", 0), run_id, uri)

    return set_accuracy


def aliases():
    registry = Registry("digits", DIGEST)
    found = {alias: registry.find(alias) for alias in ("champion", "challenger")}
    return {alias: version and version.tags["run_name"] for alias, version in found.items()}


def test_the_better_network_by_validation_accuracy_is_champion(results, params):
    results(baseline=0.6, model=0.7)
    assert "model-dropblock-0 is champion of digits-d1d1d1d1" in choose_champion(params)
    assert aliases() == {"champion": "model-dropblock-0", "challenger": "baseline-dropblock-0"}


def test_only_a_better_one_takes_the_champions_place(results, params):
    results(baseline=0.6, model=0.7)
    choose_champion(params)
    results(baseline=0.7, model=0.65)
    assert "model-dropblock-0 stays champion" in choose_champion(params)
    assert aliases() == {"champion": "model-dropblock-0", "challenger": "baseline-dropblock-0"}
    results(baseline=0.71)
    assert "baseline-dropblock-0 is champion" in choose_champion(params)
    assert aliases() == {"champion": "baseline-dropblock-0", "challenger": "model-dropblock-0"}


def test_the_test_set_never_chooses(workspace, params):
    write_results(workspace, seeds=[0], watched="test")
    assert "no champion where the test images chose the epoch" in choose_champion(params)


def test_a_recipe_that_is_only_tried_has_no_champion(workspace, params):
    write_results(workspace, seeds=[0], scored="val")
    assert "no champion without test scores" in choose_champion(params)


def test_where_all_images_were_trained_on_the_test_accuracy_decides_and_that_is_said(
    workspace, store, params
):
    write_results(workspace, seeds=[0], watched=None)
    for network in ("baseline", "model"):
        save_logged_model(Training(network, "dropblock", 0), *log_small_model())
    metrics = metrics_table(params.trainings, DIGEST)
    best = metrics.sort_values("best_test_accuracy").iloc[-1]
    said = choose_champion(params)
    assert f"{best['name']} is champion of digits-d1d1d1d1: test accuracy" in said
    champion = Registry("digits", DIGEST).find("champion")
    assert champion.tags["chosen_by"] == "test accuracy"
    assert "val_accuracy" not in champion.tags


def test_a_model_that_the_store_lost_is_a_clear_error(results, params):
    results(baseline=0.6, model=0.7)
    save_logged_model(Training("model", "dropblock", 0), "gone", "models:/m-gone")
    with pytest.raises(UserError, match=r"models:/m-gone cannot be registered .*doctor"):
        choose_champion(params)


def test_each_networks_best_seed_stands_for_it(workspace, params):
    write_results(workspace, seeds=[0, 1, 2])
    metrics = metrics_table(with_train(params, seeds=[0, 1, 2]).trainings, DIGEST)
    first, second = rank(metrics)
    assert {first["network"], second["network"]} == {"baseline", "resnet"}
    assert first["best_val_accuracy"] == metrics["best_val_accuracy"].max()
    of_second = metrics.query("network == @second['network']")["best_val_accuracy"]
    assert second["best_val_accuracy"] == of_second.max()


def test_a_network_alone_is_champion_without_a_challenger(results, params):
    results(baseline=0.6, model=0.7)
    said = choose_champion(with_train(params, networks=["baseline"]))
    assert said.startswith("baseline-dropblock-0 is champion")
    assert "challenger" not in said
    assert aliases() == {"champion": "baseline-dropblock-0", "challenger": None}
