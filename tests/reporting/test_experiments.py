import re
from dataclasses import replace

import numpy as np
from scipy import stats

from pipeline.reporting import experiments
from pipeline.reporting.contrasts import contrast
from pipeline.reporting.experiments import make_page
from pipeline.reporting.page import render_markdown
from tests.made_up_experiments import counts, experiment

X = "drop_block_size"


def test_only_the_params_that_differ_are_columns(varied):
    table = experiments.settings_table(contrast(varied, None).settings)
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


def test_a_comparison_of_validation_scores_says_so_and_never_test(varied):
    for result in varied:
        result.summary["scored"] = "val"
    text = render_markdown(make_page(contrast(varied, None), X))
    assert "| validation accuracy, % |" in re.sub(" +", " ", text)
    assert "Validation accuracy minus that of *this run*" in text
    assert "test accuracy" not in text.lower()


def test_a_setting_costs_what_its_first_experiment_says(varied):
    costs = {"pflop": 0.0584, "parameters": 1_000_958.0, "training_seconds": 450.0}
    varied[1].summary["cost"] = {"resnet": costs}
    table = experiments.settings_table(contrast(varied, None).settings)
    shown = table.set_index("experiments")[["compute", "parameters", "minutes"]]
    assert shown.loc["block-1"].tolist() == ["58.4 TFLOP", "1,000,958", "7.5"]
    assert shown.loc["block-11"].tolist() == ["", "", ""]


def test_the_contrasts_table_has_each_seeds_difference(varied):
    table = experiments.contrast_table(contrast(varied, None).family)
    row = table.loc["resnet: drop_block_size 1"]
    one, five = counts(400, 2), counts(460, 1)
    assert row["difference of each"] == ", ".join(f"{(one[s] - five[s]) / 10:+.1f}" for s in one)
    assert row["adjusted p"] == "0.031"


def test_the_lead_of_each_experiment_is_a_row(varied):
    table = experiments.leads_table(contrast(varied, None))
    assert table.index.tolist()[:2] == ["as in this run", "resnet: drop_block_size 1"]
    assert set(table["networks"]) == {"resnet minus baseline"}
    one, baseline = counts(400, 2), experiment("", {0: 1}).summary["accuracy"]["baseline"]["right"]
    assert table.iloc[1]["difference of each"].startswith(f"{(one[0] - baseline['0']) / 10:+.1f}, ")


def test_the_sentence_names_what_differs_and_nothing_else(varied):
    said = experiments.conclude(contrast(varied, None))
    shown, _, rest = said.partition(" For the other ")
    assert shown.startswith(
        "Shown to differ from the same network in this run, over 6 shared seeds: "
        "resnet with drop_block_size 1: -"
    )
    assert "11" not in shown
    assert rest == "1, neither a difference nor equality is shown."
    varied[1] = experiment("block-1", counts(459, 2), drop_block_size=1)
    said = experiments.conclude(contrast(varied, None))
    assert said.startswith("No evidence that drop_block_size changes the mean test accuracy: ")
    assert "of 2 contrasts" in said


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


def test_too_few_shared_seeds_are_told_how_many_a_verdict_takes():
    few = [
        experiment("this run", {0: 460, 1: 463, 2: 458}),
        experiment("block-1", {0: 452, 1: 461, 2: 448}, drop_block_size=1),
    ]
    said = experiments.conclude(contrast(few, None))
    assert said.startswith("Not enough seeds to say whether drop_block_size changes the mean")
    assert "with 3 shared seeds no p can fall below 0.25" in said
    assert said.endswith("needs at least 6 seeds.")


def test_the_page_shows_contrasts_leads_and_settings(varied):
    page = make_page(contrast(varied, None), X)
    assert [drawing.name for drawing in page.drawings] == ["experiments", "contrasts"]
    assert [section.title for section in page.sections] == [
        "The networks in each experiment", "All settings",
    ]  # fmt: skip
    assert page.headline.startswith("Shown to differ from the same network in this run")
    assert page.warnings == []
    markdown = render_markdown(page)
    assert "max-T sign flips over the shared seeds, adjusted for 2 rows" in markdown
    assert not re.search(r"[{}]|None\b|nan\b", markdown)


