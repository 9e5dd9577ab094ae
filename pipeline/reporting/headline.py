"""The first lines of the report: who is ahead, how certain that is, and what limits it."""

import pandas as pd

from pipeline.core.records import SPLIT_NAMES
from pipeline.reporting.comparison import Comparison
from pipeline.reporting.equivalence import Equivalence
from pipeline.reporting.findings import Findings
from pipeline.reporting.flags import describe_flags
from pipeline.reporting.formats import between, capitalised, counted, format_p, listed, p_is
from pipeline.reporting.p_values import LEVEL, SEEDS_NEEDED
from pipeline.reporting.results import EQUAL, Results
from pipeline.settings.identity import setting_of

WITHOUT_TEST = (
    "**No verdict: only validation images were scored (`evaluate.test: false`). They serve to "
    "choose recipes, so their scores are too optimistic.** `dvc repro` with `evaluate.test: true` "
    "scores the test images without training again."
)
TEST_STOPPED = (
    "Test images decided when to stop, so the test scores are too optimistic, and intervals and "
    "p-values may be wrong."
)


def title(results: Results) -> str:
    """Return the report's question, like `Baseline or resnet?`."""
    names = listed(list(results.networks), "or")
    return capitalised(names) + ("?" if len(results.networks) > 1 else "")


def headline(findings: Findings) -> str:
    """Say in one sentence who is ahead on the test set, and how certain that is."""
    results, comparisons = findings.results, findings.comparisons
    source = results.metadata["params"]["source"]
    means = {name: 100 * results.hits(name).mean() for name in reversed(results.networks)}
    accuracy = ", ".join(f"{name} {mean:.1f} %" for name, mean in means.items())
    start = f"{source}: {accuracy} {SPLIT_NAMES[results.scored]} accuracy"
    if results.scored != "test":
        return f"{start}; the test images were not scored, so there is no verdict."
    if len(results.networks) == 1:
        return f"{start}; a single network, so there is no comparison."
    if len(comparisons) > 1:
        return f"{start}; {_differences(comparisons, results.reference)}."
    ((name, comparison),) = comparisons.items()
    ahead = _ahead(comparison, results.reference, name)
    return f"{start}; {ahead}, {_certainty(comparison)}{_alike(findings, name)}."


def _differences(comparisons: dict[str, Comparison], reference: str) -> str:
    """List the differences of several networks from the first."""
    first = next(iter(comparisons.values()))  # all have the same seeds
    seeds, floor = first.seeds, format_p(first.smallest_p)
    said = []
    for name, found in reversed(comparisons.items()):
        p_value = f", {p_is(found.p_value)}" if seeds > 1 else ""
        points = f"{100 * found.difference.mean:+.1f} points"
        said.append(f"{name} {points} ({between(found.difference)}{p_value})")
    about = (
        f"95 % intervals for other seeds on these test images, over {seeds} seeds; p is adjusted "
        f"(floor {floor})"
        if seeds > 1
        else "95 % intervals for these models on other test images"
    )
    return f"compared with the {reference}: {', '.join(said)}; {about}"


def _ahead(comparison: Comparison, reference: str, name: str) -> str:
    mean = comparison.difference.mean
    if mean == 0:
        return f"no difference ({_intervals(comparison, sign=1)})"
    better, sign = (name, 1) if mean > 0 else (reference, -1)
    return f"the {better} is ahead by {100 * abs(mean):.1f} points ({_intervals(comparison, sign)})"


def _intervals(comparison: Comparison, sign: int) -> str:
    """Format the interval and what it covers; add the interval for new images if it says more."""
    if comparison.difference.low == comparison.difference.high:
        alike = "seeds" if comparison.seeds > 1 else "images"
        return f"the same for all {alike}, so there is no interval"
    within = f"95 % interval {between(comparison.difference, '.1f', sign)}"
    if comparison.seeds == 1:
        return f"{within} for these two models on other test images"
    said = f"{within} for other seeds on these test images"
    if comparison.new_images and comparison.images_dominate:
        elsewhere = between(comparison.new_images, ".1f", sign)
        if elsewhere != between(comparison.difference, ".1f", sign):
            return f"{said}, and {elsewhere} if the images vary too"
        return f"{said}, and the same if the images vary too"
    return said


def _certainty(comparison: Comparison) -> str:
    seeds = comparison.seeds
    if seeds == 1:
        return "over 1 seed: too few seeds for a verdict"
    kind = "adjusted " if comparison.tests > 1 else ""
    floor = f"(floor {format_p(comparison.smallest_p)})"
    over = f"{kind}{p_is(comparison.p_value)} {floor} over {seeds} paired seeds"
    if not comparison.enough_seeds:
        return (
            f"{over}: too few seeds for a verdict, and the interval over {seeds} seeds is valid "
            "only if their differences are roughly normally distributed"
        )
    if comparison.significant:
        return f"{over}: evidence of a difference"
    if comparison.p_value < LEVEL:
        return f"{over}, but the interval contains 0: no evidence of a difference"
    return f"{over}: no evidence of a difference"


