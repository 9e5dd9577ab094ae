import pytest

from pipeline.reporting.sections.overview import key_table, plot_accuracy


def test_the_table_has_the_few_figures_to_know_first(loaded):
    one = loaded.of("dropblock")
    table = key_table(one)
    accuracy = 100 * one.of_network("resnet")["best_test_accuracy"]
    expected = f"{accuracy.mean():.1f} ± {accuracy.std(ddof=1):.1f}"
    assert table.loc["test accuracy, %", "resnet"] == expected
    cost = ["parameters", "training compute, PFLOP", "minutes of training"]
    assert table.loc[cost, "baseline"].tolist() == ["1,000", "0.0030", "0.1"]
    assert len(table) <= 6


def test_the_figure_draws_the_means_of_each_epoch(loaded):
    one = loaded.of("dropblock")
    axis = plot_accuracy(one.history, "val").axes[0]
    means = one.history[one.history["network"] == "baseline"].groupby("epoch")["watched_accuracy"]
    drawn = [list(line.get_ydata()) for line in axis.lines]
    assert pytest.approx(list(100 * means.mean())) in drawn
