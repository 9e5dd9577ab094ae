"""Whether this run agrees with the published results of the same params on the same data."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.core.errors import UserError
from pipeline.core.files import COMPARISON, REPORTS, read_json, read_yaml
from pipeline.reporting.formats import counted, listed
from pipeline.reporting.p_values import LEVEL
from pipeline.reporting.tried import Result, Values, params_of, typed
from pipeline.settings.params import PARAMS_FILE
from pipeline.versioning.experiments import params_of_report
from pipeline.versioning.repository import read_lock

AGREES, DISAGREES = "within seed variation", "beyond seed variation"
OTHER_DATA = "data: other training or test images, or other labels"
NO_CONTENT = "data: unknown, because an earlier version published that report"
SPLIT = ("seed", "validation_fraction", "split_by_seed", "duplicate_correlation")  # keys of data
UNKNOWN = "unknown: with one seed each, the spread between seeds is unknown"


def verify(folder: Path | None) -> tuple[pd.DataFrame, Path]:
    """Compare this run with published results.

    Args:
        folder: a published report's; None: the one with the same data and params.

    Returns:
        A row for each network that both have, and the published report's folder.

    Raises:
        UserError: there is no run here, or no published report has the same data and params.
    """
    here = _this_run()
    known = [read_published(folder)] if folder else list_published()
    has_not = f"{folder} does not have" if folder else "no published report has"
    alike = [result for result in known if _shared(here, result)]
    if not alike:
        raise UserError(
            f"{has_not} {listed(list(here.summary['sections']), 'or')}, which this "
            f"run trained; published are {', '.join(result.name for result in known)}"
        )
    differing = {result.name: _differences(here, result) for result in alike}
    published = min(alike, key=lambda result: len(differing[result.name]))
    if different := differing[published.name]:
        raise UserError(
            f"{has_not} the same data and params; {published.name} is the closest with "
            f"{counted(len(different), 'difference')}:\n"
            + "\n".join(f"  {line}" for line in different[:10])
        )
    shared = sorted(_shared(here, published))
    level = LEVEL / len(shared)  # Bonferroni
    rows = [
        {"network": n, **_agreement(_accuracies(here, n), _accuracies(published, n), level)}
        for n in shared
    ]
    return pd.DataFrame(rows), Path(published.name)


def _this_run() -> Result:
    params = params_of_report(read_lock(Path()))
    if not params or not COMPARISON.exists():
        raise UserError("no results yet; run `dvc repro`")
    return Result(str(REPORTS), params, read_json(COMPARISON, "content"))


def list_published() -> list[Result]:
    """Return the published reports, each by the name of its folder in reports/.

    Raises:
        UserError: there are none.
    """
    folders = sorted(file.parent for file in REPORTS.glob(f"*/**/{PARAMS_FILE}"))
    if not folders:
        raise UserError(f"no published report in {REPORTS}/*/; get one: `git checkout {REPORTS}`")
    return [read_published(folder) for folder in folders]


def read_published(folder: Path) -> Result:
    """Read a published report.

    Raises:
        UserError: the folder holds no published report.
    """
    for file in (folder / PARAMS_FILE, folder / COMPARISON.name):
        if not file.exists():
            raise UserError(f"{folder} holds no published report: {file.name} is missing")
    params = read_yaml(folder / PARAMS_FILE)
    return Result(str(folder), params, read_json(folder / COMPARISON.name))


def _differences(here: Result, published: Result) -> list[str]:
    """List what differs between two results, apart from their seeds."""
    shared = _shared(here, published)
    mine, theirs = (_decisive(one, shared) for one in (here, published))
    same = here.summary["content"] == published.summary.get("content")
    lines = [] if same else [OTHER_DATA if "content" in published.summary else NO_CONTENT]
    for key in sorted(mine | theirs):
        if (ours := mine.get(key)) != (other := theirs.get(key)):
            lines.append(f"{key}: {ours} here, {other} published")
    return lines


def _decisive(result: Result, networks: set[str]) -> Values:
    """Return what decides a result besides the images and the seeds, by the name that is shown."""
    values = typed(result.params)["data"]
    data = {f"data: {key}": values.get(key) for key in SPLIT}
    recipes = {f"{name}: {k}": v for name in networks for k, v in params_of(result, name).items()}
    return {**data, "scored": result.summary.get("scored"), **recipes}


def _shared(here: Result, published: Result) -> set[str]:
    return {
        name
        for name, section in here.summary["sections"].items()
        if published.summary.get("sections", {}).get(name) == section
    }


def _accuracies(result: Result, network: str) -> pd.Series:
    """Return a network's accuracies from 0 to 1, by seed."""
    return pd.Series(result.summary["accuracy"][network]["right"]) / result.summary["images"]


def _agreement(here: pd.Series, published: pd.Series, level: float) -> dict[str, str]:
    """Compare a network's accuracies by seed, 0 to 1, in two runs of the same recipe.

    Args:
        level: how often two runs that differ only in their seeds are called different.
    """
    difference = here.mean() - published.mean()
    with warnings.catch_warnings(action="ignore"):  # one seed each, or all alike
        # How far the means of other seeds would differ, with the variance pooled over both runs.
        found = stats.ttest_ind(here, published).confidence_interval(1 - level)
    explained = (found.high - found.low) / 2
    if here.equals(published):
        agreement = "identical"
    elif np.isnan(explained):
        agreement = UNKNOWN
    else:
        agreement = AGREES if abs(difference) <= explained else DISAGREES
    return {
        "here, %": _described(here),
        "published, %": _described(published),
        "difference, points": f"{100 * difference:+.2f}",
        "seed variation, points": f"{100 * explained:.2f}",
        "agreement": agreement,
    }


def _described(accuracies: pd.Series) -> str:
    seeds = "seed" if len(accuracies) == 1 else "seeds"
    return f"{100 * accuracies.mean():.2f} ({seeds} {', '.join(accuracies.index)})"
