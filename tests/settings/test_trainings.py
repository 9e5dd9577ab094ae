import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import UserError
from pipeline.settings import trainings
from pipeline.settings.trainings import Training

TRAINING = Training("model", "dropblock", 0)
ROWS = [
    {
        "epoch": epoch, "seconds": 2.5, "pflop": 0.25, "learning_rate": 0.1 / 3, "keep_prob": 0.9,
        "image_size": 32,
        "train_loss": 1 / epoch, "train_accuracy": 0.1, "clean_train_loss": 2.0,
        "clean_train_accuracy": 0.2, "val_loss": 3.0, "val_accuracy": 0.3,
    }
    for epoch in (1, 2, 3)
]  # fmt: skip


def test_a_label_names_network_variant_and_seed():
    assert TRAINING.label == "model-dropblock-0"
    assert Training.parse("baseline-nodrop-12") == Training("baseline", "nodrop", 12)
    assert TRAINING.display_name == "resnet"
    assert TRAINING.title == "resnet-dropblock-0"
    assert Training.parse(TRAINING.title) == TRAINING


@pytest.mark.parametrize("label", ["model-0", "other-dropblock-0", "model-dropblock-x", "../a", ""])
def test_what_is_no_label_is_none(label):
    assert Training.parse(label) is None


def test_the_history_comes_back_to_the_last_digit(workspace):
    trainings.save_history(TRAINING, ROWS)
    pd.testing.assert_frame_equal(
        trainings.load_history(TRAINING, "val"), pd.DataFrame(ROWS), check_exact=True
    )


def test_a_labelled_history_tells_whose_it_is_and_when(workspace):
    labelled = trainings.label_history(pd.DataFrame(ROWS), TRAINING, "val")
    assert set(labelled["network"]) == {"resnet"}
    assert set(labelled["variant"]) == {"dropblock"}
    assert list(labelled["elapsed"]) == [2.5, 5.0, 7.5]
    np.testing.assert_array_equal(labelled["watched_loss"], [3.0] * 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("", "No columns"),
        ("epoch,seconds\n1,2\n", "no numeric column pflop"),
        ("a history that is none", "no numeric column epoch"),
    ],
)
def test_a_history_that_is_missing_or_garbled_is_named(workspace, content, reason):
    TRAINING.history_file.parent.mkdir(parents=True)
    if content is not None:
        TRAINING.history_file.write_text(content)
    with pytest.raises(UserError, match=f"model-dropblock-0.csv cannot be read .*{reason}"):
        trainings.load_history(TRAINING, "val")


def test_text_in_place_of_a_number_is_named(workspace):
    trainings.save_history(TRAINING, [{**ROWS[0], "val_loss": "three"}])
    with pytest.raises(UserError, match="no numeric column val_loss"):
        trainings.load_history(TRAINING, "val")


def test_facts_of_other_data_are_refused(workspace):
    with pytest.raises(UserError, match="cannot be read"):
        trainings.load_facts(TRAINING, "new-data")
    trainings.save_facts(TRAINING, {"digest": "old-data"})
    with pytest.raises(UserError, match="it has no training"):
        trainings.load_facts(TRAINING, "old-data")
    needed = dict.fromkeys(("training", "watched", "name"), "x")
    trainings.save_facts(TRAINING, {**needed, "digest": "old-data", "epochs": 3})
    assert trainings.load_facts(TRAINING, "old-data")["epochs"] == 3
    with pytest.raises(UserError, match=r"was trained on data old-data, .* holds new-data"):
        trainings.load_facts(TRAINING, "new-data")
