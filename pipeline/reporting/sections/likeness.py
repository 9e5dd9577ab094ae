"""Like with like: what differs beside the architecture, and what can be held equal."""

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.core.recipe import Variant
from pipeline.core.records import SPLIT_NAMES
from pipeline.evaluation.plots import colours
from pipeline.reporting.comparison import paired_differences
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import (
    accuracy_with_interval,
    cost,
    in_points,
    interval_note,
    listed,
)
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Part, Section

LABELS: dict[Variant, str] = {
    "dropblock": "each its own DropBlock",
    "nodrop": "without DropBlock",
    "unitdrop": "both drop single units alike",
}
TABLE_NOTE = (
    "Test accuracy by network and kind of DropBlock. What a network is ahead of the {reference} "
    "*without DropBlock* is what the rest of the two recipes is worth: architecture, width, epochs "
    "and compute. `dvc exp run -S model.skip_connections=false` takes the skip connections alone "
    "away. The last corner: by how much more that network loses by its DropBlock."
)
NO_TABLE = (
    "What DropBlock contributes, and what the architecture does where both drop alike: `dvc exp "
    "run -S 'train.variants=[dropblock,nodrop,unitdrop]'` trains {all} in these ways too (without "
    "DropBlock; single units with the same probability in all epochs)."
)
BUDGET_NOTE = (
    "The best {watched} accuracy that a training had reached by then, as a mean over the seeds "
    "with their range; *too little* stands for less than one epoch, *ended* for trainings that "
    "were through by then, for less. These are readings on the way of longer trainings, whose "
    "learning rate is still high then and whose images may still be small: **a training made for "
    "the smaller budget does better in it, often by much.** They show who learns faster; none is "
    "of two trainings that were made for the same cost."
)
BUDGETS = 6  # rows of the table of each kind
EQUAL = 1.02  # times the compute, up to which two trainings cost the same
UNITS = {"pflop": "training compute, PFLOP", "minutes": "minutes of training"}


def make(findings: Findings) -> Section:
    """Show what is not equal, and the networks where it is."""
    results = findings.results
    parts = ablation(findings)
    if len(results.names) > 1 and results.watched:
        watched = SPLIT_NAMES[results.watched]
        drawing = Drawing(
            "equal_budgets",
            plot_budgets(results.history, watched),
            f"Best {watched} accuracy so far against compute and minutes",
        )
        parts += ["### On the way: by compute and by time", drawing]
        parts += [budget_table(results, column) for column in UNITS]
        parts.append(BUDGET_NOTE.format(watched=watched))
    return Section("Like with like", [*parts, *as_expensive(findings)])


def unequal(findings: Findings) -> list[str]:
    """Say what the networks of the headline differ in beside their architecture; page's top."""
    params, results = findings.params, findings.results
    if len(results.networks) < 2 or not findings.comparisons:
        return []
    variant = findings.everything.variants[0]
    recipes = [params.network(network, variant) for network in params.train.networks]
    pairs = zip(results.networks, recipes, strict=True)
    said = [f"the {name} has {recipe.dropblock}" for name, recipe in pairs]
    costs = [cost(results, name) for name in findings.comparisons]
    return [
        f"The headline compares whole recipes, not only the architectures: {listed(said)}. They "
        f"differ in cost too: {'; '.join(costs)}. *Like with like*, below, gives the comparisons "
        "with other factors held equal."
    ]


def ablation(findings: Findings) -> list[Part]:
    """Show network by kind of DropBlock, or say how to find out."""
    everything = findings.everything
    compared = len(findings.comparisons) == len(everything.networks) - 1
    if len(everything.variants) < 2 or everything.missing or not compared:
        counts = {1: "the network", 2: "both networks"}
        return [NO_TABLE.format(all=counts.get(len(everything.networks), "all networks"))]
    title = "### The architecture, and what DropBlock adds"
    seeds = min(len(everything.of(v).paired_seeds(*everything.networks))
                for v in everything.variants)  # fmt: skip
    note = interval_note(seeds)
    if len(everything.networks) > 1:
        note = f"{TABLE_NOTE.format(reference=everything.reference)} {note}"
    return [title, ablation_table(everything), note]


def ablation_table(results: Results) -> pd.DataFrame:
    """Return the test accuracy of each network by kind of DropBlock, and the differences.

    Over the seeds that all networks have.
    """
    names, reference = results.networks, results.reference
    seeds = {v: results.of(v).paired_seeds(*names) for v in results.variants}
    hits = {(n, v): results.of(v).hits(n, seeds[v]) for n in names for v in results.variants}
    table: dict[str, dict[str, str]] = {
        LABELS[variant]: {
            **{name: accuracy_with_interval(hits[name, variant]) for name in names},
            **{
                f"{name} minus {reference}": in_points(
                    paired_differences(hits[reference, variant], hits[name, variant])
                )
                for name in names[1:]
            },
        }
        for variant in results.variants
    }
    if "nodrop" in seeds:
        for variant in ("dropblock", "unitdrop"):
            if seeds.get(variant) == seeds["nodrop"]:
                gained = {n: paired_differences(hits[n, "nodrop"], hits[n, variant]) for n in names}
                table[f"{LABELS[variant]}, minus without"] = {
                    **{name: in_points(gained[name]) for name in names},
                    **{
                        f"{name} minus {reference}": in_points(gained[name] - gained[reference])
                        for name in names[1:]
                    },
                }
    return pd.DataFrame(table).T.fillna("").rename_axis("")


