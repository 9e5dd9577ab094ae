"""One round: run one way on a copy of a project, with faults, until it succeeds; then compare.

Started as the first process of namespaces of its own, so that it can mount a small disk without
being root, and that no process outlives it: python -m tests.chaos.round FOLDER SEED WAY.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.faults import (
    BALLAST,
    NOTHING,
    POWER_CUT,
    WEIGHTS,
    cpu_seconds,
    inject,
    kill_all,
    others,
    stage,
)
from tests.chaos.results import lacking, results_of
from tests.chaos.ways import DOCTOR, WAYS, Way, advice
from tests.conftest import ONE_THREAD, experiment_references, obey_ctrl_c, project_in

FAULTS = 4  # in a round
DISK_SIZE = "400m"
LOOK = 0.05  # seconds between looks at the processes
LIMIT = 1800  # seconds after which an attempt counts as hanging
PATIENCE = 60  # seconds for what an ended command left running
MENDS = 6  # attempts to mend one failure
RESTART = 0.15  # share of the whole length that an interrupted command needs to get as far again


class Fault(NamedTuple):
    """A fault to inject at a share of the whole run: `wait` CPU seconds after an attempt starts."""

    kind: str
    moment: float
    wait: float


class Round:
    """A copy of the project on a disk of its own, and what happened to it."""

    def __init__(self, folder: Path, name: str, way: Way, rng: random.Random) -> None:
        self.disk, self.way, self.rng, self.done = folder / "disk", way, rng, 0.0
        self.rows: list[dict[str, Any]] = []
        # Append: what others write at the same time is kept.
        self.log = (folder / f"{name}.txt").open("a+")
        mounted = ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "chaos", str(self.disk)]
        subprocess.run(mounted, check=True)
        self.folder = shutil.copytree(folder / "clean", self.disk / "project", symlinks=True)
        own = {"DVC_SITE_CACHE_DIR": str(self.disk / "site"), **ONE_THREAD}
        self.project = project_in(self.folder, own)
        self.queue_missing()

    def go(self, faults: list[Fault]) -> str:
        """Run until all is done, whatever happens; return "" or why that never was."""
        left, said = list(faults), ""
        for _ in range(len(faults) + MENDS):
            code, said, struck = self.attempt(self.way.command, left[0] if left else None)
            left = left[struck:]
            if self.is_done(code):
                self.done = cpu_seconds()
                return self.check()
            if not struck:
                self.mend(said)
            self.queue_missing()
        return f"never ends: {''.join(said.strip().splitlines()[-1:])}"

    def attempt(
        self, command: tuple[str, ...], fault: Fault | None = None
    ) -> tuple[int, str, bool]:
        """Run a command and inject the fault when its moment comes.

        Returns:
            Its exit code, its output, and whether the fault was injected.
        """
        place = self.note(f"\n$ {' '.join(command)}\n")
        begun, spent, code, struck = time.time(), cpu_seconds(), None, False
        # Kept until it has ended: a Popen that is deleted takes the exit code of an ended process.
        leader = subprocess.Popen(
            command, cwd=self.folder, env=self.project.environment, stdout=self.log,
            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=obey_ctrl_c,
        )  # fmt: skip
        while code is None or (self.way.queued and others()):
            time.sleep(LOOK)
            code = reap().get(leader.pid, code)
            if fault and not struck and cpu_seconds() - spent >= fault.wait and others():
                with suppress(ProcessLookupError):  # it just ended
                    self.strike(fault, leader.pid)
                    struck = True
            if time.time() - begun > LIMIT:
                kill_all()
                begun = time.time()
                self.need(f"end it after {LIMIT} s", "for it hangs")
        (self.disk / BALLAST).unlink(missing_ok=True)
        self.log.seek(place)
        said = self.log.read()
        if self.rows and "Traceback" in said:
            self.rows[-1]["traceback"] = True
        return code, said, struck

    def strike(self, fault: Fault, leader: int) -> None:
        """Inject a fault and note it."""
        running = stage()
        hit = inject(fault.kind, leader, self.disk, self.folder, self.rng)
        kind = POWER_CUT if hit == NOTHING else fault.kind
        self.rows.append({"fault": kind, "hit": hit, "moment": round(fault.moment, 3),
                          "stage": running, "traceback": False, "needed": []})  # fmt: skip
        self.note(f"\n--- {kind}, {hit or 'nothing else'}, at {fault.moment:.0%}, {running}\n")

    def note(self, text: str) -> int:
        """Add to the log, and return where it ends."""
        self.log.seek(0, os.SEEK_END)
        self.log.write(text)
        self.log.flush()
        return self.log.tell()

    def is_done(self, code: int) -> bool:
        """Whether the command succeeded; for a queue, whether all its experiments are recorded."""
        return self.recorded() >= set(self.way.queued) if self.way.queued else code == 0

    def recorded(self) -> set[str]:
        """Return the names of the recorded experiments."""
        return {revision.rpartition("/")[2] for revision in experiment_references(self.project)}

    def queue_missing(self) -> None:
        """Queue the experiments that are not recorded and neither queued nor running."""
        if not self.way.queued:
            return
        status = self.project.run("dvc", "queue", "status", check=False).stdout
        waiting = re.findall(r"^\w+ +(\S+) .*(?:Queued|Running) *$", status, re.M)
        for name in sorted(set(self.way.queued) - {*waiting, *self.recorded()}):
            self.attempt(self.way.queue(name))

    def mend(self, said: str) -> bool:
        """Do what messages say, or else what doctor does and says; return whether that was any."""
        quiet()
        commands = advice(said, self.folder)
        if not commands:
            _, said, _ = self.attempt(DOCTOR)
            commands = [] if "nothing to repair" in said else [DOCTOR, *advice(said, self.folder)]
        for command in commands:
            if command != DOCTOR:  # which did it while it looked
                self.attempt(command)
            self.need(*command)
        return bool(commands)

    def need(self, *words: str) -> None:
        """Note what was needed, after the last fault, besides the same command again."""
        if self.rows:
            self.rows[-1]["needed"].append(" ".join(words).replace(f"{self.folder}/", ""))

    def check(self) -> str:
        """Ask doctor, as a user would after a fault, until it has nothing left to say."""
        for _ in range(MENDS):
            if not self.mend(""):
                return ""
            for name in lacking(self.folder, experiment_references(self.project)):
                self.attempt(("dvc", "exp", "remove", name))
                self.need("dvc exp remove")
            self.queue_missing()
            self.attempt(self.way.command)
        return "doctor always has something to repair"


def reap() -> dict[int, int]:
    """Collect the processes that ended, orphans too; return their exit codes."""
    codes = {}
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            codes[ended[0]] = os.waitstatus_to_exitcode(ended[1])
    return codes


def quiet() -> None:
    """Wait until what an ended command left running has ended; end it if it does not."""
    deadline = time.time() + PATIENCE
    while reap() or others():
        if time.time() > deadline:
            kill_all()
        time.sleep(LOOK)


def draw(rng: random.Random, length: float) -> list[Fault]:
    """Draw a round's faults: kinds, and moments that are uniform over an uninterrupted run.

    They are measured in CPU seconds, which other load on the machine does not change. After a
    fault, the command is interrupted again when it has used as many as lie between the moments.
    """
    moments = sorted(rng.random() for _ in range(FAULTS))
    waits = [b - a + RESTART * bool(a) for a, b in zip([0, *moments], moments, strict=False)]
    kinds = rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=FAULTS)
    return [Fault(*each) for each in zip(kinds, moments, (w * length for w in waits), strict=True)]


def main(folder: Path, name: str, way: Way, length: float) -> None:
    """Run a round and write what happened.

    Args:
        name: of the round; it determines its faults.
        length: CPU seconds of an uninterrupted run; 0: inject nothing.
    """
    rng = random.Random(name)
    it = Round(folder, name, way, rng)
    begun, spent = time.time(), cpu_seconds()
    problem = it.go(draw(rng, length) if length else [])
    seconds = time.time() - begun
    quiet()
    results = {}
    if not problem:
        try:
            results = results_of(it.folder, experiment_references(it.project))
        except Exception as error:  # a damaged file
            problem = f"cannot be read: {error!r}"
    said = {"rows": it.rows, "problem": problem, "seconds": seconds, "results": results,
            "length": it.done - spent, "cpu_seconds": cpu_seconds() - spent}  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(said, indent=1))


if __name__ == "__main__":
    chosen = next(way for way in WAYS if way.name == sys.argv[3])
    main(Path(sys.argv[1]), sys.argv[2], chosen, float(sys.argv[4]))
