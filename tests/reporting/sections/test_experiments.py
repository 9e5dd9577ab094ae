import numpy as np
import pytest
from scipy import stats

from pipeline.reporting.contrasts import contrast
from pipeline.reporting.power import seeds_for
from pipeline.reporting.sections import experiments as section
from tests.reporting.test_contrasts import counts, experiment

X = "model.drop_block_size"


@pytest.fixture
def varied():
    return [
        experiment("this run", counts(460, 1)),
        experiment("block-1", counts(400, 2), drop_block_size=1),
        experiment("block-11", counts(461, 3), drop_block_size=11),
    ]


def test_only_the_params_that_differ_are_columns(varied):
    table = section.settings_table(contrast(varied, None).settings)
    assert list(table.columns) == [
        X, "experiments", "seeds", "test accuracy, %", "95 % interval",
    ]  # fmt: skip
    assert len(table.loc[["baseline"]]) == 1
    one = table.loc["resnet"].set_index(X).loc["1"]
    right = np.array(list(counts(400, 2).values())) / 10
    assert one["test accuracy, %"] == f"{right.mean():.1f}"
    bounds = stats.ttest_1samp(right, 0).confidence_interval(0.95)
    assert one["95 % interval"] == f"{bounds.low:.1f} to {bounds.high:.1f}"


def test_the_contrasts_table_has_each_seeds_difference(varied):
    table = section.contrast_table(contrast(varied, None).family)
    row = table.loc["resnet: drop_block_size 1"]
    one, five = counts(400, 2), counts(460, 1)
    assert row["difference of each"] == ", ".join(f"{(one[s] - five[s]) / 10:+.1f}" for s in one)
    assert row["adjusted p"] == "0.031"


def test_the_sentence_names_what_differs_and_nothing_else(varied):
    said = section.conclude(contrast(varied, None), {"resnet": 60.0})
    assert said.startswith(
        "**Only this differs from this run** over 6 shared seeds: resnet with drop_block_size 1: -"
    )
    assert "11" not in said
    varied[1] = experiment("block-1", counts(459, 2), drop_block_size=1)
    said = section.conclude(contrast(varied, None), {"resnet": 60.0})
    assert said.startswith("**No evidence that model.drop_block_size matters:** the smallest")


def test_too_few_shared_seeds_are_told_how_many_would_find_the_largest_difference():
    few = [
        experiment("this run", {0: 460, 1: 463, 2: 458}),
        experiment("block-1", {0: 452, 1: 461, 2: 448}, drop_block_size=1),
    ]
    said = section.conclude(contrast(few, None), {"resnet": 60.0})
    needed = seeds_for(20 / 3, np.std([-8, -2, -10], ddof=1))
    assert said.startswith("**Not enough seeds to say whether model.drop_block_size matters:**")
    assert "no p can fall below 0.25" in said
    assert f"by {needed} seeds: {2 * (needed - 3)} trainings more of the resnet" in said
    assert f"about {2 * (needed - 3)} minutes" in said


def test_numbers_stand_to_scale_and_off_at_zero(varied):
    off = experiment("off", counts(430, 5), conv_keep_end=1.0)
    axis = section.plot_settings(contrast([*varied, off], None).settings, X).axes[0]
    places = dict(zip([t.get_text() for t in axis.get_xticklabels()], axis.get_xticks(),
                      strict=True))  # fmt: skip
    assert places == {"off": 0, "1": 1, "5": 5, "11": 11}
    drawn = sorted((c.lines[0].get_xdata()[0], c.lines[0].get_ydata()[0]) for c in axis.containers)
    assert [x for x, _ in drawn] == pytest.approx([0, 1, 5, 11], abs=0.15)
    assert drawn[1][1] == pytest.approx(np.mean(list(counts(400, 2).values())) / 10)


def test_the_same_baseline_is_one_line_across(varied):
    axis = section.plot_settings(contrast(varied, None).settings, X).axes[0]
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["baseline (the same in all)", "resnet"]
    assert len(axis.containers) == 3


def test_a_point_with_another_number_of_seeds_than_most_says_how_many(varied):
    few = experiment("block-3", counts(440, 6, seeds=[0, 1]), drop_block_size=3)
    axis = section.plot_settings(contrast([*varied, few], None).settings, X).axes[0]
    assert sorted(t.get_text() for t in axis.texts) == ["2 seeds"]
    assert not section.plot_settings(contrast(varied, None).settings, X).axes[0].texts


def test_words_stand_in_their_order_and_wide_ranges_on_a_logarithmic_axis(varied):
    settings = contrast(varied, None).settings
    words = section.plot_settings(settings, "train.precision").axes[0]
    assert [t.get_text() for t in words.get_xticklabels()] == ["float32"]
    rates = [experiment(f"r{i}", counts(400, i), width=w) for i, w in enumerate([0.01, 0.1, 1.0])]
    axis = section.plot_settings(contrast(rates, None).settings, "model.width").axes[0]
    assert axis.get_xscale() == "log"


def test_the_figure_of_contrasts_shows_each_seed_and_the_interval(varied):
    family = contrast(varied, None).family
    axis = section.plot_contrasts(family).axes[0]
    seeds = [line for line in axis.lines if line.get_marker() == "|" and len(line.get_xdata()) == 6]
    shown = sorted(seeds[0].get_xdata())
    assert shown == pytest.approx(sorted(100 * d for d in family[0].by_seed.values()))
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels[0] == "resnet: drop_block_size 1\n(6 seeds, adjusted p 0.031)"


def test_one_seed_has_no_interval():
    ones = [
        experiment("this run", {0: 460}),
        experiment("block-1", {0: 452}, drop_block_size=1),
    ]
    found = contrast(ones, None)
    assert (
        section.settings_table(found.settings)["95 % interval"].tolist() == ["none of one seed"] * 3
    )
    assert section.contrast_table(found.family)["95 % interval"].tolist() == ["none of one seed"]
    assert "shows no spread" in section.conclude(found, {})
    section.plot_contrasts(found.family)
    section.plot_settings(found.settings, X)


def test_what_dropblock_that_is_off_leaves_undecided_is_no_column(varied):
    off = experiment("off", counts(430, 5), conv_keep_end=1.0)
    table = section.settings_table(contrast([*varied, off], None).settings)
    assert list(table.columns)[:2] == [X, "DropBlock"]
    rows = table.loc["resnet"].set_index("experiments")
    assert rows.loc["off", [X, "DropBlock"]].tolist() == ["-", "off"]
    assert rows.loc["block-1", [X, "DropBlock"]].tolist() == ["1", "on"]
