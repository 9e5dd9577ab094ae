import json
from types import SimpleNamespace

import pandas as pd
import pytest

from pipeline import evaluation
from pipeline.errors import UserError


def test_the_best_epoch_is_the_first_with_the_highest_accuracy_and_lowest_loss():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4, 5],
            "val_accuracy": [0.5, 0.8, 0.8, 0.8, 0.7],
            "val_loss": [0.1, 0.6, 0.4, 0.4, 0.2],
        }
    )
    assert evaluation.best_epoch(history)["epoch"] == 3


def test_names_for_mlflow_do_not_collide_with_the_curves():
    scores = {"best": {"test": {"loss": 1.0}, "val": {"loss": 2.0}}, "last": {"test": {"loss": 3}}}
    assert evaluation.flatten(scores) == {
        "test_loss": 1.0,
        "scores/best_val_loss": 2.0,
        "scores/last_test_loss": 3,
    }


def test_a_training_on_other_data_is_refused(tmp_path):
    prepared = SimpleNamespace(metadata={"digest": "new-data"})
    file = tmp_path / "model-dropblock-0.json"
    with pytest.raises(UserError, match="cannot be read"):
        evaluation.read_facts(file, prepared)
    file.write_text(json.dumps({"digest": "old-data"}))
    with pytest.raises(UserError, match=r"was trained on data old-data, .* holds new-data"):
        evaluation.read_facts(file, prepared)
