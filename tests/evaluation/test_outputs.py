import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.evaluation import outputs
from pipeline.settings.trainings import Training
from tests.conftest import Evil, truncate

TRAINING = Training("model", "dropblock", 0)
SCORES = {"best": {"test": {"accuracy": 0.5, "loss": 1.5}}, "last": {"val": {"accuracy": 0.25}}}
GROUPS = np.array([4, 4, 5, 6, 6])
TEST = outputs.EvaluationSet(
    labels=np.array([0, 1, 2, 0, 1]),
    groups=GROUPS,
    of_training=np.array([False, False, True, False, False]),
)


@pytest.fixture
def saved(workspace):
    """What `evaluate` leaves of a training."""
    predictions = np.log(np.full((5, 3), 1 / 3, np.float32))
    outputs.save_metrics(TRAINING, {"digest": "d1", "epochs": 3}, SCORES)
    outputs.save_predictions(TRAINING, predictions, TEST)
    outputs.save_masks(TRAINING, {"block1": np.ones((8, 8, 4))})
    return predictions


def test_all_comes_back_as_it_was_saved(saved):
    metrics = outputs.load_metrics(TRAINING, "d1")
    assert metrics["best_test_accuracy"] == 0.5
    assert metrics["last_val_accuracy"] == 0.25
    assert metrics["epochs"] == 3
    log_probabilities, test = outputs.load_predictions(TRAINING)
    np.testing.assert_array_equal(log_probabilities, saved)
    for name, array in vars(TEST).items():
        np.testing.assert_array_equal(getattr(test, name), array)
    assert outputs.load_masks(TRAINING)["block1"].shape == (8, 8, 4)


def test_a_table_of_trainings_has_the_names_for_people(saved):
    table = outputs.metrics_table([TRAINING], "d1")
    assert table.loc[0, "network"] == "resnet"


def test_the_table_of_a_training_has_all_scores(saved):
    table = outputs.scores_table(TRAINING).set_index(["weights", "images"])
    assert table.loc[("best", "test")].to_dict() == SCORES["best"]["test"]
    assert table.loc[("last", "val"), "accuracy"] == 0.25
    assert len(table) == 2


def test_unique_images_are_the_first_of_each_group_that_training_does_not_have():
    assert TEST.unique.tolist() == [True, False, False, True, False]


def test_metrics_of_other_data_are_refused(saved):
    with pytest.raises(UserError, match=r"belongs to other data .*digest d1, not d2"):
        outputs.load_metrics(TRAINING, "d2")


DAMAGES = {
    "metrics damaged": ("metrics.json", lambda f: f.write_text("{"), "metrics.json cannot be read"),
    "metrics of something else": ("metrics.json", lambda f: f.write_text("{}"), "has no digest"),
    "predictions missing": ("predictions.npz", lambda f: f.unlink(), "No such file"),
    "predictions cut off": ("predictions.npz", lambda f: truncate(f, 50), "predictions.npz cannot"),
    "predictions of something else": (
        "predictions.npz", lambda f: np.savez(f, a=np.ones(3)), "log_probabilities",
    ),
    "predictions that are a pickle": (
        "predictions.npz",
        lambda f: np.savez(f, log_probabilities=np.array([Evil()], object)),
        "Object arrays cannot be loaded",
    ),
    "masks empty": ("masks.npz", lambda f: f.write_bytes(b""), "masks.npz cannot be read"),
    "masks missing": ("masks.npz", lambda f: f.unlink(), "masks.npz cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_what_is_missing_or_damaged_is_named_with_the_way_out(saved, capsys, case):
    name, damage, message = DAMAGES[case]
    damage(TRAINING.evaluation_folder / name)
    load = {
        "metrics.json": lambda: outputs.load_metrics(TRAINING, "d1"),
        "predictions.npz": lambda: outputs.load_predictions(TRAINING),
        "masks.npz": lambda: outputs.load_masks(TRAINING),
    }
    with pytest.raises(UserError, match=message) as caught:
        load[name]()
    assert "run `dvc repro`" in str(caught.value)
    assert "owned" not in capsys.readouterr().out
