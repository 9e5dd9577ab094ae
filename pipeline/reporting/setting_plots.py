"""Plot settings and contrasts: accuracies and differences, with intervals."""

from collections import Counter
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.plots import colour_of
from pipeline.reporting.contrasts import Contrast
from pipeline.reporting.formats import by_size, counted, format_p
from pipeline.reporting.intervals import t_interval
from pipeline.reporting.tried import Setting, value_of

LABEL_WIDTH = 40  # characters in a line of a label


def plot_settings(settings: list[Setting], x: str) -> Figure:
    """Plot the accuracy of settings, with 95 % intervals, against a param.

    Numbers are drawn to scale. A network with only one setting is a horizontal line. A setting
    whose number of seeds differs from the usual one is labelled with it.

    Args:
        settings: of each network, those that differ only in this param.
        x: the param, in which those of at least one network differ.
    """
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    usual = Counter(len(s.right) for s in settings).most_common(1)[0][0]
    networks = list(dict.fromkeys(s.network for s in settings))
    of_network = [[s for s in settings if s.network == network] for network in networks]
    places = scale([value_of(s, x) for mine in of_network if len(mine) > 1 for s in mine], axis)
    for place, mine in enumerate(of_network):
        if len(mine) > 1:
            _plot_points(axis, mine, x, places, 0.008 * (place - len(networks) / 2), usual)
        else:
            _plot_line(axis, mine[0], usual)
    axis.set(xlabel=x, ylabel=f"{settings[0].scored} accuracy, %")
    title = f"{counted(usual, 'seed')}, unless labelled otherwise"
    figure.legend(title=title, loc="outside upper center", ncols=len(networks), fontsize="small")
    return figure


def scale(values: list[str], axis: Axes) -> dict[str, float]:
    """Return each value's position, and label the axis; numbers to scale, words in order.

    `off` is at 0. If all numbers are above 0 and span more than a factor of 30, the scale is
    logarithmic.
    """
    numbers = {value: by_size(value)[0] for value in values}
    if any(np.isinf(number) for number in numbers.values()):
        places = {value: float(i) for i, value in enumerate(sorted(numbers, key=by_size))}
    else:
        places = numbers
    low, high = min(places.values()), max(places.values())
    if places is numbers and low > 0 and high > 30 * low:
        axis.set(xscale="log", xlim=(low / 1.3, high * 1.3))
    else:
        margin = 0.08 * (high - low) or 0.5
        axis.set(xlim=(low - margin, high + margin))
    axis.set_xticks(list(places.values()), labels=list(places))
    axis.set_xticks([], minor=True)
    return places


def _plot_points(
    axis: Axes, settings: list[Setting], x: str, places: dict[str, float], dodge: float, usual: int
) -> None:
    """Plot a network's settings; settings with the same value are side by side."""
    colour, taken = colour_of(settings[0].network), dict.fromkeys(places, 0)
    for setting in settings:
        value = value_of(setting, x)
        place = _shift(axis, places[value], dodge + 0.02 * taken[value])
        taken[value] += 1
        found = t_interval(100 * setting.accuracies)
        half = np.nan_to_num([[found.mean - found.low], [found.high - found.mean]])
        axis.errorbar(
            place, found.mean, yerr=half, fmt="o", capsize=3, color=colour,
            label=setting.network if setting is settings[0] else None,
        )  # fmt: skip
        if len(setting.right) != usual:
            text = counted(len(setting.right), "seed")
            axis.annotate(
                text, (place, found.mean), xytext=(5, 4), textcoords="offset points", size=8
            )


def _shift(axis: Axes, place: float, fraction: float) -> float:
    """Return a position moved by a fraction of the axis."""
    low, high = axis.get_xlim()
    if axis.get_xscale() == "log":
        return place * (high / low) ** fraction
    return place + fraction * (high - low)


def _plot_line(axis: Axes, setting: Setting, usual: int) -> None:
    """Draw a network's only setting as a horizontal line."""
    found, colour = t_interval(100 * setting.accuracies), colour_of(setting.network)
    seeds = f", {counted(len(setting.right), 'seed')}" if len(setting.right) != usual else ""
    axis.axhline(found.mean, color=colour, label=f"{setting.network} (as in the reference{seeds})")
    if len(setting.right) > 1:
        axis.axhspan(found.low, found.high, color=colour, alpha=0.15, linewidth=0)


def plot_contrasts(contrasts: list[Contrast]) -> Figure:
    """Plot each contrast on its own line: differences by seed, mean and interval."""
    labels = [
        f"{fill(f'{c.setting.network}: {c.label}', LABEL_WIDTH)}\n({_tested(c)})" for c in contrasts
    ]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure, axis = plt.subplots(figsize=(7, 1.3 + 0.25 * lines), layout="constrained")
    for place, c in enumerate(contrasts):
        values = 100 * np.array(list(c.by_seed.values()))
        colour, found = colour_of(c.setting.network), c.difference
        axis.plot(values, [place] * len(values), "|", color="grey", markersize=11)
        half = np.nan_to_num([[found.mean - found.low], [found.high - found.mean]])
        axis.errorbar(
            100 * found.mean, place, xerr=100 * half, fmt="o", capsize=4, color=colour, zorder=3
        )
    axis.set_yticks(range(len(contrasts)), labels=labels, fontsize="small")
    axis.axvline(0, color="black", linewidth=0.8)
    label = f"difference in {contrasts[0].setting.scored} accuracy, points"
    axis.set(xlabel=label, ylim=(len(contrasts) - 0.5, -0.5))
    axis.grid(visible=False, axis="y")
    return figure


def _tested(contrast: Contrast) -> str:
    seeds = counted(len(contrast.by_seed), "seed")
    return f"{seeds}, adjusted p {format_p(contrast.p_value)}"
