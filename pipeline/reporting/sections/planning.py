"""How small a difference a number of seeds can show, and what the seeds cost."""

import pandas as pd

from pipeline.reporting import power
from pipeline.reporting.comparison import Comparison
from pipeline.reporting.findings import Findings
from pipeline.reporting.formats import capitalised
from pipeline.reporting.results import Results
from pipeline.reporting.section import Part, Section
from pipeline.settings.edits import as_override

TITLE = "Which differences more seeds would show"
ABOUT = "The smallest difference that each number of seeds can detect."

PLANNED = (3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20)
SMALLEST = (
    "The smallest true difference that each number of paired seeds finds with 80 % power on these "
    "test images, if the differences' standard deviation over seeds is {spread:.1f} points, as "
    "measured here over {seeds} seeds. {floor}{caution}"
)
NOTE = (
    "*For an interval without 0*: by Student's t (noncentral t). *For a verdict*: p below 0.05 by "
    "sign flips too, which needs six seeds (simulated for 6 to 9 seeds, else by t). *Trainings* "
    "and *minutes* are totals for two networks and all seeds, run one after another, at the mean "
    "time measured here. Use the table to plan a run with new seeds: if you add seeds to this run "
    "until p is below 0.05, p is too small."
)
ADJUSTED = (
    " Here p is adjusted for {tests} comparisons, so a verdict needs a larger difference than in "
    "the table."
)
FLOOR = (
    "**On other images, no number of seeds finds a difference below {smallest:.2f} points with "
    "80 % power.** "
)
CAUTION = (
    "A standard deviation measured over {seeds} seeds is uncertain: the true one may be {low:.1f} "
    "to {high:.1f} points (95 %, chi-squared), and the differences in the table scale with it."
)
ONE_SEED = (
    "How many seeds would be enough depends on the spread between seeds, which is not known yet. "
    "Three seeds give a first idea: `dvc exp run -S 'train.seeds={seeds}'`."
)
NO_SPREAD = "All seeds have the same difference, so it is not known how seeds vary."


def make(findings: Findings) -> Section | None:
    """Show how small a difference more seeds would detect."""
    results = findings.results
    if not findings.comparisons:
        return None
    return Section(TITLE, ABOUT, _several(findings) if len(results.seeds) > 1 else _one(results))


def _one(results: Results) -> list[Part]:
    (seed,) = results.seeds
    return [ONE_SEED.format(seeds=as_override([int(seed) + more for more in range(3)]))]


def _several(findings: Findings) -> list[Part]:
    parts: list[Part] = []
    for name, comparison in findings.comparisons.items():
        if len(findings.comparisons) > 1:
            parts.append(f"### {capitalised(name)} against {findings.results.reference}")
        parts += _of_network(findings.results, name, comparison)
    known = any(comparison.spread > 0 for comparison in findings.comparisons.values())
    return [*parts, NOTE] if known else parts


def _of_network(results: Results, name: str, comparison: Comparison) -> list[Part]:
    if not comparison.spread > 0:
        return [NO_SPREAD]
    seeds, spread = comparison.seeds, 100 * comparison.spread
    low, high = power.spread_interval(spread, seeds)
    caution = CAUTION.format(seeds=seeds, low=low, high=high)
    smallest = 100 * power.smallest_of_images(comparison.image_error)
    floor = FLOOR.format(smallest=smallest) if smallest else ""
    note = SMALLEST.format(spread=spread, seeds=seeds, floor=floor, caution=caution)
    if comparison.tests > 1:
        note += ADJUSTED.format(tests=comparison.tests)
    return [planning_table(results, name, comparison), note]


def planning_table(results: Results, name: str, comparison: Comparison) -> pd.DataFrame:
    """Return, for 3 to 20 seeds, the smallest detectable differences in points, and the cost."""
    seconds = results.means["training_seconds"]
    minutes = (seconds[name] + seconds[results.reference]) / 60
    spread = 100 * comparison.spread
    rows = []
    for seeds in PLANNED:
        ratio, verdict = power.smallest_t_ratio(seeds), power.smallest_verdict_ratio(seeds)
        rows.append(
            {
                "seeds": seeds,
                "for an interval without 0, points": f"{spread * ratio:.2f}",
                "for a verdict, points": f"{spread * verdict:.2f}" if verdict else "never",
                "trainings": 2 * seeds,
                "minutes": f"{seeds * minutes:,.1f}",
            }
        )
    return pd.DataFrame(rows).set_index("seeds")
