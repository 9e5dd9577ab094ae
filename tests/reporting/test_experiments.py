import numpy as np
from scipy import stats

from pipeline.reporting import setting_plots
from pipeline.reporting.contrasts import contrast
from pipeline.reporting.power import seeds_for
from pipeline.reporting.sections import experiments as section
from tests.made_up_experiments import counts, experiment

X = "model.drop_block_size"


def test_only_the_params_that_differ_are_columns(varied):
    table = section.settings_table(contrast(varied, None).settings)
    assert list(table.columns) == [
        X, "seeds", "test accuracy, %", "95 % interval", "experiments",
    ]  # fmt: skip
    assert len(table.loc[["baseline"]]) == 1
    assert list(table.loc["resnet", X]) == ["1", "5", "11"]
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


def test_the_lead_of_each_experiment_is_a_row(varied):
    table = section.leads_table(contrast(varied, None))
    assert table.index.tolist()[:2] == ["as in this run", "resnet: drop_block_size 1"]
    assert set(table["lead"]) == {"resnet minus baseline"}
    one, baseline = counts(400, 2), experiment("", {0: 1}).summary["accuracy"]["baseline"]["right"]
    assert table.iloc[1]["difference of each"].startswith(f"{(one[0] - baseline['0']) / 10:+.1f}, ")


def test_the_sentence_names_what_differs_and_nothing_else(varied):
    said = section.conclude(contrast(varied, None), {"resnet": 60.0})
    assert said.startswith(
        "**Only this differs from this run** over 6 shared seeds: resnet, drop_block_size 1: -"
    )
    assert "11" not in said.partition("*Not shown to differ")[0]
    varied[1] = experiment("block-1", counts(459, 2), drop_block_size=1)
    said = section.conclude(contrast(varied, None), {"resnet": 60.0})
    assert said.startswith("**No evidence that model.drop_block_size changes the mean test accur")


def test_what_is_not_shown_to_differ_is_told_how_many_seeds_would_show_it(varied):
    varied.append(experiment("block-7", counts(459, 2), drop_block_size=7))
    said = section.conclude(contrast(varied, None), {"resnet": 60.0})
    assert said.startswith("**Only this differs from this run** over 6 shared seeds: resnet, drop")
    seven, five = counts(459, 2), counts(460, 1)
    differences = [(seven[s] - five[s]) / 1000 for s in seven]
    needed = seeds_for(np.mean(differences), np.std(differences, ddof=1))
    size = f"{100 * np.mean(differences):+.1f} points; {needed} seeds"
    assert f"resnet, drop_block_size 7 ({size})" in said.partition("*Not shown to differ")[2]


def test_contrasts_and_leads_are_ordered_by_what_changed(varied):
    for block in (9, 3, 7):
        changed = experiment(f"block-{block}", counts(450 + block, 2), drop_block_size=block)
        varied.insert(1, changed)
    found = contrast(varied, None)
    labels = [c.label for c in found.family if c.label.startswith("drop_block_size")]
    assert labels == [f"drop_block_size {block}" for block in (1, 3, 7, 9, 11)]
    leads = [lead.changed for lead in found.leads]
    assert leads[0] == ""
    assert leads[1:6] == [f"resnet: {label}" for label in labels]


def test_too_few_shared_seeds_are_told_how_many_would_find_the_largest_difference():
    few = [
        experiment("this run", {0: 460, 1: 463, 2: 458}),
        experiment("block-1", {0: 452, 1: 461, 2: 448}, drop_block_size=1),
    ]
    said = section.conclude(contrast(few, None), {"resnet": 60.0})
    needed = seeds_for(20 / 3, np.std([-8, -2, -10], ddof=1))
    assert said.startswith("**Not enough seeds to say whether model.drop_block_size changes the")
    assert "no p can fall below 0.25" in said
    assert f"by {needed} seeds: {2 * (needed - 3)} trainings more of the resnet" in said
    assert f"about {2 * (needed - 3)} minutes" in said


def test_the_figure_is_against_a_param_that_varies(varied):
    settings = contrast(varied, None).settings
    assert section.horizontal(settings, X) == X
    assert section.horizontal(settings, "model.width") == X
    alike = contrast(varied[:1], None).settings
    assert section.horizontal(alike, "model.width") == "model.width"


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
    setting_plots.plot_contrasts(found.family)
    setting_plots.plot_settings(found.settings, X)


def test_what_dropblock_that_is_off_leaves_undecided_is_no_column(varied):
    off = experiment("off", counts(430, 5), conv_keep_end=1.0)
    table = section.settings_table(contrast([*varied, off], None).settings)
    assert list(table.columns)[:2] == [X, "DropBlock"]
    rows = table.loc["resnet"].set_index("experiments")
    assert rows.loc["off", [X, "DropBlock"]].tolist() == ["-", "off"]
    assert rows.loc["block-1", [X, "DropBlock"]].tolist() == ["1", "on"]