def test_other_results_of_the_same_training_are_a_warning(varied):
    (said,) = make_page(contrast([*varied, experiment("moved", counts(470, 9))], None), X).warnings
    assert "moved (resnet)" in said


def test_the_sentence_names_how_many_seeds_the_contrasts_share(varied):
    few = experiment("block-3", counts(440, 6, seeds=[0, 1]), drop_block_size=3)
    said = experiments.conclude(contrast([*varied, few], None))
    assert said.startswith("Shown to differ from ") and ", over 2 to 6 shared seeds: " in said


def test_settings_without_a_common_seed_are_named_and_the_sentence_says_why(varied):
    late = experiment("late", counts(300, 6, seeds=range(10, 16)), drop_block_size=3)
    *_, note = make_page(contrast([*varied, late], None), X).overview
    assert note == "Not compared, because they share no seed with this run: late."
    found = contrast([*varied, late], None)
    both = replace(found, unpaired=found.unpaired * 2)  # two networks of one experiment
    assert make_page(both, X).overview[-1] == note
    alone = make_page(contrast([varied[0], late], None), X)
    assert alone.headline == experiments.UNPAIRED
    assert note in alone.overview


def test_a_low_p_whose_interval_includes_zero_is_no_evidence(varied):
    base = counts(460, 1)
    odd = experiment("odd", {s: n + (60 if s == 5 else 1) for s, n in base.items()}, width=0.2)
    said = experiments.conclude(contrast([varied[0], odd], None))
    assert said.startswith("No evidence that width changes")
    assert said.endswith("is 0.031, but its interval includes 0.")


def test_the_figure_is_against_a_param_that_varies(varied):
    for wanted in (X, "width"):
        (drawing,) = experiments.draw_settings(contrast(varied, None), wanted)
        assert drawing.alt == f"Test accuracy against {X}"
    assert experiments.draw_settings(contrast(varied[:1], None), X) == []


def test_the_figure_leaves_out_what_differs_in_more_than_its_param(varied):
    wide = experiment("wide", counts(480, 4), drop_block_size=1, width=0.5)
    off = experiment("off", counts(430, 5), conv_keep_end=1.0)
    for settings in ([*varied, wide, off], [off, *varied, wide]):
        (drawing,) = experiments.draw_settings(contrast(settings, None), X)
        ticks = [label.get_text() for label in drawing.figure.axes[0].get_xticklabels()]
        assert sorted(ticks) == ["1", "11", "5", "off"]
        points = [c for c in drawing.figure.axes[0].containers if len(c.lines[0].get_xdata()) == 1]
        assert len(points) == 4  # the wide resnet is not among them


def test_only_several_contrasts_have_a_pooled_interval(varied):
    several, alone = (contrast(results, None) for results in (varied, varied[:2]))
    assert "pooled interval" in experiments.contrast_table(several.family)
    assert "pooled interval" not in experiments.contrast_table(alone.family)
    assert "pooled interval" not in experiments.contrast_parts(alone)[1]
    for found in (several, alone):  # the leads of both have one
        assert render_markdown(make_page(found, X)).count(experiments.POOLED_NOTE.strip()) == 1


def test_one_seed_has_no_interval():
    ones = [experiment("this run", {0: 460}), experiment("block-1", {0: 452}, drop_block_size=1)]
    found = contrast(ones, None)
    intervals = [
        experiments.settings_table(found.settings),
        experiments.contrast_table(found.family),
    ]
    assert [set(table["95 % interval"]) for table in intervals] == [{"none (one seed)"}] * 2
    assert "with 1 shared seed no p can fall below 1," in experiments.conclude(found)
    assert "nan" not in render_markdown(make_page(found, X))


def test_dropblock_that_is_off_is_a_value_of_the_block_size(varied):
    off = experiment("off", counts(430, 5), conv_keep_end=1.0)
    table = experiments.settings_table(contrast([*varied, off], None).settings)
    assert list(table.columns)[:2] == [X, "seeds"]
    assert table.loc["resnet"].set_index("experiments").loc["off", X] == "off"
    found = contrast([*varied, off], None)
    assert "resnet without DropBlock: -" in experiments.conclude(found)
