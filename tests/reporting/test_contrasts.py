import numpy as np
import pytest
from scipy import stats

from pipeline.reporting.contrasts import contrast, describe_contrasts
from pipeline.reporting.intervals import pooled_half
from pipeline.reporting.p_values import max_t_p_values
from pipeline.reporting.tried import OFF, describe_change, params_of
from tests.made_up_experiments import BASELINE, SEEDS, counts, experiment


@pytest.fixture
def experiments():
    return [
        experiment("this run", counts(460, 1)),
        experiment("block-1", counts(400, 2), drop_block_size=1),
        experiment("block-7", counts(461, 3), drop_block_size=7),
        experiment("block-9", counts(462, 4, seeds=[0, 1]), drop_block_size=9),
    ]


def test_all_contrasts_are_tested_at_once_also_those_with_fewer_seeds(experiments):
    found = contrast(experiments, None)
    labels = ["drop_block_size 1", "drop_block_size 7", "drop_block_size 9"]
    assert [c.label for c in found.family] == labels
    assert [len(c.by_seed) for c in found.family] == [6, 6, 2]
    right = [e.summary["accuracy"]["resnet"]["right"] for e in experiments[:3]]
    rows = np.array([[r[str(s)] for r in right] for s in SEEDS])
    few = counts(462, 4, seeds=[0, 1])  # the other seeds add nothing to its statistic
    nine = [few[s] - rows[s, 0] if s in few else 0 for s in SEEDS]
    expected = max_t_p_values(np.column_stack([rows[:, 1:] - rows[:, :1], nine]))
    assert [c.p_value for c in found.family] == pytest.approx(expected.tolist())
    assert found.family[0].p_value == 0.03125
    assert found.family[1].p_value > 0.05 and found.family[2].p_value >= 0.5
    paired = stats.ttest_rel(rows[:, 1] / 1000, rows[:, 0] / 1000).confidence_interval(0.95)
    difference = found.family[0].difference
    assert (difference.low, difference.high) == pytest.approx((paired.low, paired.high))


def test_settings_of_disjoint_seeds_are_tested_over_those_that_each_shares_with_the_reference():
    whole = experiment("this run", counts(460, 1, seeds=range(12)))
    worse = experiment("late", counts(300, 2, seeds=range(6, 12)), drop_block_size=7)
    alike = experiment("early", counts(460, 3), drop_block_size=3)
    family = {c.label: c for c in contrast([whole, alike, worse], None).family}
    assert family["drop_block_size 7"].significant and not family["drop_block_size 3"].significant
    assert list(family["drop_block_size 7"].by_seed) == list(range(6, 12))


def test_settings_that_share_no_seed_are_named(experiments):
    later = experiment("later", counts(300, 2, seeds=range(10, 16)), drop_block_size=3)
    found = contrast([experiments[0], later], None)
    assert (found.family, [s.experiments for s in found.unpaired]) == ([], [["later"]])


def test_a_low_p_without_an_interval_beyond_zero_shows_nothing():
    """All differences have one sign, but the largest alone makes the mean uncertain."""
    base = counts(460, 1)
    odd = experiment("odd", {s: n + (60 if s == 5 else 1) for s, n in base.items()}, width=0.2)
    (found,) = contrast([experiment("this run", base), odd], None).family
    assert found.p_value < 0.05 and found.difference.low < 0 and not found.significant


def test_the_pooled_interval_is_over_all_settings_that_have_all_seeds(experiments):
    found = contrast(experiments, None)
    right = [e.summary["accuracy"]["resnet"]["right"] for e in experiments[:3]]
    half = pooled_half(np.array([[r[str(s)] / 1000 for r in right] for s in SEEDS]))
    *whole, fewer = found.family
    assert fewer.pooled is None
    for c in whole:
        assert (c.pooled.low, c.pooled.high) == pytest.approx(
            (c.difference.mean - half, c.difference.mean + half)
        )
    written = describe_contrasts(found)["found"][0]
    assert written["pooled"]["low"] == pytest.approx(found.family[0].pooled.low)


def test_the_same_baseline_is_one_setting_of_all_experiments(experiments):
    (baseline,) = [s for s in contrast(experiments, None).settings if s.network == "baseline"]
    assert baseline.experiments == ["this run", "block-1", "block-7", "block-9"]
    assert baseline.right == BASELINE


def test_experiments_of_single_seeds_are_put_together():
    whole = counts(450, 1)
    ones = [experiment(f"seed-{s}", {s: whole[s]}) for s in SEEDS]
    (resnet,) = [s for s in contrast(ones, None).settings if s.network == "resnet"]
    assert resnet.right == whole


def test_other_results_of_the_same_training_are_left_out_and_named(experiments):
    moved = experiment("moved", counts(470, 9), {seed: 380 + seed for seed in SEEDS})
    found = contrast([*experiments, moved], None)
    assert found.unlike == ["moved (resnet)"]
    assert [s.experiments for s in found.settings if s.network == "resnet"] == [
        ["this run"], ["block-1"], ["block-7"], ["block-9"],
    ]  # fmt: skip
    assert len(found.leads) == len(contrast(experiments, None).leads)


def test_the_reference_is_what_others_are_unlike(experiments):
    moved = experiment("moved", counts(470, 9))
    assert contrast([*experiments, moved], "moved").unlike == ["this run (resnet)"]


def test_the_same_numbers_by_other_code_are_two_settings(experiments):
    later = experiment("later", counts(470, 9))
    later.summary["settings"]["resnet"] = "of other code"
    found = contrast([*experiments, later], None)
    (same,) = [c for c in found.family if c.setting.experiments == ["later"]]
    assert same.label == "same params, different code or library versions"
    assert found.unlike == []


