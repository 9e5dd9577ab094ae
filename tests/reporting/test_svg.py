import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pipeline.reporting.section import Drawing, Reading
from pipeline.reporting.svg import embed


@pytest.fixture
def figure():
    figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
    axis.plot([0, 10], [0, 1], linewidth=3)
    axis.set(xlabel="epoch", xlim=(0, 10))
    axis.grid(visible=False)
    return figure


def test_a_figure_takes_the_pages_ink_and_can_be_scrolled_on_a_phone(figure):
    inline = embed(Drawing("a", figure, "A"))
    assert "currentColor" in inline and "#262626" not in inline and "#ffffff" not in inline
    assert '<figure style="width: 480px">' in inline and "min-width: 298px" in inline
    white = embed(Drawing("a", figure, "A", on_white=True))
    assert white.startswith('<figure class="white"') and "currentColor" not in white


def test_the_same_figure_gives_the_same_svg(figure):
    assert embed(Drawing("a", figure, "A")) == embed(Drawing("a", figure, "A"))


def test_each_reading_has_the_strip_of_the_plot_that_is_nearest_to_it(figure):
    readings = [Reading(1, ["epoch 1"]), Reading(2, ["epoch <2>"]), Reading(10, ["epoch 10"])]
    inline = embed(Drawing("a", figure, "A", readings=readings))
    strips = re.findall(r'"reading"><rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', inline)
    starts, widths = np.array(strips, float).T
    # The drawn line goes from x = 0 to x = 10.
    ends = re.search(r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+) [\d.]+ \n" clip-path', inline)
    left, right = map(float, ends.groups())
    expected = np.interp([0, 1.5, 6, 10], [0, 10], [left, right])
    np.testing.assert_allclose(starts, expected[:-1], atol=0.1)
    np.testing.assert_allclose(starts + widths, expected[1:], atol=0.1)
    assert [*re.findall(r"<tspan[^>]*>(.*?)</tspan>", inline)] == [
        "epoch 1", "epoch &lt;2&gt;", "epoch 10",
    ]  # fmt: skip
    assert "epoch 10" not in Drawing("a", figure, "A", readings=readings).svg


@pytest.mark.parametrize("place", [4.9, 5.1])
def test_a_long_reading_stays_inside_the_figure(figure, place):
    inline = embed(Drawing("a", figure, "A", readings=[Reading(place, ["x" * 60])]))
    (box,) = re.findall(r'/><rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', inline)
    x, width = map(float, box)
    assert x >= 0 and x + width <= 5 * 72 + 0.1
