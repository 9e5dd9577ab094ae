import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from pipeline import figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def classes(differences, significant):
    names = [f"class {i}" for i in range(len(differences))]
    table = pd.DataFrame({"class": names, "difference": differences, "significant": significant})
    return table.sort_values("difference", ignore_index=True)


def test_each_classs_bar_stands_at_its_name_in_the_better_networks_colour():
    table = classes([3.0, -2.0, 0.5, -7.0], [True, False, False, True])
    axis = figures.plot_class_difference(table).axes[0]
    labels = {tick: label.get_text() for tick, label in zip(axis.get_yticks(),
              axis.get_yticklabels(), strict=True)}  # fmt: skip
    bars = {labels[round(b.get_y() + b.get_height() / 2)]: b for b in axis.patches}
    for row in table.itertuples(index=False):
        bar = bars[row[0]]
        assert bar.get_width() == row.difference
        name = "resnet" if row.difference > 0 else "baseline"
        assert to_rgb(bar.get_facecolor()) == pytest.approx(figures.COLOURS[name])
        assert (bar.get_alpha() == 1) == row.significant


def test_of_a_hundred_classes_only_the_ends_of_the_ranking_are_drawn():
    table = classes(np.linspace(-9, 9, 100), [False] * 100)
    axis = figures.plot_class_difference(table).axes[0]
    shown = [label.get_text() for label in axis.get_yticklabels()]
    assert shown == [f"class {i}" for i in [*range(15), *range(85, 100)]]


def test_dropped_units_are_black_and_kept_ones_are_not():
    mask = np.ones((8, 8, 4), np.float32)
    mask[2:5, 3:6, 1] = 0
    row = {"layer": "block1_dropblock", "map": "8x8", "block_size": 3, "measured": 0.035}
    figure = figures.plot_masks({"resnet": ([row], {"block1_dropblock": mask})})
    picture = figure.axes[0].images[0].get_array()
    second = picture[1:9, 11:19]  # channels 0 and 1 side by side, framed
    np.testing.assert_array_equal(second == 0, mask[..., 1] == 0)
    assert "3 block, 3.5 % dropped" in figure.axes[0].get_title()


def test_points_of_experiments_stand_at_their_value_with_their_interval():
    table = pd.DataFrame(
        {
            "network": ["baseline", "resnet", "baseline", "resnet"], "block": ["1", "1", "5", "5"],
            "accuracy": [40.0, 50.0, 40.0, 55.0], "low": [39.0, 48.0, 39.0, 54.0],
            "high": [41.0, 51.0, 41.0, 57.0],
        }
    )  # fmt: skip
    axis = figures.plot_experiments(table, "block").axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "5"]
    resnet = axis.containers[1]
    x, y = resnet.lines[0].get_data()
    assert [round(place) for place in x] == [0, 1]
    assert list(y) == [50, 55]
    (segments,) = resnet.lines[2]
    assert [s[:, 1].tolist() for s in segments.get_segments()] == [[48, 51], [54, 57]]


def test_a_single_experiment_stands_in_the_middle():
    row = {"block": "5", "low": 48.0, "accuracy": 50.0, "high": 51.0}
    table = pd.DataFrame([{"network": name, **row} for name in ("baseline", "resnet")])
    axis = figures.plot_experiments(table, "block").axes[0]
    assert axis.get_xlim() == (-0.5, 0.5)
    places = [container.lines[0].get_xdata()[0] for container in axis.containers]
    assert np.mean(places) == pytest.approx(0)
