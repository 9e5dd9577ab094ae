from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.reporting.curves import COMPUTE, EPOCH, draw_curves


def results_of(seeds, watched="val", **columns):
    """A history of two epochs per seed, for one network."""
    rows = [
        {"network": "resnet", "seed": seed, "epoch": epoch, "pflop": epoch / 1e4,
         "train_accuracy": 0.5, "clean_train_accuracy": accuracy, "watched_accuracy": accuracy,
         "train_loss": 1.0, "clean_train_loss": 1.0, "watched_loss": 1.0}
        for seed, accuracies in seeds.items()
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]  # fmt: skip
    return SimpleNamespace(history=pd.DataFrame(rows).assign(**columns), watched=watched)


def test_a_curve_is_the_mean_over_the_seeds_in_a_band_from_the_lowest_to_the_highest():
    (drawing,) = draw_curves(results_of({0: [0.1, 0.5], 1: [0.3, 0.6]}), "accuracy", EPOCH)
    axis = drawing.figure.axes[0]
    assert [line.get_label() for line in axis.lines] == [
        "resnet, validation", "resnet, training, clean",
    ]  # fmt: skip
    np.testing.assert_allclose(axis.lines[0].get_xydata(), [[1, 20], [2, 55]])
    edges = {tuple(point) for point in np.round(axis.collections[0].get_paths()[0].vertices, 6)}
    assert edges == {(1, 10), (1, 30), (2, 50), (2, 60)}
    assert axis.get_ylabel() == "accuracy, %"


def test_a_reading_has_the_values_of_all_curves_at_an_epoch():
    (drawing,) = draw_curves(results_of({0: [0.1, 0.5], 1: [0.3, 0.5]}), "accuracy", EPOCH)
    assert [reading.lines for reading in drawing.readings] == [
        ["epoch 1", "resnet, validation: 20 (10 to 30)", "resnet, training, clean: 20 (10 to 30)"],
        ["epoch 2", "resnet, validation: 50", "resnet, training, clean: 50"],
    ]


def test_compute_has_the_unit_of_its_size():
    (drawing,) = draw_curves(results_of({0: [0.1, 0.5]}), "accuracy", COMPUTE)
    axis = drawing.figure.axes[0]
    np.testing.assert_allclose(axis.lines[0].get_xdata(), [1e11, 2e11])
    assert axis.xaxis.get_major_formatter()(2e11) == "200 GFLOP"
    assert drawing.readings[1].lines[0] == "200 GFLOP, epoch 2"


def test_a_curve_ends_where_the_first_seed_stops():
    results = results_of({0: [0.1, 0.5], 1: [0.3, 0.6, 0.9]})
    (drawing,) = draw_curves(results, "accuracy", EPOCH)
    np.testing.assert_allclose(drawing.figure.axes[0].lines[0].get_xydata(), [[1, 20], [2, 55]])


def test_nothing_is_drawn_of_a_single_epoch():
    assert draw_curves(results_of({0: [0.5], 1: [0.6]}), "accuracy", EPOCH) == []


def test_without_a_watched_split_the_training_images_are_drawn():
    (drawing,) = draw_curves(results_of({0: [0.1, 0.5]}, watched=None), "accuracy", EPOCH)
    (line,) = drawing.figure.axes[0].lines
    assert line.get_label() == "resnet, training, augmented"
    np.testing.assert_allclose(line.get_ydata(), [50, 50])


@pytest.mark.parametrize(("peak", "top"), [(74.0, 5.0), (4.0, 4.15)])
def test_a_high_peak_does_not_press_the_other_losses_flat(peak, top):
    losses = {"train_loss": [2.5, 1.0], "watched_loss": [peak, 1.0]}
    (drawing,) = draw_curves(results_of({0: [0.5, 0.5]}, **losses), "loss", EPOCH)
    axis = drawing.figure.axes[0]
    assert axis.get_ylim() == (0, pytest.approx(top, rel=0.01))
    assert bool(axis.get_title()) == (peak > 10)
