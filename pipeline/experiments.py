"""The project's DVC experiments: their revisions, and their comparisons side by side."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import NoSCM
from ruamel.yaml import YAML, YAMLError
from scmrepo.exceptions import SCMError

from pipeline.errors import UserError
from pipeline.params import PARAMS_FILE
from pipeline.paths import COMPARISON, project_root

WORKSPACE = "workspace"
COMMIT = "commit "  # with the start of its hash
Flat = dict[str, Any]


def list_revisions() -> list[tuple[str, str | None]]:
    """Return the name and the git revision of the workspace (None), the last commit, experiments.

    Raises:
        UserError: this is no DVC repository.
    """
    try:
        with Repo(str(project_root())) as repo:
            return [(WORKSPACE, None), *_commits(repo)]
    except DvcException as error:
        raise UserError(f"DVC's repository cannot be read: {error}") from None


def _commits(repo: Repo) -> Iterator[tuple[str, str]]:
    if isinstance(repo.scm, NoSCM):
        return
    try:
        head = repo.scm.get_rev()
    except SCMError:  # no commit yet
        return
    yield COMMIT + head[:7], head
    for experiments in repo.experiments.ls(all_commits=True).values():
        yield from experiments


def open_revision(revision: str | None) -> DVCFileSystem:
    """Open the main repository's files at a revision."""
    return DVCFileSystem(str(project_root()), rev=revision)


def compare_experiments(digest: str) -> list[tuple[str, Flat, dict[str, Any]]]:
    """Return the name, params and comparison of each committed result on the same prepared data.

    Args:
        digest: of the prepared data.
    """
    found = []
    for name, revision in list_revisions():
        if revision is None:
            continue
        files = open_revision(revision)
        try:
            comparison = json.loads(files.read_text(str(COMPARISON)))
            params = YAML(typ="safe", pure=True).load(files.read_text(str(PARAMS_FILE)))
        except (OSError, ValueError, YAMLError):  # of a time before there were such files
            continue
        if comparison.get("digest") == digest:
            found.append((name, flatten(params), comparison))
    return found


def flatten(params: dict[str, Any]) -> Flat:
    """Return params by dotted key; `data` without what the digest of the data stands for."""
    return {
        f"{section}.{key}": value
        for section, values in params.items()
        for key, value in values.items()
        if section not in ("data", "report", "evaluate")
    }


def experiments_table(
    rows: list[tuple[str, Flat, dict[str, Any]]], x: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a table for reading and one for plotting.

    Args:
        rows: name, params and comparison of each experiment.
        x: the param to plot against.

    Returns:
        The first has a row for each experiment: its params that are not the same in all, seeds,
        accuracies and difference. The second has network, x, accuracy, low and high in percent, a
        row for each network of each experiment.
    """
    params = pd.DataFrame([p for _, p, _ in rows]).map(str)
    differing = [column for column in params if params[column].nunique() > 1]
    table = params[differing].assign(seeds=[c["seeds"] for _, _, c in rows])
    table.insert(0, "experiment", [name for name, _, _ in rows])
    points = []
    for name, values, comparison in rows:
        for network, accuracy in comparison["accuracy"].items():
            label = _label(values, x)
            points.append({"experiment": name, "network": network, x: label, **accuracy})
    plotted = pd.DataFrame(points)
    for key in ("mean", "low", "high"):
        plotted[key] *= 100
    by_network = plotted.pivot(index="experiment", columns="network", values="mean")
    for network in by_network:
        shown = by_network[network].map("{:.1f}".format, na_action="ignore").fillna("")
        table[f"{network}, %"] = table["experiment"].map(shown)
    table["difference, points"] = [
        "{mean:+.1f} ({low:+.1f} to {high:+.1f})".format(
            **{k: 100 * v for k, v in c["difference"].items()}
        )
        if c["difference"]
        else ""
        for _, _, c in rows
    ]
    plotted = plotted.rename(columns={"mean": "accuracy"}).sort_values(x, key=_as_numbers)
    return table.set_index("experiment"), plotted


def _label(values: Flat, x: str) -> str:
    """Return the param's value; `off` for a block size without DropBlock."""
    section, _, key = x.partition(".")
    keeps_all = values.get(f"{section}.conv_keep_end") == 1
    if key == "drop_block_size" and (keeps_all or values.get("train.variants") == ["nodrop"]):
        return "off"
    return str(values.get(x, "?"))


def _as_numbers(labels: pd.Series) -> pd.Series:
    return pd.to_numeric(labels.replace("off", "0"), errors="coerce")
