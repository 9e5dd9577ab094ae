import pandas as pd

from pipeline.stages.evaluate import best_epoch, flatten


def test_the_best_epoch_is_the_first_with_the_highest_accuracy_and_lowest_loss():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4, 5],
            "val_accuracy": [0.5, 0.8, 0.8, 0.8, 0.7],
            "val_loss": [0.1, 0.6, 0.4, 0.4, 0.2],
        }
    )
    assert best_epoch(history)["epoch"] == 3


def test_names_for_mlflow_do_not_collide_with_the_curves():
    scores = {"best": {"test": {"loss": 1.0}, "val": {"loss": 2.0}}, "last": {"test": {"loss": 3}}}
    assert flatten(scores) == {
        "test_loss": 1.0,
        "scores/best_val_loss": 2.0,
        "scores/last_test_loss": 3,
    }
