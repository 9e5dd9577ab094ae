"""Inject faults into whole runs until the log has as many as asked for; write the table.

Each round interrupts one way of running several times. Its number determines way, faults and
moments, so that an interrupted campaign goes on where it was: rounds in the log are left out.
"""

import argparse
import csv
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError, run_command, warn
from pipeline.core.git import git
from pipeline.sweep.command import user_environment
from tests.chaos.table import COLUMNS, read_log, write_page
from tests.chaos.ways import PARAMS, WAYS, Way
from tests.conftest import REPOSITORY, make_project

NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child",
              "--mount-proc"]  # fmt: skip


def run_round(folder: Path, name: str, way: Way, length: float) -> dict[str, Any]:
    """Run a round in a process of its own and return what it wrote."""
    (folder / "disk").mkdir(exist_ok=True)
    command = [*NAMESPACES, sys.executable, "-m", "tests.chaos.round", str(folder), name, way.name]
    done = subprocess.run(
        [*command, str(length)], cwd=REPOSITORY, env=user_environment(), text=True,
        capture_output=True,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"round {name} of {way.name} failed: {done.stdout}{done.stderr}")
    return json.loads((folder / f"{name}.json").read_text())


def uninterrupted(folder: Path, way: Way) -> dict[str, Any]:
    """Return what a run without faults wrote; run it unless that was done."""
    name = f"uninterrupted-{way.name.replace(' ', '-')}"
    file = folder / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else run_round(folder, name, way, 0)


def attempt(folder: Path, number: int, whole: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Run a round; return a row for each fault."""
    way = WAYS[number % len(WAYS)]
    expected = whole[way.name]
    try:
        found = run_round(folder, str(number), way, expected["length"])
    except UserError as error:  # a fault of the harness; the round is not in the log
        warn(str(error))
        return []
    compared = found["results"]
    differs = [k for k in expected["results"] | compared
               if expected["results"].get(k) != compared.get(k)]  # fmt: skip
    lost = found["problem"] or ("differs: " + "; ".join(differs) if differs else "")
    share = max(1, len(found["rows"]))
    rows = [{
        "round": number, "way": way.name, **row, "needed": "; ".join(row["needed"]),
        "verdict": "lost" if lost else "repaired" if row["needed"] else "survived", "lost": lost,
        "lost_cpu_seconds": round((found["cpu_seconds"] - expected["cpu_seconds"]) / share, 1),
        "lost_seconds": round((found["seconds"] - expected["seconds"]) / share, 1),
    } for row in found["rows"]]  # fmt: skip
    if not lost and not any(row["traceback"] for row in rows):
        (folder / f"{number}.txt").unlink()
    return rows


def campaign(folder: Path, log: Path, faults: int, jobs: int) -> Iterator[dict[str, Any]]:
    """Run rounds until the log has so many faults; yield each fault's row as it is added."""
    if not (folder / "clean" / "params.yaml").exists():
        make_project(folder / "clean", **PARAMS)
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda way: uninterrupted(folder, way), WAYS)
        whole = dict(zip([way.name for way in WAYS], found, strict=True))
    from pipeline.training.machine import describe_machine  # imports TensorFlow

    made = {"commit": folder.name, "processor": describe_machine()["processor"]}
    rows = read_log(log) if log.exists() else []
    done, count = {int(row["round"]) for row in rows}, len(rows)
    todo = (number for number in itertools.count() if number not in done)
    with log.open("a", newline="") as opened, ThreadPoolExecutor(jobs) as pool:
        writer = csv.DictWriter(opened, COLUMNS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        running: set[Future[list[dict[str, Any]]]] = set()
        while count < faults or running:
            while count < faults and len(running) < jobs:
                running.add(pool.submit(attempt, folder, next(todo), whole))
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for added in ([row | made for row in each.result()] for each in ended):
                writer.writerows(added)
                opened.flush()
                count += len(added)
                yield from added


def main() -> None:
    """Read the command line and run the campaign."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("faults", type=int, help="faults that the log is to have")
    parser.add_argument("--jobs", type=int, default=1, help="rounds at once")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".chaos")
    parser.add_argument("--reports", type=Path, default=REPOSITORY / "reports" / "reliability")
    asked = parser.parse_args()
    # Another commit has other results.
    folder = asked.folder / git(REPOSITORY, "rev-parse", "--short", "HEAD")
    for made in (folder, asked.reports):
        made.mkdir(parents=True, exist_ok=True)
    for row in campaign(folder, asked.reports / "faults.csv", asked.faults, asked.jobs):
        print(" | ".join(str(row[key]) for key in COLUMNS), flush=True)
    write_page(asked.reports)


if __name__ == "__main__":
    sys.exit(run_command(main))
