import subprocess
import sys

import keras
import numpy as np
import pytest
from scipy.special import softmax

from pipeline.core.errors import UserError
from pipeline.evaluation import outputs
from pipeline.networks.shared.models import load_network
from pipeline.stages.evaluate import evaluate
from pipeline.stages.train import train
from tests.conftest import REPOSITORY, checked, quick_params
from tests.made_up_results import write_models, write_results
from tests.stages.conftest import SMALL


def test_a_training_is_scored_on_all_images_and_its_checkpoint_discarded(
    setup, workspace, monkeypatch
):
    training, prepared = setup.training, setup.prepared
    train(setup.params, training)
    evaluate(setup.params, training)  # by hand: DVC has not recorded the training yet
    assert [path for path in (workspace / ".training").iterdir() if path.is_dir()]
    monkeypatch.setenv("DVC_STAGE", f"evaluate@{training}")
    said = evaluate(setup.params, training)
    metrics = outputs.load_metrics(training, prepared.digest)
    accuracy, loss = metrics["best_test_accuracy"], metrics["best_test_loss"]
    assert said == f"{setup.name}: test accuracy {100 * accuracy:.2f} %, loss {loss:.3f}"
    log_probabilities, test = outputs.load_predictions(training)
    hits = log_probabilities.argmax(axis=1) == prepared["test"]["label"]
    assert accuracy == pytest.approx(hits.mean())
    np.testing.assert_allclose(np.exp(log_probabilities).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(test.labels, prepared["test"]["label"])
    assert metrics["pflop"] > 0
    assert (metrics["training"], metrics["name"]) == (setup.identity, setup.name)
    # The training score is over all training images, not over a sample.
    model = load_network(training.models_folder / "best.keras")
    predicted = model.predict(prepared["train"]["image"].astype(np.float32), verbose=0)
    right = predicted.argmax(axis=1) == prepared["train"]["label"]
    assert metrics["best_train_accuracy"] == pytest.approx(right.mean())
    assert not [path for path in (workspace / ".training").iterdir() if path.is_dir()]


@pytest.mark.slow
def test_without_the_test_images_validation_is_scored_also_mirrored(setup):
    training = setup.training
    train(setup.params, training)
    evaluate(checked(**SMALL, **{"evaluate.test": False, "evaluate.flip": True}), training)
    metrics = outputs.load_metrics(training, setup.prepared.digest)
    assert metrics["scored"] == "val"
    assert not [key for key in metrics if "_test_" in key]

    validation = setup.prepared["val"]
    log_probabilities, images = outputs.load_predictions(training)
    np.testing.assert_array_equal(images.labels, validation["label"])
    model = load_network(training.models_folder / "best.keras")
    mirrored = model.predict(validation["image"][:, :, ::-1].astype(np.float32), verbose=0)
    both = np.exp(log_probabilities) + softmax(mirrored, axis=1)
    hits = both.argmax(axis=1) == validation["label"]
    assert metrics["best_val_flip_accuracy"] == pytest.approx(hits.mean())

    evaluate(setup.params, training)  # again, with the test images
    assert "best_test_accuracy" in outputs.load_metrics(training, setup.prepared.digest)


@pytest.mark.slow
def test_a_training_of_other_data_is_refused(setup):
    train(setup.params, setup.training)
    facts = setup.training.facts_file
    facts.write_text(facts.read_text().replace(setup.prepared.digest, "f00d" * 16))
    with pytest.raises(UserError, match="trained on data f00df00df00d, but data/prepared holds "):
        evaluate(setup.params, setup.training)


@pytest.mark.slow
def test_too_little_memory_names_the_way_out(setup, monkeypatch):
    def allocate_too_much(*args, **kwargs):
        raise MemoryError

    train(setup.params, setup.training)
    monkeypatch.setattr(keras.Model, "predict", allocate_too_much)
    with pytest.raises(UserError, match=r"out of memory with evaluate.batch_size = 500; use a"):
        evaluate(setup.params, setup.training)


RUN = """
import sys
from pipeline.__main__ import main

assert main(sys.argv[1:]) == 0
print({name.partition(".")[0] for name in sys.modules} & {"mlflow", "dvc", "tensorflow"})
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "loaded"),
    [
        (["prepare"], "set()"),
        (["evaluate", "resnet-dropblock-0"], "{'tensorflow'}"),
        (["report"], "set()"),
    ],
)
def test_a_stage_loads_no_more_than_it_needs(workspace, command, loaded):
    """Above all not MLflow: these are functions of their files."""
    write_results(workspace, seeds=[0])
    write_models(workspace)
    (workspace / "params.yaml").write_text(quick_params())
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command], cwd=workspace, capture_output=True, text=True,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/bin", "CUDA_VISIBLE_DEVICES": "-1",
             "DVC_STAGE": "as DVC runs it"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == loaded
