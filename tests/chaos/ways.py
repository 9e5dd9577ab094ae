"""The ways of running the pipeline that faults are injected into, and what a user does next."""

import re
from pathlib import Path
from typing import NamedTuple

DOCTOR = ("python", "-m", "pipeline", "doctor")
# Ways out that messages say in words, or as commands.
DAMAGED_LOCK = r"(\S+) is damaged; .* or remove it"
DAMAGED_STORE = r"sqlite:///(\S+) cannot be used .* move the damaged file away"
NAMED = r"`((?:python -m pipeline|dvc exp apply|dvc checkout|git) [^`]*)`"
SIZES = (1, 3)  # drop_block_size of each experiment of a queue and of a sweep
# Small enough that starting Python takes most of the time; two trainings never tie.
PARAMS = {
    "data.limit": 400,
    "train.networks": "[baseline]",
    "train.deterministic": "true",
    "recipe.optimizer": "adam",
    "recipe.learning_rate": 0.003,
    "baseline.filters": "[64,128]",
    "baseline.kernel_sizes": "[5,3]",
    "baseline.hidden_units": "[256]",
    "baseline.width": 0.125,
    "baseline.epochs": 8,
}


class Way(NamedTuple):
    """A way of running the pipeline.

    Attributes:
        command: what is interrupted, and repeated after that.
        queued: the names of the experiments that DVC's queue runs, after `command` has ended.
    """

    name: str
    command: tuple[str, ...]
    queued: tuple[str, ...] = ()

    def queue(self, name: str) -> tuple[str, ...]:
        """Return the command that adds an experiment to the queue."""
        value = f"baseline.drop_block_size={name.removeprefix('size-')}"
        return ("dvc", "exp", "run", "--queue", "-n", name, "-S", value)


WAYS = (
    Way("dvc repro", ("dvc", "repro")),
    Way("dvc exp run", ("dvc", "exp", "run", "-S", "baseline.drop_block_size=3")),
    Way("dvc queue", ("dvc", "queue", "start"), tuple(f"size-{size}" for size in SIZES)),
    Way("sweep", ("python", "-m", "pipeline", "sweep",
                  "-S", f"baseline.drop_block_size={','.join(map(str, SIZES))}")),
)  # fmt: skip


def advice(said: str, folder: Path) -> list[tuple[str, ...]]:
    """Return the commands that messages name as the way out, but not `dvc repro` and the like."""
    found = [("rm", str(folder / file)) for file in re.findall(DAMAGED_LOCK, said)]
    found += [("mv", file, f"{file}.damaged") for file in re.findall(DAMAGED_STORE, said)]
    named = (part for command in re.findall(NAMED, said) for part in command.split(" && "))
    return found or list(dict.fromkeys(tuple(part.split()) for part in named))
