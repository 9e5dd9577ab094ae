import pandas as pd
import pytest

from pipeline.reporting.sections.generalisation import gap_table, plot_gap


def test_the_gap_is_training_minus_test(loaded):
    one = loaded.of("dropblock")
    rows = one.of_network("resnet")
    gaps = 100 * (rows["best_train_accuracy"] - rows["best_test_accuracy"])
    shown = gap_table(one).loc["accuracy, training minus test, points", "resnet"]
    assert shown == f"{gaps.mean():.1f} ± {gaps.std():.1f}"


def test_the_figure_draws_the_gap_of_each_epoch():
    history = pd.DataFrame(
        {
            "network": "resnet", "epoch": [1, 2], "clean_train_accuracy": [0.3, 0.6],
            "watched_accuracy": [0.25, 0.4],
        }
    )  # fmt: skip
    axis = plot_gap(history, "val").axes[0]
    assert list(axis.lines[0].get_ydata()) == pytest.approx([5, 20])
    assert "validation" in axis.get_ylabel()