def _alike(findings: Findings, name: str) -> str:
    found = findings.alike.get(name)
    return f", alike within {found.points}" if found and found.alike else ""


def verdicts(findings: Findings) -> list[str]:
    """Say what may be claimed about each network compared with the first, one paragraph each."""
    results, comparisons = findings.results, findings.comparisons
    if results.scored != "test":
        return [WITHOUT_TEST]
    if len(results.networks) == 1:
        return [f"**No verdict: the {results.reference} was trained alone.**"]
    pflop = results.means["pflop"]
    said = {
        name: verdict(found, results.reference, name, pflop[name] / pflop[results.reference])
        for name, found in comparisons.items()
    }
    for name, found in comparisons.items():
        if found.significant and not findings.test_stopped:
            said[name] += _elsewhere(found)
    for name, tested in findings.alike.items():
        said[name] += f" {describe_equivalence(tested, results.reference, name, len(comparisons))}"
    if len(results.networks) == 2:
        return list(said.values())
    if len(set(said.values())) == 1:
        return [f"Each compared with the {results.reference}: {next(iter(said.values()))}"]
    return [f"{name} compared with {results.reference}: {text}" for name, text in said.items()]


def verdict(comparison: Comparison, reference: str, name: str, compute: float) -> str:
    """Say what may be claimed about two methods: the headline has the numbers.

    Args:
        compute: the compute of a training of `name`, divided by the reference's.
    """
    if not comparison.enough_seeds:
        return (
            f"**Not enough evidence about the two methods:** with "
            f"{counted(comparison.seeds, 'paired seed')} p cannot fall below "
            f"{comparison.smallest_p:.3g}; p below {LEVEL} needs {SEEDS_NEEDED} seeds."
        )
    if not comparison.significant:
        return "**No evidence of a difference between the two methods.**"
    better, times = (name, compute) if comparison.difference.mean > 0 else (reference, 1 / compute)
    equal = 1 / EQUAL <= times <= EQUAL
    price = "" if equal else f", for {float(f'{times:.3g}'):,g} times the compute"
    return f"**The {better} is the better method here{price}.**"


def describe_equivalence(
    found: Equivalence, reference: str, name: str, tests_at_once: int = 1
) -> str:
    """Say whether two methods are alike within the declared margin, and how sure that is."""
    margin = found.points
    tests = f"{p_is(found.p_value)} by two one-sided t-tests (TOST), paired over the seeds"
    tests += ", not adjusted" if tests_at_once > 1 else ""
    chances = (
        f"The probability that the {name} is better by more than {margin} is "
        f"{_share(found.better)}; for the {reference} it is {_share(found.worse)} (Student's t, "
        "flat prior)."
    )
    if not found.enough_seeds:
        return chances
    if found.alike:
        return f"**They are alike within {margin}**, the declared margin ({tests}). {chances}"
    return (
        f"They are not shown to be alike within {margin}, the declared margin ({tests}). {chances}"
    )


def _share(probability: float) -> str:
    """Format a probability in percent; none is certain."""
    percent = 100 * probability
    if percent < 0.1:
        return "below 0.1 %"
    return "above 99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def _elsewhere(comparison: Comparison) -> str:
    """Say whether a verdict also holds for other test images."""
    if comparison.new_images is None or comparison.new_images.excludes_zero:
        return " The interval for other test images of the same kind excludes zero too."
    return (
        " This holds for these test images only: the interval for other images of the same kind, "
        f"{between(comparison.new_images)} points, contains zero."
    )


def warnings(findings: Findings) -> list[str]:
    """List what makes the results incomplete or not comparable, of all variants."""
    results, everything = findings.results, findings.everything
    said = [TEST_STOPPED] if findings.test_stopped else []
    said += describe_flags(everything)
    if results.uncounted:
        said.append(
            f"The operations of these layers are not counted, so the compute shown for their "
            f"network is too low: {listed(results.uncounted)}."
        )
    if results.unsettled:
        said.append(
            f"{listed(results.unsettled)}: too few steps for the moving averages of its batch "
            "norms, so its scores are too low. Lower their momentum, or train longer."
        )
    kinds = results.metrics.groupby("network")["training"].agg(_kinds)
    if mixed := [name for name in results.networks if kinds[name] > 1]:
        said.append(
            f"The seeds of the {listed(mixed)} were not all trained by the same code and library "
            "versions, so their spread has another cause too. `dvc repro --force` trains all again."
        )
    return said


def _kinds(identities: pd.Series) -> int:
    """Return how many settings these trainings have, including code and versions."""
    return identities.map(setting_of).nunique()
