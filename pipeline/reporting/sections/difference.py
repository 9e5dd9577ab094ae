"""Whether the difference is real: each seed's two models on the same test images."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from pipeline.evaluation.plots import colours
from pipeline.reporting.comparison import mcnemar
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import format_p, listed
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Part, Section

NOTE = (
    "The interval in the first line is a bootstrap of seeds and test images together, the p-value "
    "all flips of the seeds' signs. McNemar's test compares the two *fitted models* of one seed on "
    "the same images; it says nothing of what another seed would give."
)


def make(findings: Findings) -> Section | None:
    """Set the models of each seed side by side."""
    results = findings.results
    if not findings.comparisons:
        return None
    parts: list[Part] = []
    for name in findings.comparisons:
        if len(findings.comparisons) > 1:
            parts.append(f"### {name[0].upper()}{name[1:]} against {results.reference}")
        parts.append(seeds_table(results, name))
    shown = [results.reference, *findings.comparisons]
    alt = f"Test accuracy of each seed, {listed(shown)}"
    parts += [NOTE, Drawing("seeds", plot_seeds(seed_accuracies(results, shown)), alt)]
    return Section("Is the difference real?", parts)


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
    """Return network, seed and test accuracy in percent, of the seeds that are paired."""
    rows = [
        {"network": name, "seed": seed, "accuracy": 100 * results.hits(name, [seed]).mean()}
        for name in names
        for seed in (results.paired_seeds(name) if name != results.reference else _paired(results))
    ]
    return pd.DataFrame(rows)


def _paired(results: Results) -> list[int]:
    """Return the seeds of the reference that any other network has too."""
    return sorted({seed for name in results.others for seed in results.paired_seeds(name)})


def plot_seeds(accuracies: pd.DataFrame) -> Figure:
    """Plot each seed's test accuracy as a line from network to network.

    Args:
        accuracies: network, seed and accuracy in percent.
    """
    networks = accuracies["network"].nunique()
    figure, axis = plt.subplots(figsize=(2.5 * networks, 3.6), layout="constrained")
    sns.lineplot(
        accuracies, x="network", y="accuracy", units="seed", estimator=None, color="grey", ax=axis
    )
    sns.scatterplot(
        accuracies, x="network", y="accuracy", hue="network", palette=colours(), s=70, ax=axis,
        legend=False, zorder=3,
    )  # fmt: skip
    axis.set(xlabel="", ylabel="test accuracy, %", xlim=(-0.4, networks - 0.6))
    return figure
