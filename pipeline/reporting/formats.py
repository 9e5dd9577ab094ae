"""Format numbers for the report: means with spread, intervals, p-values, lists of seeds."""

import re
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter

from pipeline.reporting.comparison import paired_differences
from pipeline.reporting.intervals import Interval, interval
from pipeline.reporting.results import Results

Form = Callable[[float], str]  # how to write a number


def flop(operations: float) -> str:
    """Format floating-point operations with the SI prefix of their size and three digits.

    >>> flop(2.06e10), flop(999.9e12)
    ('20.6 GFLOP', '1 PFLOP')
    """
    return EngFormatter("FLOP")(float(f"{operations:.3g}"))


def mean_and_spread(values: pd.Series, write: Form) -> str:
    """Format a mean, with the standard deviation if the values differ."""
    mean = write(round(values.mean(), 9))
    return mean if values.nunique() <= 1 else f"{mean} ± {write(values.std())}"


Number = tuple[str, Form, float]  # column of the metrics, form, factor
Rows = dict[str, Number]  # by label
PARAMETERS: Number = ("parameters", "{:,.0f}".format, 1)
COMPUTE: Number = ("pflop", flop, 1e15)
MINUTES: Number = ("training_seconds", "{:,.1f}".format, 1 / 60)
PERCENT: tuple[Form, float] = ("{:.1f}".format, 100)  # form and factor of a share


def side_by_side(results: Results, rows: Rows) -> pd.DataFrame:
    """Return a table with a column per network: means and standard deviations over its seeds.

    Rows whose metric does not exist are left out.
    """
    cells = {
        label: {
            name: mean_and_spread(results.of_network(name)[key] * scale, form)
            for name in results.networks
        }
        for label, (key, form, scale) in rows.items()
        if key in results.metrics
    }
    return pd.DataFrame(cells).T.rename_axis("")


def format_p(p_value: float) -> str:
    """Format a p-value with three digits; tiny ones as `< 0.001`."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def p_is(p_value: float) -> str:
    """Format a p-value in a sentence: `p = 0.031`, or `p < 0.001`."""
    return f"p {format_p(p_value)}" if p_value < 0.001 else f"p = {format_p(p_value)}"


def accuracy_with_interval(hits: np.ndarray) -> str:
    """Write the mean of (seeds, images) booleans of correct answers with its 95 % interval."""
    found = interval(hits)
    return f"{100 * found.mean:.1f} % ({between(found.of_accuracy(), '.1f')})"


def in_points(differences: np.ndarray) -> str:
    """Write the mean of (seeds, images) differences in accuracy with its 95 % interval."""
    found = interval(differences)
    bounds = f" ({between(found)})" if differences.size > 1 else ""
    return f"{100 * found.mean:+.1f} points{bounds}"


def between(found: Interval, form: str = "+.1f", sign: int = 1) -> str:
    """Format an interval's bounds in percent or points; sign -1 negates the interval."""
    low, high = sorted(100 * sign * bound for bound in (found.low, found.high))
    return f"{low:{form}} to {high:{form}}"


def describe_seeds(seeds: list[int]) -> str:
    """Say over which seeds a table's numbers are computed."""
    if len(seeds) == 1:
        return f"Results of seed {seeds[0]}."
    return f"Means ± standard deviations; seeds: {counted_seeds(seeds)}."


def counted_seeds(seeds: Iterable[int]) -> str:
    """Format the number of seeds and which they are: `1 (seed 0)`, `6 (0 to 5)`, `3 (0, 2, 5)`."""
    numbers = sorted(seeds)
    if len(numbers) == 1:
        return f"1 (seed {numbers[0]})"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{len(numbers)} ({numbers[0]} to {numbers[-1]})"
    return f"{len(numbers)} ({', '.join(map(str, numbers))})"


def by_size(value: str) -> tuple[float, str]:
    """Return a sort key for values of a param: numbers by size, `off` as 0, then words."""
    try:
        return (0.0 if value == "off" else float(value)), value
    except ValueError:
        return float("inf"), value


def escape(text: str) -> str:
    """Escape what would end a table cell or start HTML, a link, a picture, emphasis or code.

    A `<` before a space is harmless.
    """
    return re.sub(r"[\\|`*\[]|<(?! )", r"\\\g<0>", text)


def counted(count: int, what: str) -> str:
    """Format a count with its noun: 1 seed, 2 seeds."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def listed(names: list[str], joint: str = "and") -> str:
    """Join names: `a`, `a and b`, or `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} {joint} {last}" if most else last


def capitalised(text: str) -> str:
    """Return the text with a capital first letter; the others stay as they are."""
    return f"{text[0].upper()}{text[1:]}"


def all_networks(results: Results) -> str:
    """Name the compared networks together: the network, both networks, or all networks."""
    counts = {1: "the network", 2: "both networks"}
    return counts.get(len(results.networks), "all networks")


def with_differences(
    values: dict[str, np.ndarray], write: Callable[[np.ndarray], str]
) -> dict[str, str]:
    """Write each network's (seeds, images) values, and the differences from the first network."""
    (reference, first), *others = values.items()
    return {name: write(value) for name, value in values.items()} | {
        f"{name} minus {reference}": in_points(paired_differences(first, value))
        for name, value in others
    }
