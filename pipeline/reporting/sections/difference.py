"""Is the difference real? Each seed's two models on the same test images."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pipeline.evaluation.plots import colours
from pipeline.reporting.comparison import Comparison, Interval, mcnemar
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import between, format_p
from pipeline.reporting.results import Results
from pipeline.reporting.section import Part, Section

ABOUT = "The difference between the networks for each seed, with intervals and p-values."

NOTE = (
    "McNemar's test compares the two *fitted models* of one seed on the same images; it does not "
    "show how much another seed would change."
)
PROMISE = (
    "*Other seeds, these test images*: the interval is Student's t over the seeds' differences, "
    "the p-value is from flips of their signs. In simulations with this code "
    "(`benchmarks/coverage`) where the seeds vary symmetrically, the interval contains the true "
    "difference in 93 to 97 % of cases with 2 to 10 seeds, and p is below 0.05 in at most 5 % of "
    "cases without a difference. If a third of the seeds collapse, the interval contains it in "
    "only 68 % of cases with 3 seeds and 90 % with 6, and p is below 0.05 in 9 %. So look at each "
    "seed's difference above. **Few seeds do not show rare collapses**: if one seed in ten loses 7 "
    "times the spread of the others, the interval contains the true difference in 85 % of cases "
    "with 6 seeds, and if it loses 20 times the spread, in 48 %; p is then below 0.05 in 10 % and "
    "47 % of cases without a difference. *Other seeds and other test images*: the variance of the "
    "images is added to that of the seeds; this interval contains the true difference in at least "
    "94 % of cases, with the same exception for collapsing seeds. {images}"
)
IMAGES_DOMINATE = (
    "Here most of the uncertainty comes from the images: **for other images, the first interval is "
    "too narrow and the p-value too small**; use the second interval."
)
IMAGES_COVERED = (
    "Here most of the uncertainty comes from the images, but with so few seeds Student's t is so "
    "wide that its interval covers other images too. The p-value is for these images only."
)
SEEDS_DOMINATE = (
    "Here most of the uncertainty comes from the seeds. The p-value is for these test images only; "
    "none is given for others."
)
ONE_SEED = (
    "A single seed says nothing about others: the interval is Student's t over the test images, "
    "for these two fitted models only."
)


def make(findings: Findings) -> Section | None:
    """Compare the two models of each seed, then the methods."""
    results = findings.results
    if not findings.comparisons:
        return None
    parts: list[Part] = []
    for name in findings.comparisons:
        if len(findings.comparisons) > 1:
            parts.append(f"### {name[0].upper()}{name[1:]} against {results.reference}")
        parts += [seeds_table(results, name), NOTE, *questions(findings.comparisons[name])]
    return Section("Is the difference real?", ABOUT, parts)


def questions(comparison: Comparison) -> list[Part]:
    """Answer for other seeds and for other images, and say how reliable each answer is."""
    new_images = comparison.new_images
    if new_images is None:
        rows = {"other test images, these two models": _answer(comparison.difference, "")}
        return [pd.DataFrame(rows).T.rename_axis("about"), ONE_SEED]
    p_value = format_p(comparison.p_value)
    rows = {
        "other seeds, these test images": _answer(comparison.difference, p_value),
        "other seeds and other test images": _answer(new_images, ""),
    }
    if not comparison.images_dominate:
        images = SEEDS_DOMINATE
    elif new_images == comparison.difference:
        images = IMAGES_COVERED
    else:
        images = IMAGES_DOMINATE
    return [pd.DataFrame(rows).T.rename_axis("about"), PROMISE.format(images=images)]


def _answer(found: Interval, p_value: str) -> dict[str, str]:
    return {
        "difference, points": f"{100 * found.mean:+.2f}",
        "95 % interval": between(found, "+.2f"),
        "p, sign flips": p_value,
    }


def seeds_table(results: Results, name: str) -> pd.DataFrame:
    """Compare the two fitted models of each seed: accuracies, difference, McNemar's test."""
    rows = []
    for seed in results.paired_seeds(name):
        reference, other = (results.hits(n, [seed])[0] for n in (results.reference, name))
        only_reference, only_other, p_value = mcnemar(reference, other)
        rows.append(
            {
                "seed": seed,
                f"{results.reference}, %": f"{100 * reference.mean():.2f}",
                f"{name}, %": f"{100 * other.mean():.2f}",
                "difference, points": f"{100 * (other.mean() - reference.mean()):+.2f}",
                f"only {results.reference} right": only_reference,
                f"only {name} right": only_other,
                "McNemar p": format_p(p_value),
            }
        )
    return pd.DataFrame(rows).set_index("seed")


def seed_accuracies(results: Results, names: list[str]) -> pd.DataFrame:
    """Return network, seed and test accuracy in percent, for the paired seeds."""
    rows = [
        {"network": name, "seed": seed, "accuracy": 100 * results.hits(name, [seed]).mean()}
        for name in names
        for seed in (results.paired_seeds(name) if name != results.reference else _paired(results))
    ]
    return pd.DataFrame(rows)


def _paired(results: Results) -> list[int]:
    """Return the reference's seeds that at least one other network has too."""
    return sorted({seed for name in results.others for seed in results.paired_seeds(name)})


def plot_seeds(accuracies: pd.DataFrame) -> Figure:
    """Plot the test accuracies, one line per seed.

    Args:
        accuracies: network, seed and accuracy in percent.
    """
    seeds = sorted(accuracies["seed"].unique())
    figure, axis = plt.subplots(figsize=(5.5, 1.4 + 0.32 * len(seeds)), layout="constrained")
    places = accuracies["seed"].map({seed: place for place, seed in enumerate(seeds)})
    spans = accuracies.assign(place=places).groupby("place")["accuracy"].agg(["min", "max"])
    axis.hlines(spans.index, spans["min"], spans["max"], color="grey", linewidth=1)
    for name, rows in accuracies.groupby("network", sort=False):
        axis.scatter(
            rows["accuracy"], places[rows.index], s=70, color=colours()[name], label=name, zorder=3
        )
    axis.set_yticks(range(len(seeds)), labels=[f"seed {seed}" for seed in seeds])
    axis.set(xlabel="test accuracy, %", ylim=(len(seeds) - 0.5, -0.5))
    axis.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=accuracies["network"].nunique())
    return figure
