import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from pipeline.evaluation.plots import colours
from pipeline.reporting.sections.classes import (
    confusions,
    describe_classes,
    describe_shown,
    plot_class_difference,
)
from tests.reporting.conftest import predicting, results_of


def test_confusions_are_shares_of_the_actual_class_beside_the_other_networks():
    labels = [0, 0, 0, 0, 1, 1, 2, 2]
    results = results_of(
        {
            ("baseline", "dropblock", 0): predicting([0, 0, 0, 1, 1, 1, 2, 2]),
            ("resnet", "dropblock", 0): predicting([0, 1, 1, 2, 1, 0, 2, 2]),
        },
        labels,
    )
    table = confusions(results, "resnet", most=10)
    found = {row[0] + row[1]: tuple(row[2:]) for row in table.itertuples(name=None)}
    assert found == {"ab": (50, 25), "ba": (50, 0), "ac": (25, 0)}
    assert table["resnet, %"].is_monotonic_decreasing
    assert len(confusions(results, "resnet", most=1)) == 1


def classes(differences, significant):
    names = [f"class {i}" for i in range(len(differences))]
    table = pd.DataFrame({"class": names, "difference": differences, "significant": significant})
    return table.sort_values("difference", ignore_index=True)


def test_each_classs_bar_stands_at_its_name_in_the_better_networks_colour():
    table = classes([3.0, -2.0, 0.5, -7.0], [True, False, False, True])
    axis = plot_class_difference(table, "baseline", "resnet").axes[0]
    labels = {tick: label.get_text() for tick, label in zip(axis.get_yticks(),
              axis.get_yticklabels(), strict=True)}  # fmt: skip
    bars = {labels[round(b.get_y() + b.get_height() / 2)]: b for b in axis.patches}
    for row in table.itertuples(index=False):
        bar = bars[row[0]]
        assert bar.get_width() == row.difference
        name = "resnet" if row.difference > 0 else "baseline"
        assert to_rgb(bar.get_facecolor()) == pytest.approx(colours()[name])
        assert (bar.get_alpha() == 1) == row.significant


def test_of_a_hundred_classes_only_the_ends_of_the_ranking_are_drawn():
    table = classes(np.linspace(-9, 9, 100), [False] * 100)
    axis = plot_class_difference(table, "baseline", "resnet").axes[0]
    shown = [label.get_text() for label in axis.get_yticklabels()]
    assert shown == [f"class {i}" for i in [*range(15), *range(85, 100)]]
    assert axis.get_title() == "30 of 100 classes: the ends of the ranking"


def test_a_class_goes_to_the_network_that_is_better_on_more_of_its_images():
    table = classes([-1.0, 2.0, 3.0], [True, True, False])  # many small gains, few large losses
    table = table.assign(better=[14, 15, 2], worse=[3, 4, 1])
    said = describe_classes(table, "baseline", "resnet")
    expected = "Of 3 classes, the resnet is better by more than chance in 2 and the baseline in 0 ("
    assert said.startswith(expected)


def test_what_the_figure_leaves_out_is_said_with_how_many_of_it_differ():
    table = classes(np.linspace(-9, 9, 100), [i < 43 for i in range(100)])
    assert "the 70 between them are left out, 28 of which differ" in describe_shown(table)
    assert describe_shown(table.head(30)) == ""
