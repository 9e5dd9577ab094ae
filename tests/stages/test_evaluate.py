import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from pipeline.evaluation import outputs
from pipeline.networks.shared.models import load_network
from pipeline.settings.trainings import load_facts
from pipeline.stages.evaluate import Outcome, evaluate, scores_table, single_scores
from pipeline.stages.train import train
from pipeline.tracking.views import COLUMNS, SECTIONS
from pipeline.training.loop import best_row


def test_the_best_epoch_is_the_first_with_the_highest_accuracy_and_lowest_loss():
    history = pd.DataFrame(
        {
            "epoch": [0, 1, 2, 3, 4, 5],
            "image_size": [20, 32, 32, 32, 32, 32],
            "val_accuracy": [0.9, 0.5, 0.8, 0.8, 0.8, 0.7],
            "val_loss": [0.1, 0.1, 0.6, 0.4, 0.4, 0.2],
        }
    )
    assert best_row(history.to_dict("records"), "val")["epoch"] == 3  # 0 is of small images


SCORES = {"best": {"test": {"loss": 1.0}, "val": {"loss": 2.0}}, "last": {"test": {"loss": 3.0}}}


def test_single_numbers_are_few_and_do_not_collide_with_the_curves():
    metrics = {"epochs": 5, "best_epoch": 4, "training_seconds": 90.0}
    assert single_scores(Outcome(metrics, SCORES, np.array([]), {})) == {
        "test_loss": 1.0, "training_epochs": 5, "training_best_epoch": 4, "training_minutes": 1.5,
    }  # fmt: skip


def test_all_scores_stand_in_one_table():
    assert scores_table(SCORES).to_dict("records") == [
        {"weights": "best", "images": "test", "loss": 1.0},
        {"weights": "best", "images": "val", "loss": 2.0},
        {"weights": "last", "images": "test", "loss": 3.0},
    ]


def test_a_training_is_scored_and_its_run_extended(training, store, workspace):
    train(training)
    training, prepared = training.training, training.prepared
    evaluate(training.params, training)
    metrics = outputs.load_metrics(training, prepared.digest)
    log_probabilities, test = outputs.load_predictions(training)
    hits = log_probabilities.argmax(axis=1) == prepared["test"]["label"]
    assert metrics["best_test_accuracy"] == pytest.approx(hits.mean())
    np.testing.assert_allclose(np.exp(log_probabilities).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(test.labels, prepared["test"]["label"])
    assert metrics["pflop"] > 0
    # The training score is of all training images, not of a sample.
    model = load_network(training.models_folder / "best.keras")
    predicted = model.predict(prepared["train"]["image"].astype(np.float32), verbose=0)
    accuracy = (predicted.argmax(axis=1) == prepared["train"]["label"]).mean()
    assert metrics["best_train_accuracy"] == pytest.approx(accuracy)

    tracked = outputs.load_logged_model(training)
    run = store.get_run(tracked["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_accuracy"] == metrics["best_test_accuracy"]
    artifacts = {item.path for item in store.list_artifacts(run.info.run_id, "figures")}
    assert "figures/learning_curves.png" in artifacts
    assert "scores.csv" in {item.path for item in store.list_artifacts(run.info.run_id)}
    assert not [name for name in run.data.metrics if "/" in name and not name.startswith("system/")]
    assert {i.dataset.name for i in run.inputs.dataset_inputs} == {
        "digits train", "digits validation", "digits test",
    }  # fmt: skip
    shown = {column.split("`")[1] for column in COLUMNS if column.startswith("metrics.")}
    shown |= {key for charts in SECTIONS.values() for _, _, keys in charts for key in keys}
    assert shown <= set(run.data.metrics)
    check_the_models_page(store.get_logged_model(tracked["model_uri"].rpartition("/")[2]), run)
    assert not [path for path in (workspace / ".training").iterdir() if path.is_dir()]


def test_without_the_test_images_validation_is_scored_also_mirrored(training, store, workspace):
    evaluated = training.params.evaluate.model_copy(update={"test": False, "flip": True})
    train(training)
    evaluate(training.params.model_copy(update={"evaluate": evaluated}), training.training)
    metrics = outputs.load_metrics(training.training, training.prepared.digest)
    assert metrics["scored"] == "val"
    assert not [key for key in metrics if "_test_" in key]
    run_id = outputs.load_logged_model(training.training)["run_id"]
    assert store.get_run(run_id).data.tags["evaluate.test"] == "False"

    validation = training.prepared["val"]
    log_probabilities, images = outputs.load_predictions(training.training)
    np.testing.assert_array_equal(images.labels, validation["label"])
    model = load_network(training.training.models_folder / "best.keras")
    mirrored = model.predict(validation["image"][:, :, ::-1].astype(np.float32), verbose=0)
    both = np.exp(log_probabilities) + softmax(mirrored, axis=1)
    hits = both.argmax(axis=1) == validation["label"]
    assert metrics["best_val_flip_accuracy"] == pytest.approx(hits.mean())

    evaluate(training.params, training.training)  # again, with the test images
    run = store.get_run(run_id).data
    assert run.tags["evaluate.test"] == "True" and "test_accuracy" in run.metrics


def check_the_models_page(model, run):
    """It says what the model is and how good on which images, and nothing of the machine."""
    assert model.name == run.info.run_name
    assert model.tags["mlflow.source.name"] == run.data.tags["mlflow.source.name"]
    assert "- Network: " in model.tags["mlflow.note.content"]
    of = {m.key: (m.dataset_name, m.value) for m in model.metrics}
    assert {name for name, _ in of.values()} == {"digits train", "digits validation", "digits test"}
    assert of["test_accuracy"] == ("digits test", run.data.metrics["test_accuracy"])
    assert of["val_loss"][0] == "digits validation"
    assert of["clean_train_accuracy"][0] == "digits train"
    assert not [key for key in of if key.startswith("system/")]


@pytest.mark.slow
def test_a_run_that_the_store_lost_is_made_anew_from_the_saved_history(training, store, capsys):
    train(training)
    lost = load_facts(training.training, training.digest)["run_id"]
    store.delete_run(lost)
    evaluate(training.params, training.training)
    assert f"MLflow has no run {lost}; made" in capsys.readouterr().out
    run = store.get_run(outputs.load_logged_model(training.training)["run_id"])
    assert run.data.tags["restored_from"] == lost
    assert [m.step for m in store.get_metric_history(run.info.run_id, "val_loss")] == [1, 2]
