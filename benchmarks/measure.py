"""Paired timing of contenders, and saving of the results."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from pipeline.core.git import git
from pipeline.sweep.command import user_environment
from pipeline.training.machine import describe_machine

mpl.use("agg")
RESULTS = Path("reports/benchmarks")


def seconds_of_command(
    folder: Path, arguments: Sequence[str], accepted: Sequence[int] = (0,)
) -> float:
    """Return the seconds that a Python command takes in a project.

    Args:
        accepted: exit codes of a success; any other raises an error.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=user_environment(),
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode not in accepted:
        done.check_returncode()
    return seconds


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser for the arguments of the benchmark that runs as `python -m`."""
    return argparse.ArgumentParser(
        prog=f"python -m {sys.modules['__main__'].__spec__.name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def measure_case(
    contenders: Mapping[str, Callable[[], float]], rounds: int, peer: str, **case: object
) -> pd.DataFrame:
    """Measure all contenders of one case; print and return the table, which begins with the case.

    Args:
        peer: the contender that the others are compared with.
        case: what is measured, like network and width.
    """
    table = summarise(measure_paired(contenders, rounds), peer).reset_index()
    for place, (name, value) in enumerate(case.items()):
        table.insert(place, name, value)
    print(table.to_string(float_format="%.3g"), flush=True)
    return table


def measure_paired(contenders: Mapping[str, Callable[[], float]], rounds: int) -> pd.DataFrame:
    """Measure all contenders in turn, `rounds` times, each round starting with a different one.

    So other load on the machine affects all of them equally.

    Args:
        contenders: functions that do the work once and return the measured value.

    Returns:
        A row per measurement: contender, round, value.
    """
    names, rows = list(contenders), []
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            rows.append({"contender": name, "round": turn, "value": contenders[name]()})
    return pd.DataFrame(rows)


def summarise(measured: pd.DataFrame, peer: str) -> pd.DataFrame:
    """Return each contender's median and range, and the median of its ratios to `peer` by round."""
    by_round = measured.pivot(index="round", columns="contender", values="value")
    return pd.DataFrame(
        {
            "median": by_round.median(),
            "lowest": by_round.min(),
            "highest": by_round.max(),
            f"ratio to {peer}": by_round.div(by_round[peer], axis=0).median(),
        }
    )


def save(
    name: str, table: pd.DataFrame, plot: Callable[[pd.DataFrame], Figure], **facts: object
) -> None:
    """Write a run's table, with machine and commit, as Markdown and JSON; draw the figure.

    Runs of the same benchmark are appended to the earlier ones.

    Args:
        plot: draws a figure of the rows of all runs so far, each with its processor.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    commit = git(Path.cwd(), "rev-parse", "--short", "HEAD", check=False)
    runs_file = RESULTS / f"{name}.json"
    runs = json.loads(runs_file.read_text()) if runs_file.exists() else []
    facts = {"commit": commit, **describe_machine(), **facts}
    runs.append({"facts": facts, "rows": table.to_dict("records")})
    runs_file.write_text(json.dumps(runs, indent=1) + "\n")
    rows_of_all = pd.DataFrame(
        [{**row, "processor": run["facts"]["processor"]} for run in runs for row in run["rows"]]
    )
    figure = plot(rows_of_all)
    figure.savefig(RESULTS / f"{name}.png", dpi=110, metadata={"Software": None})
    lines = [f"# {name}\n"]
    for number, run in enumerate(runs, 1):
        said = ", ".join(f"{key} {value}" for key, value in run["facts"].items())
        rows = pd.DataFrame(run["rows"]).to_markdown(index=False, floatfmt=".3g")
        lines.append(f"## Run {number}\n\n{said}\n\n{rows}\n")
    (RESULTS / f"{name}.md").write_text("\n".join(lines))
    print(table.to_markdown(index=False, floatfmt=".3g"))
