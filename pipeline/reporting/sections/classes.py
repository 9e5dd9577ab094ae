"""Where the networks differ: class by class, and which classes each confuses."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.evaluation.plots import colours, plot_confusion
from pipeline.evaluation.scores import superclass_confusion
from pipeline.reporting.comparison import compare_classes
from pipeline.reporting.findings import Findings
from pipeline.reporting.results import Results
from pipeline.reporting.section import Drawing, Part, Section

ABOUT = "Which classes each network gets right, and which it confuses."

CONFUSED_PAIRS = 10  # listed for each network
NAMED_CLASSES = 30  # bars in the figure; with more classes, only the ends of the ranking
NOTE = "Percentages are shares of the test images of the actual {group}, over all seeds."


def make(findings: Findings) -> Section:
    """Show the classes that differ, and the most confused pairs."""
    results = findings.results
    parts: list[Part] = []
    for name in findings.comparisons:
        parts += _class_by_class(results, name)
    matrices = {
        name: superclass_confusion(*predicted_classes(results, name), results.metadata)
        for name in results.networks
    }
    coarse = results.metadata["superclass_names"] != results.metadata["class_names"]
    alt = f"Confusion of {'superclasses' if coarse else 'classes'}"
    parts.append(Drawing("confusion", plot_confusion(matrices), alt, on_white=True))
    for name in results.networks:
        table = confusions(results, name, CONFUSED_PAIRS)
        parts += [f"### What the {name} confuses most", "Nothing." if table.empty else table]
    title = "Where they differ" if findings.comparisons else "Errors by class"
    group = "class (in the figure, superclass)" if coarse else "class"
    return Section(title, ABOUT, [*parts, NOTE.format(group=group)])


def _class_by_class(results: Results, name: str) -> list[Part]:
    reference = results.reference
    table = class_table(results, name)
    figure = plot_class_difference(table, reference, name)
    alt = f"Test accuracy by class, {name} minus {reference}"
    file = "class_difference_" + re.sub(r"\W+", "_", name)
    said = f"{describe_classes(table, reference, name)}{describe_shown(table)}"
    return [said, Drawing(file, figure, alt)]


def class_table(results: Results, name: str) -> pd.DataFrame:
    """Compare a network with the reference class by class."""
    reference, other = results.hits(results.reference), results.hits(name)
    return compare_classes(reference, other, results.images.labels, results.metadata["class_names"])


def describe_classes(table: pd.DataFrame, reference: str, name: str) -> str:
    """Say in how many classes the difference is significant."""
    certain = table[table["significant"]]
    better = (certain["better"] > certain["worse"]).sum()
    worse = len(certain) - better
    return (
        f"Of {len(table)} classes, the {name} is better by more than chance in {better} and the "
        f"{reference} in {worse} (sign test over each class's images, false discovery rate held at "
        "5 %; for these fitted models only)."
    )


def describe_shown(table: pd.DataFrame) -> str:
    """Say which classes the figure leaves out, if any."""
    if len(table) <= NAMED_CLASSES:
        return ""
    left_out = table.iloc[NAMED_CLASSES // 2 : -NAMED_CLASSES // 2]
    return (
        f" The figure shows the {NAMED_CLASSES // 2} classes at each end of the ranking; the "
        f"{len(left_out)} between them are left out, {left_out['significant'].sum()} of which "
        "differ by more than chance."
    )


def predicted_classes(results: Results, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and actual class of all test images, over all seeds of a network."""
    predictions = results.predictions_of(name)
    predicted = np.concatenate([values.argmax(axis=1) for values in predictions.values()])
    return predicted, np.tile(results.images.labels, len(predictions))


def confusions(results: Results, name: str, most: int) -> pd.DataFrame:
    """Return a network's most frequent errors, and how often the others make the same.

    In percent of the actual class's test images, over all seeds.
    """
    shares = {network: _confusion_shares(results, network) for network in results.networks}
    errors = shares[name]
    errors = errors[errors.index.get_level_values(0) != errors.index.get_level_values(1)]
    top = errors[errors > 0].sort_values(ascending=False, kind="stable").head(most)
    names = np.array(results.metadata["class_names"])
    table = pd.DataFrame(
        {
            "actual": names[top.index.get_level_values(0)],
            "predicted": names[top.index.get_level_values(1)],
            f"{name}, %": top.to_numpy(),
        }
    )
    for other in [network for network in results.networks if network != name]:
        table[f"{other}, %"] = shares[other].reindex(top.index, fill_value=0.0).to_numpy()
    return table.set_index("actual")


def _confusion_shares(results: Results, name: str) -> pd.Series:
    """Return the share of each (actual, predicted) pair in percent of the actual class."""
    predicted, actual = predicted_classes(results, name)
    shares = pd.crosstab(actual, predicted, normalize="index")
    return 100 * shares.rename_axis(index="actual", columns="predicted").stack()


def plot_class_difference(table: pd.DataFrame, reference: str, other: str) -> Figure:
    """Plot, per class, how much more accurate a network is than the reference, in points.

    Args:
        table: class, difference in points and significant, in the order to show. Differences that
            are not significant get pale bars.
    """
    classes = len(table)
    if classes > NAMED_CLASSES:
        table = pd.concat([table.head(NAMED_CLASSES // 2), table.tail(NAMED_CLASSES // 2)])
    figure, axis = plt.subplots(figsize=(7, 1 + 0.24 * len(table)), layout="constrained")
    table = table.assign(place=range(len(table)), other_better=table["difference"] > 0)
    for (better, certain), bars in table.groupby(["other_better", "significant"]):
        name = other if better else reference
        axis.barh(
            bars["place"], bars["difference"], color=colours()[name], alpha=1 if certain else 0.35,
            label=f"{name} better" + ("" if certain else ", within chance"),
        )  # fmt: skip
    axis.set_yticks(table["place"], labels=table["class"])
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(xlabel=f"test accuracy, {other} minus {reference}, points", ylabel="")
    if classes > len(table):
        axis.set(title=f"{len(table)} of {classes} classes: the ends of the ranking")
        axis.axhline(len(table) / 2 - 0.5, color="grey", linestyle=":")
    axis.grid(visible=False, axis="y")
    axis.legend(fontsize="small")
    return figure
