"""This run beside all experiments on the same data."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from pipeline.evaluation.plots import colours
from pipeline.reporting.experiments import Experiment, Flat
from pipeline.reporting.findings import Findings
from pipeline.reporting.section import Drawing, Part, Section

ALONE = (
    "There are no other results on this data yet; `dvc exp run -S model.drop_block_size=7` makes "
    "some."
)
NOTE = (
    "The results on the same prepared data in this repository's DVC experiments and last commit, "
    "with the parameters that are not the same in all. Differences with 95 % intervals. `make "
    "report` refreshes this."
)


def make(findings: Findings) -> Section | None:
    """Show the experiments as a table and as a figure."""
    if not findings.experiments:
        return None
    x = findings.params.report.experiments_x
    table = experiments_table(findings.experiments)
    figure = plot_experiments(experiment_points(findings.experiments, x), x)
    parts: list[Part] = [table, *([ALONE] if len(table) == 1 else []), NOTE]
    drawing = Drawing("experiments", figure, f"Test accuracy of all experiments against {x}")
    return Section("Across experiments", [*parts, drawing])


def experiments_table(experiments: list[Experiment]) -> pd.DataFrame:
    """Return a row for each experiment: params that are not the same in all, and its accuracies."""
    params = pd.DataFrame([e.params for e in experiments]).map(str)
    table = params[[column for column in params if params[column].nunique() > 1]].copy()
    table.insert(0, "experiment", [e.name for e in experiments])
    table["seeds"] = [seeds_compared(e) for e in experiments]
    for name in networks_of(experiments):
        accuracies = [e.summary["accuracy"].get(name) for e in experiments]
        table[f"{name}, %"] = [f"{100 * a['mean']:.1f}" if a else "" for a in accuracies]
    pairs = {
        (e.summary["reference"], n): None for e in experiments for n in e.summary["differences"]
    }
    for reference, name in pairs:
        column = f"{name} minus {reference}, points"
        table[column] = [_difference(e, reference, name) for e in experiments]
    return table.set_index("experiment")


def seeds_compared(experiment: Experiment) -> str:
    """Say over how many seeds an experiment's networks are compared."""
    counts = {found["seeds"] for found in experiment.summary["differences"].values()}
    return ", ".join(map(str, sorted(counts))) or "0"


def networks_of(experiments: list[Experiment]) -> list[str]:
    """Return the networks that any of the experiments has, in the order of the first one."""
    return list(dict.fromkeys(name for e in experiments for name in e.summary["accuracy"]))


def _difference(experiment: Experiment, reference: str, name: str) -> str:
    summary = experiment.summary
    if summary["reference"] != reference or name not in summary["differences"]:
        return ""
    found = summary["differences"][name]
    mean, low, high = (100 * found[key] for key in ("mean", "low", "high"))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def experiment_points(experiments: list[Experiment], x: str) -> pd.DataFrame:
    """Return experiment, network, x, accuracy, low and high in percent, in the order of x.

    Args:
        x: the param to plot against.
    """
    points = [
        {
            "experiment": experiment.name,
            "network": network,
            x: value_of(experiment.params, x),
            "accuracy": 100 * found["mean"],
            "low": 100 * found["low"],
            "high": 100 * found["high"],
        }
        for experiment in experiments
        for network, found in experiment.summary["accuracy"].items()
    ]
    return pd.DataFrame(points).sort_values(x, key=_as_numbers)


def value_of(params: Flat, key: str) -> str:
    """Return a param's value; `off` for a block size without DropBlock."""
    section, _, name = key.partition(".")
    keeps_all = params.get(f"{section}.conv_keep_end") == 1
    if name == "drop_block_size" and (
        keeps_all or (params.get("train.variants") or [])[:1] == ["nodrop"]
    ):
        return "off"
    return str(params.get(key, "?"))


def _as_numbers(labels: pd.Series) -> pd.Series:
    return pd.to_numeric(labels.replace("off", "0"), errors="coerce")


def plot_experiments(table: pd.DataFrame, x: str) -> Figure:
    """Plot the test accuracy of all experiments, with 95 % intervals, against a parameter.

    Args:
        table: network, x (the parameter's value), accuracy, low and high in percent.
        x: the parameter's name.
    """
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    values = {value: place for place, value in enumerate(table[x].unique())}
    for offset, (name, rows) in enumerate(table.groupby("network")):
        # Side by side where several experiments share a value.
        repeat = rows.groupby(x).cumcount()
        places = rows[x].map(values) + 0.12 * (offset - 0.5) + 0.05 * repeat
        errors = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        axis.errorbar(
            places, rows["accuracy"], yerr=errors, fmt="o", capsize=3, color=colours()[str(name)],
            label=name,
        )  # fmt: skip
    axis.set_xticks(list(values.values()), labels=[str(v) for v in values])
    # A single value stands in the middle, not spread over the whole width.
    axis.set(xlabel=x, ylabel="test accuracy, %", xlim=(-0.5, len(values) - 0.5))
    axis.legend()
    return figure
