import numpy as np
import pytest

from pipeline.reporting import setting_plots
from pipeline.reporting.contrasts import contrast
from tests.made_up_experiments import counts, experiment

X = "drop_block_size"


def test_numbers_stand_to_scale_and_off_at_zero(varied):
    off = experiment("off", counts(430, 5), conv_keep_end=1.0)
    axis = setting_plots.plot_settings(contrast([*varied, off], None).settings, X).axes[0]
    places = dict(zip([t.get_text() for t in axis.get_xticklabels()], axis.get_xticks(),
                      strict=True))  # fmt: skip
    assert places == {"off": 0, "1": 1, "5": 5, "11": 11}
    drawn = sorted((c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]) for c in axis.containers)
    assert [x for x, _ in drawn] == pytest.approx([0, 1, 5, 11], abs=0.15)
    assert drawn[1][1] == pytest.approx(np.mean(list(counts(400, 2).values())) / 10)


def test_the_same_baseline_is_one_line_across(varied):
    figure = setting_plots.plot_settings(contrast(varied, None).settings, X)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["baseline (as in the reference)", "resnet"]
    assert len(figure.axes[0].containers) == 3


def test_a_point_with_another_number_of_seeds_than_most_says_how_many(varied):
    few = experiment("block-3", counts(440, 6, seeds=[0, 1]), drop_block_size=3)
    axis = setting_plots.plot_settings(contrast([*varied, few], None).settings, X).axes[0]
    assert sorted(t.get_text() for t in axis.texts) == ["2 seeds"]
    assert not setting_plots.plot_settings(contrast(varied, None).settings, X).axes[0].texts


def test_wide_ranges_are_on_a_logarithmic_axis():
    rates = [experiment(f"r{i}", counts(400, i), width=w) for i, w in enumerate([0.01, 0.1, 1.0])]
    axis = setting_plots.plot_settings(contrast(rates, None).settings, "width").axes[0]
    assert axis.get_xscale() == "log"


def test_the_figure_of_contrasts_shows_each_seed_and_the_interval(varied):
    family = contrast(varied, None).family
    axis = setting_plots.plot_contrasts(family).axes[0]
    seeds = [line for line in axis.lines if line.get_marker() == "|" and len(line.get_xdata()) == 6]
    shown = sorted(seeds[0].get_xdata())
    assert shown == pytest.approx(sorted(100 * d for d in family[0].by_seed.values()))
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels[0] == "resnet: drop_block_size 1\n(6 seeds, adjusted p 0.031)"


def test_a_long_label_leaves_room_for_the_differences(varied):
    changes = {"model.learning_rate": 0.634, "model.muon_learning_rate": 0.041,
               "model.muon_momentum": 0.644, "model.weight_decay": 0.00388}  # fmt: skip
    many = experiment("many", counts(440, 6), changes=changes)
    figure = setting_plots.plot_contrasts(contrast([varied[0], many], None).family)
    figure.draw_without_rendering()
    axis = figure.axes[0]
    assert "\n" in axis.get_yticklabels()[0].get_text().split("(6 seeds")[0].strip()
    assert axis.get_window_extent().width > 0.4 * figure.bbox.width


def test_words_and_numbers_are_sorted(varied):
    axis = setting_plots.plot_settings(contrast(varied, None).settings, X).axes[0]
    places = setting_plots.scale(["b", "-", "5", "a", "1"], axis)
    assert sorted(places, key=places.get) == ["1", "5", "-", "a", "b"]
