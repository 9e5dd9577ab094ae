from dataclasses import replace

import pytest

from pipeline.reporting.comparison import Comparison
from pipeline.reporting.equivalence import Equivalence
from pipeline.reporting.findings import Findings, find
from pipeline.reporting.headline import headline, title, verdict, verdicts, warnings
from pipeline.reporting.intervals import Interval
from pipeline.reporting.results import load_results
from tests.conftest import checked


def findings_of(results, **comparisons):
    return Findings(None, results, results, comparisons)


def made_up(mean, seeds, p_value, low=None, high=None, dominate=False):
    low, high = mean - 0.01 if low is None else low, mean + 0.01 if high is None else high
    by_seed = {seed: mean + 0.01 * (-1) ** seed for seed in range(seeds)}
    difference, elsewhere = Interval(mean, low, high), Interval(mean, low - 0.03, high + 0.03)
    image_error = 1.0 if dominate else 0.0
    return Comparison(difference, elsewhere if seeds > 1 else None, image_error, by_seed, p_value)


@pytest.mark.parametrize(
    ("comparison", "says", "claims"),
    [
        (made_up(0.05, 1, 1.0), "the resnet is ahead by 5.0 points (95 % interval 4.0 to 6.0 for "
         "these two models on other test images), over 1 seed: too few seeds",
         "**Not enough evidence about the"),
        (made_up(-0.05, 1, 1.0), "the baseline is ahead by 5.0 points (95 % interval 4.0 to 6.0 ",
         "with 1 paired seed p cannot fall below 1; p below 0.05 needs 6 seeds"),
        (made_up(0.0, 1, 1.0), "no difference (95 %", "**Not enough evidence about the"),
        (made_up(0.2, 3, 0.25), "p = 0.250 (floor 0.250) over 3 paired seeds: too few seeds for a "
         "verdict, and the interval over 3 seeds is valid only if", "fall below 0.25"),
        (made_up(0.05, 6, 0.03125), "p = 0.031 (floor 0.031) over 6 paired seeds: evidence of a "
         "difference",
         "**The resnet is the better method here.** The interval for other"),
        (made_up(0.05, 12, 1 / 2048), "by 5.0 points (95 % interval 4.0 to 6.0 for other seeds on "
         "these test images), p < 0.001 (floor < 0.001) over 12 paired seeds: evidence of a",
         "**The resnet is the better method here.**"),
        (made_up(-0.05, 6, 0.03125), "the baseline is ahead by 5.0", "**The baseline is"),
        (made_up(0.01, 6, 0.4, low=-0.02), ": no evidence of a difference",
         "**No evidence of a difference between the two methods.**"),
        (made_up(0.01, 6, 0.03125, low=-0.001), "but the interval contains 0: no evidence",
         "**No evidence of a difference between the two methods.**"),
        (made_up(0.05, 6, 0.03125, dominate=True), "4.0 to 6.0 for other seeds on these test "
         "images, and 1.0 to 9.0 if the images vary too)",
         "The interval for other test images of the same kind excludes zero too"),
        (made_up(0.02, 6, 0.03125), "evidence of", "for other images of the same kind, -2.0 to "),
    ],
)  # fmt: skip
def test_the_headline_and_the_verdict_claim_no_more_than_there_is(
    results, comparison, says, claims
):
    findings = findings_of(results, resnet=comparison)
    assert says in headline(findings)
    (said,) = verdicts(findings)
    assert claims in said


def test_two_networks_are_asked_about_by_name(results):
    assert title(results) == "Baseline or resnet?"


def test_three_networks_are_each_compared_with_the_first(made_results):
    results = load_results(made_results(networks=["baseline", "model", "sprint"]))
    found = {"resnet": made_up(-0.02, 1, 1.0), "sprint": made_up(0.03, 1, 1.0)}
    said = headline(findings_of(results, **found))
    assert said.index("sprint ") < said.index("resnet ") < said.index("baseline ")
    assert (
        "compared with the baseline: sprint +3.0 points (+2.0 to +4.0), resnet -2.0 points (-3.0 "
        "to -1.0); 95 % intervals for these models on other test images."
    ) in said
    (once,) = verdicts(findings_of(results, **found))
    assert once.startswith("Each compared with the baseline: **Not enough evidence")
    found["sprint"] = made_up(0.05, 6, 0.03125)
    assert len(verdicts(findings_of(results, **found))) == 2
    found["resnet"] = made_up(-0.02, 6, 0.4)
    assert (
        "sprint +5.0 points (+4.0 to +6.0, p = 0.031), resnet -2.0 points (-3.0 to -1.0, p = "
        "0.400); 95 % intervals for other seeds on these test images, over 6 seeds; p is adjusted "
        "(floor 0.031)."
    ) in headline(findings_of(results, **found))


