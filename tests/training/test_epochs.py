import pytest

from pipeline.training.epochs import is_best, should_stop


def test_without_a_stopping_rule_training_goes_on():
    assert should_stop([1, 2, 3, 4, 5], None) is False


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ([1, 2, 3, 4], True),
        ([5, 1, 2, 3, 4], True),
        ([2, 3, 4], False),  # three losses rise only twice
        ([1, 2, 3, 3], False),  # equal is not rising
        ([1, 2, 3, 4, 3], False),
        ([1, 2, 1, 2, 3], False),
        ([], False),
    ],
)
def test_training_stops_after_strictly_rising_losses_in_a_row(losses, stops):
    assert should_stop(losses, 3) is stops


def test_an_epoch_of_small_images_is_never_the_best():
    small = {"image_size": 20, "val_accuracy": 0.9, "val_loss": 0.1}
    full = {"image_size": 32, "val_accuracy": 0.5, "val_loss": 1.0}
    assert is_best([small, full], "val")
    assert not is_best([full, small], "val")


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([(0.5, 1.0)], True),
        ([(0.5, 1.0), (0.6, 2.0)], True),
        ([(0.5, 1.0), (0.5, 0.9)], True),
        ([(0.5, 1.0), (0.5, 1.0)], False),
        ([(0.5, 1.0), (0.4, 0.1)], False),
    ],
)
def test_the_best_epoch_has_the_highest_validation_accuracy(rows, best):
    rows = [
        {"image_size": 32, "val_accuracy": accuracy, "val_loss": loss} for accuracy, loss in rows
    ]
    assert is_best(rows, "val") is best


def test_where_the_test_set_is_watched_the_last_epoch_is_kept():
    rows = [{"test_accuracy": a, "test_loss": 1.0} for a in (0.9, 0.1)]
    assert is_best(rows, "test")