def best_so_far(history: pd.DataFrame) -> pd.DataFrame:
    """Return network, seed, pflop, minutes and the best watched accuracy up to each epoch."""
    return history.assign(
        minutes=history["elapsed"] / 60,
        best=history.groupby(["network", "seed"])["watched_accuracy"].cummax(),
    )[["network", "seed", "pflop", "minutes", "best"]]


def budget_table(results: Results, column: str) -> pd.DataFrame:
    """Return the best watched accuracy of each network within given budgets, in percent.

    Args:
        column: "pflop" or "minutes"; the budgets are a geometric row from the least that an epoch
            takes to the most that a training took.
    """
    curves = best_so_far(results.history)
    budgets = np.geomspace(curves[column].min(), curves[column].max(), BUDGETS)
    rows: list[dict[str, Any]] = []
    for budget in budgets:
        cells = {f"{n}, %": _reached(curves, n, column, budget) for n in results.names}
        rows.append({UNITS[column]: f"{budget:,.3g}", **cells})
    return pd.DataFrame(rows).set_index(UNITS[column])


def best_within(curves: pd.DataFrame, name: str, column: str, budget: float) -> np.ndarray:
    """Return the best accuracy of each seed of a network within a budget, from 0 to 1.

    Empty where any of the seeds has no epoch within it.
    """
    mine = curves[curves["network"] == name]
    within = mine[mine[column] <= budget * (1 + 1e-9)].groupby("seed")["best"].max()
    complete = len(within) == mine["seed"].nunique()
    return within.to_numpy() if complete else np.array([])


def _reached(curves: pd.DataFrame, name: str, column: str, budget: float) -> str:
    """Write what a network had reached within a budget, and whether its trainings were over."""
    values = best_within(curves, name, column, budget)
    if not len(values):
        return "too little"
    # The next budget of the row may be the very end of the longest training.
    ended = budget > curves.loc[curves["network"] == name, column].max() * (1 + 1e-9)
    return _range(values) + (", ended" if ended else "")


def _range(values: np.ndarray) -> str:
    spread = f" ({100 * values.min():.1f} to {100 * values.max():.1f})" if len(values) > 1 else ""
    return f"{100 * values.mean():.1f}{spread}"


def plot_budgets(history: pd.DataFrame, watched: str) -> Figure:
    """Plot the best accuracy so far of each training against compute and minutes, logarithmic."""
    curves = best_so_far(history)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for axis, (column, label) in zip(axes, UNITS.items(), strict=True):
        for (name, _), curve in curves.groupby(["network", "seed"], sort=False):
            axis.step(curve[column], 100 * curve["best"], where="post", color=colours()[name])
        ticks = round_numbers(curves[column].min(), curves[column].max())
        axis.set(xscale="log", xlabel=label)
        axis.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        axis.set_xticks([], minor=True)
    for name in dict.fromkeys(curves["network"]):
        axes[0].plot([], [], color=colours()[name], label=name)
    axes[0].set(ylabel=f"best {watched} accuracy so far, %", ylim=(0, None))
    axes[0].legend()
    return figure


def round_numbers(low: float, high: float, most: int = 6) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between two numbers, every so many of them.

    >>> round_numbers(0.4, 30)
    [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers = [float(f"{factor}e{exponent}") for exponent in exponents for factor in (1, 2, 5)]
    within = [number for number in numbers if low <= number <= high]
    return within[:: math.ceil(len(within) / most)] if within else [low]


def as_expensive(findings: Findings) -> list[Part]:
    """Say how much compute the networks took, where that is not equal."""
    results = findings.results
    pflop = results.metrics.groupby("network")["pflop"].mean()
    costly, cheap = str(pflop.idxmax()), str(pflop.idxmin())
    if pflop[costly] <= EQUAL * pflop[cheap]:
        return []
    times = pflop[costly] / pflop[cheap]
    return [
        "### Equal compute",
        f"A training of the {costly} takes {times:.1f} times the compute of the {cheap}. Compute "
        "grows with the square of a network's width and in proportion to its epochs: to compare at "
        f"equal compute, make the {cheap} about {times**0.5:.2f} times as wide, look at *training "
        "compute* in the table of scores, and adjust its epochs until the two agree.",
    ]
