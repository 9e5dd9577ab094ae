import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import plots


def test_dropped_units_are_black_and_kept_ones_are_not():
    mask = np.ones((8, 8, 4), np.float32)
    mask[2:5, 3:6, 1] = 0
    row = {"layer": "block1_dropblock", "map": "8x8", "block_size": 3, "measured": 0.035}
    figure = plots.plot_masks({"resnet": ([row], {"block1_dropblock": mask})})
    picture = figure.axes[0].images[0].get_array()
    second = picture[1:9, 11:19]  # channels 0 and 1 side by side, framed
    np.testing.assert_array_equal(second == 0, mask[..., 1] == 0)
    assert "3x3 blocks, 3.5 % dropped" in figure.axes[0].get_title()


def test_each_network_has_a_colour_of_its_own():
    found = plots.colours()
    assert {"baseline", "resnet"} <= set(found)
    assert len(set(found.values())) == len(found)


def test_what_a_layer_drops_is_said_in_words():
    masks = {f"block{i}_dropblock": np.ones((4, 4, 4), np.float32) for i in (1, 2)}
    rows = [{"layer": layer, "map": "4x4", "block_size": size, "measured": 0.1}
            for layer, size in zip(masks, (1, None), strict=True)]  # fmt: skip
    titles = [axis.get_title() for axis in plots.plot_masks({"resnet": (rows, masks)}).axes]
    assert titles[0].endswith("single units, 10.0 % dropped")
    assert titles[1].endswith("nothing dropped: block too large")


def test_confusion_matrices_are_equally_large():
    shares = pd.DataFrame(100 * np.eye(20), index=[*"abcdefghijklmnopqrst"])
    figure = plots.plot_confusion(dict.fromkeys(["one", "two", "three"], shares))
    figure.draw_without_rendering()
    *matrices, _ = (axis.get_position().width for axis in figure.axes)
    assert len(matrices) == 3
    assert matrices == pytest.approx([matrices[0]] * 3)


def test_the_confusion_of_hundreds_of_classes_is_a_figure_of_usual_size():
    names = [f"class {number}" for number in range(300)]
    shares = pd.DataFrame(100 * np.eye(300), index=names, columns=names)
    width, height = plots.plot_confusion({"one": shares, "other": shares}).get_size_inches()
    assert width < 31
    assert height < 17