def test_defaults_in_code_and_keys_that_a_network_lacks_are_as_in_its_identity():
    def of_sprint(changes):
        made = experiment("made", counts(450), changes={"sprint.epochs": 6, **changes})
        return params_of(made._replace(summary={"sections": {"sprint": "sprint"}}), "sprint")

    usual = of_sprint({})
    scale = usual["logits_scale"]
    assert (
        usual == of_sprint({"sprint.logits_scale": scale}) == of_sprint({"recipe.dense_keep": 0.1})
    )
    assert (
        describe_change(usual, of_sprint({"sprint.logits_scale": 0.3})) == f"logits_scale {scale}"
    )


def test_params_that_nothing_reads_are_no_difference():
    """Those of DropBlock where it is off: by its params, never falling, or by the variant."""
    off = params_of(experiment("off", counts(450), conv_keep_end=1.0), "resnet")
    never = experiment("never", counts(450), conv_keep_step=0.0, drop_block_size=9)
    ablation = experiment("nodrop", counts(450), changes={"train.variants": ["nodrop"]})
    assert off == params_of(never, "resnet") == params_of(ablation, "resnet")
    assert off["drop_block_size"] == OFF and "conv_keep_end" not in off
    on = params_of(experiment("on", counts(450)), "resnet")
    assert describe_change(off, on) == "no DropBlock"
    assert describe_change(on, off).startswith("drop_block_size 5, ")
    adam = {"recipe.optimizer": "adam"}
    of_adam = params_of(experiment("adam", counts(450), changes=adam), "resnet")
    muon = {"recipe.muon_momentum": 0.5}
    unread = params_of(experiment("unread", counts(450), changes={**adam, **muon}), "resnet")
    assert unread == of_adam
    assert describe_change(of_adam, on).startswith("optimizer adam")


def test_what_networks_inherit_is_a_number_of_each(experiments):
    slow = experiment("slow", counts(440, 5), changes={"recipe.learning_rate": 0.01})
    slow.summary["accuracy"]["baseline"]["right"] = {str(s): 300 for s in SEEDS}
    labels = {c.setting.network: c.label for c in contrast([experiments[0], slow], None).family}
    assert labels == {"baseline": "learning_rate 0.01", "resnet": "learning_rate 0.01"}


def test_what_is_written_for_others_to_read_names_both_sides(experiments):
    written = describe_contrasts(contrast(experiments, None))
    assert [c["pooled"] is None for c in written["found"]] == [False, False, True]
    first, lead = written["found"][0], written["leads"][1]
    assert (first["experiments"], first["reference"]) == (["block-1"], ["this run"])
    assert first["low"] < first["mean"] < first["high"] < 0
    assert (lead["network"], lead["other"]) == ("resnet", "baseline")
    one = contrast([experiment(n, {0: 400}, drop_block_size=i) for i, n in [(5, "a"), (6, "b")]],
                   None)  # fmt: skip
    assert "low" not in describe_contrasts(one)["found"][0]  # of one seed


def test_the_lead_in_each_experiment_is_between_its_own_two_settings(experiments):
    changes = {"baseline.width": 0.5}
    wide = experiment("wide", counts(460, 1), {s: 430 + s for s in SEEDS}, changes)
    leads = contrast([*experiments, wide], None).leads
    changed = {lead.changed: lead.contrast for lead in leads}
    assert list(changed) == [
        "", "resnet: drop_block_size 1", "resnet: drop_block_size 7",
        "resnet: drop_block_size 9", "baseline: width 0.5",
    ]  # fmt: skip
    right = counts(460, 1)
    wider = changed["baseline: width 0.5"]
    assert wider.by_seed == {s: (right[s] - 430 - s) / 1_000 for s in SEEDS}
    pairs = [
        (counts(460, 1), BASELINE),
        (counts(400, 2), BASELINE),
        (counts(461, 3), BASELINE),
        (counts(462, 4, seeds=[0, 1]), BASELINE),
        (right, {s: 430 + s for s in SEEDS}),
    ]
    leads_by_seed = [[a[s] - b[s] if s in a else 0 for a, b in pairs] for s in SEEDS]
    expected = max_t_p_values(np.array(leads_by_seed))
    assert [c.p_value for c in changed.values()] == pytest.approx(expected.tolist())


def test_an_experiment_with_another_network_still_has_the_lead_of_the_shared_ones(experiments):
    more = experiment("more", counts(470, 7), drop_block_size=3)
    for key, value in (("accuracy", {"right": {"0": 1}}), ("settings", "s"), ("sections", "model")):
        more.summary[key]["third"] = value
    leads = contrast([experiments[0], more], None).leads
    assert [lead.changed for lead in leads] == ["", "resnet: drop_block_size 3"]


def test_experiments_that_differ_only_in_code_have_a_lead_each(experiments):
    later = experiment("later", counts(300, 9))
    later.summary["settings"]["resnet"] = "of other code"
    leads = contrast([experiments[0], later], None).leads
    assert len(leads) == 2
    assert [lead.contrast.setting.experiments for lead in leads] == [["this run"], ["later"]]


def test_experiments_that_differ_in_nothing_have_one_lead(experiments):
    again = experiment("again", counts(460, 1))
    assert len(contrast([experiments[0], again], None).leads) == 1


def test_an_experiment_alone_has_no_contrast(experiments):
    found = contrast(experiments[:1], None)
    assert (found.family, found.unpaired, len(found.settings)) == ([], [], 2)
