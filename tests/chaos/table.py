"""The log of all faults, and the page that sums it up."""

from pathlib import Path
from typing import Any

import pandas as pd

COLUMNS = ["round", "way", "fault", "hit", "moment", "stage", "verdict", "needed", "lost",
           "traceback", "lost_cpu_seconds", "lost_seconds", "commit", "processor"]  # fmt: skip
PAGE = """\
# Faults injected into whole runs

`make chaos N=...` interrupts or damages whole runs at random moments until the log has N faults. It
follows the messages until each run succeeds, then compares it with one that nothing interrupted:
weights, histories, scores, predictions, the runs, models and champion in MLflow's store, and DVC's
experiments.
**{count} faults: {survived} survived, {repaired} repaired, {lost} lost.** The lost ones are three
rounds, and three bugs: an emptied mlflow.db was taken for a new store, MLflow runs that were made
again lacked the commit of their training, and a changed key in dvc.lock went unnoticed. The bugs
were fixed, and the same rounds repeated: they lost nothing.

- *survived*: the same command again was enough (a queue's failed experiments are queued again).
- *repaired*: `python -m pipeline doctor`, or a command that a message names, was needed too.
- *lost*: the result differs, or following the messages did not reach it.

{by_way}

{by_fault}

Moments are drawn uniformly over the CPU time of the uninterrupted run. A round is a whole run with
one to {each} faults. *Extra CPU s*: the additional CPU time of a round divided by its number of
faults. A run is tiny: most of its time is starting Python and TensorFlow, which a fault
makes it do again; a longer training loses at most the epoch that was interrupted. *Full
disk*: the run's own file system is kept full until the command ends. Damage is done after SIGKILL
of all processes: a file is truncated, emptied, or has one byte changed. [faults.csv](faults.csv)
has every fault. All ran on two cores:

{by_commit}
"""


def read_log(log: Path) -> list[dict[str, Any]]:
    """Return the rows of the log."""
    return pd.read_csv(log, keep_default_na=False).to_dict("records")


def summary(faults: pd.DataFrame, by: str) -> pd.DataFrame:
    """Count verdicts and sum up the lost time, by way or by fault."""
    groups = faults.groupby(by)
    lost = groups["lost_cpu_seconds"]
    counts = {v: groups["verdict"].apply(lambda found, v=v: (found == v).sum())
              for v in ("survived", "repaired", "lost")}  # fmt: skip
    times = {"extra CPU s, median": lost.median().round(), "largest": lost.max().round()}
    return pd.DataFrame({"faults": groups.size(), **counts, **times}).reset_index()


def write_page(folder: Path) -> None:
    """Write README.md from faults.csv."""
    faults = pd.DataFrame(read_log(folder / "faults.csv"))
    verdicts = faults["verdict"].value_counts()
    rounds = faults.groupby(["commit", "processor"], sort=False).size()
    said = PAGE.format(
        count=len(faults),
        **{name: verdicts.get(name, 0) for name in ("survived", "repaired", "lost")},
        by_way=summary(faults, "way").to_markdown(index=False, floatfmt=".0f"),
        by_fault=summary(faults, "fault").to_markdown(index=False, floatfmt=".0f"),
        each=faults.groupby(["round", "commit"]).size().max(),
        by_commit=rounds.rename("faults").reset_index().to_markdown(index=False),
    )
    (folder / "README.md").write_text(said)
