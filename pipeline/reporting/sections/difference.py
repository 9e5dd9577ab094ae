"""Is the difference real? Each seed's two models on the same test images."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pipeline.evaluation.plots import colours
from pipeline.reporting.comparison import Comparison
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import between, capitalised, format_p
from pipeline.reporting.intervals import Interval
from pipeline.reporting.p_values import mcnemar
from pipeline.reporting.results import Results
from pipeline.reporting.section import Part, Section

ABOUT = "The difference between the networks for each seed, with intervals and p-values."

IMAGES_DOMINATE = (
    "Here most of the uncertainty comes from the images: **for other images, the p-value is too "
    "small, and the first interval may be too narrow**; use the second."
)
FEW = (
    "The two models differ on only {images} of the images. McNemar's p is exact even so; the "
    "interval is approximate."
)
MANY = 25  # differing images from which the interval is about right
SEEDS_DOMINATE = "Here most of the uncertainty comes from the seeds."


def make(findings: Findings) -> Section | None:
    """Compare the two models of each seed, then the methods."""
    results = findings.results
    if not findings.comparisons:
        return None
    parts: list[Part] = []
    for name in findings.comparisons:
        if len(findings.comparisons) > 1:
            parts.append(f"### {capitalised(name)} against {results.reference}")
        parts += [seeds_table(results, name), *questions(findings.comparisons[name])]
        parts += few_differ(results, name)
    return Section("Is the difference real?", ABOUT, parts)


def questions(comparison: Comparison) -> list[Part]:
    """Answer for other seeds and for other images, and say which of them matter more."""
    new_images = comparison.new_images
    if new_images is None:
        rows = {"other test images, these two models": _answer(comparison.difference)}
        return [pd.DataFrame(rows).T.rename_axis("about")]
    kind = "adjusted p" if comparison.tests > 1 else "p"
    p_value = {f"{kind}, sign flips": format_p(comparison.p_value)}
    rows = {
        "other seeds, these test images": _answer(comparison.difference) | p_value,
        "other seeds and other test images": _answer(new_images),
    }
    table = pd.DataFrame(rows).T.fillna("").rename_axis("about")
    if comparison.images_dominate:
        return [table, IMAGES_DOMINATE]
    return [table, SEEDS_DOMINATE] if comparison.spread else [table]


def few_differ(results: Results, name: str) -> list[Part]:
    """Say of two fitted models that the interval is not exact, if they differ on few images."""
    if len(results.seeds) > 1:
        return []
    images = int((results.hits(results.reference) != results.hits(name)).sum())
    return [FEW.format(images=images)] if images < MANY else []


def _answer(found: Interval) -> dict[str, str]:
    return {
        "difference, points": f"{100 * found.mean:+.2f}",
        "95 % interval": between(found, "+.2f"),
    }


def seeds_table(results: Results, name: str) -> pd.DataFrame:
    """Compare the two fitted models of each seed: accuracies, difference, McNemar's test."""
    rows = []
    hits = results.hits(results.reference), results.hits(name)
    for seed, reference, other in zip(results.seeds, *hits, strict=True):
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
    """Return network, seed and test accuracy in percent."""
    rows = [
        {"network": name, "seed": seed, "accuracy": 100 * hits.mean()}
        for name in names
        for seed, hits in zip(results.seeds, results.hits(name), strict=True)
    ]
    return pd.DataFrame(rows)


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
    figure.legend(loc="outside upper center", ncols=min(4, accuracies["network"].nunique()))
    return figure