def test_seeds_that_agree_exactly_get_no_interval(results):
    same = Comparison(Interval(0, 0, 0), None, 0.0, {0: 0.0, 1: 0.0}, 1.0)
    assert "no difference (the same for all seeds, so there is no interval)" in headline(
        findings_of(results, resnet=same)
    )


def test_test_images_that_stopped_a_training_are_a_warning(made_results):
    found = find(made_results([0, 1]))
    better = made_up(0.05, 6, 0.03125)
    seen = replace(
        found, results=replace(found.results, watched="test"), comparisons={"resnet": better}
    )
    assert not any("decided when to stop" in said for said in warnings(seen))
    stopped = replace(seen, params=checked(**{"recipe.stop_after_rising": 2}))
    assert "Test images decided when to stop" in warnings(stopped)[0]
    assert [
        said.endswith("excludes zero too.") for f in (seen, stopped) for said in verdicts(f)
    ] == [
        True,
        False,
    ]


def test_each_verdict_names_its_networks():
    better = made_up(-0.05, 6, 0.03125)
    said = verdict(better, "sprint", "baseline", 1.0)
    assert "**The sprint is the better method here.**" in said


def test_a_verdict_says_what_the_better_network_costs():
    worse, better = made_up(-0.05, 6, 0.03125), made_up(0.05, 6, 0.03125)
    assert "better method here, for 3.3 times the compute.**" in verdict(better, "a", "b", 3.3)
    assert "better method here, for 0.303 times the compute.**" in verdict(worse, "a", "b", 3.3)
    assert "better method here, for 1.04 times the compute.**" in verdict(better, "a", "b", 1.04)
    assert "better method here.**" in verdict(better, "a", "b", 1.02)


def test_adjusted_p_values_are_called_so(results):
    found = replace(made_up(0.05, 6, 0.03125), tests=2)
    assert ", adjusted p = 0.031 (floor 0.031) over 6 paired seeds" in headline(
        findings_of(results, resnet=found)
    )


def test_averages_that_had_too_few_steps_are_a_warning(made_results):
    results = load_results(made_results([0, 1]))
    results.metrics["unsettled"] = [["norm"] if n == "resnet" else []
                                    for n in results.metrics["network"]]  # fmt: skip
    (said,) = [each for each in warnings(findings_of(results)) if "too few steps" in each]
    assert said.startswith("resnet: too few steps for the moving averages")


def test_seeds_of_different_code_are_a_warning(made_results):
    results = load_results(made_results([0, 1]))
    results.metrics["training"] = [f"{n}-0" for n in range(len(results.metrics))]
    (said,) = [each for each in warnings(findings_of(results)) if "same code" in each]
    assert said.startswith("The seeds of the baseline and resnet were not all trained by the same")


@pytest.mark.parametrize(
    ("tested", "says", "first"),
    [
        (Equivalence(0.5, 0.002, 0.0001, True), "**They are alike within 0.5 points**, the "
         "declared margin (p = 0.002 by two one-sided t-tests", ", alike within 0.5 points."),
        (Equivalence(1.0, 0.31, 0.0, True), "They are not shown to be alike within 1 point", None),
        (Equivalence(1.0, 0.01, 0.0, False), "The probability that the resnet is better by "
         "more than 1 point is 1.0 %; for the baseline it is below 0.1 %", None),
    ],
)  # fmt: skip
def test_alike_is_a_verdict_only_within_the_declared_margin(results, tested, says, first):
    compared = {"resnet": made_up(0.002, 6, 0.4, low=-0.003)}
    findings = Findings(None, results, results, compared, {"resnet": tested})
    (said,) = verdicts(findings)
    assert says in said
    assert headline(findings).endswith(first or ": no evidence of a difference.")
    assert tested.enough_seeds or "alike" not in said


def test_the_margin_comes_from_the_params(made_results):
    assert find(made_results([0, 1])).alike == {}
    margin = {"train.seeds": [0, 1], "report.margin": 2.5}
    assert find(checked(**margin)).alike["resnet"].margin == 2.5
