"""Overrides of params.yaml, in the syntax of `dvc exp run -S`."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from pipeline.core.errors import UserError, first_line
from pipeline.core.files import read_yaml
from pipeline.settings.messages import unknown_key
from pipeline.settings.params import PARAMS_FILE, known_keys

Overrides = tuple[str, ...]  # of one experiment
LONGEST = 60  # characters of an experiment's name, without its hash


def expand(overrides: Sequence[str]) -> list[Overrides]:
    """Return the overrides of each experiment, as `dvc exp run --queue` expands them.

    Raises:
        UserError: one is not in Hydra's syntax, or is for a file other than params.yaml.
    """
    by_file = to_path_overrides(overrides)
    if others := set(by_file) - {str(PARAMS_FILE)}:
        raise UserError(f"-S {others.pop()}:...: a sweep can change only {PARAMS_FILE}")
    try:
        points = get_hydra_sweeps(by_file)
    except Exception as error:  # Hydra's and DVC's errors
        raise UserError(
            f"-S {' -S '.join(overrides)}: {first_line(error)}; write "
            "-S 'model.drop_block_size=1,3' for several values, -S 'train.seeds=[0,1]' for a list"
        ) from None
    return [tuple(point.get(str(PARAMS_FILE), ())) for point in points]


def override_params(folder: Path, overrides: Sequence[str]) -> None:
    """Write overrides into a folder's params.yaml, as `dvc exp run -S` does.

    Raises:
        UserError: a key does not exist, or Hydra cannot parse a value.
    """
    try:
        if overrides:
            apply_overrides(folder / PARAMS_FILE, list(overrides))
    except DvcException as error:
        reason = _unknown_key(overrides) or first_line(error.__cause__ or error)
        if reason.startswith("Could not override"):  # a key that the section inherits
            reason += " The section inherits this key: write ++ before it"
        raise UserError(f"-S {' -S '.join(overrides)}: {reason}") from None


def overridden(text: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values of a params.yaml, given as text, with overrides applied.

    Raises:
        UserError: as override_params.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PARAMS_FILE
        file.write_text(f"{text}\n")
        override_params(file.parent, overrides)
        return read_yaml(file)


def experiment_name(
    chosen: Sequence[str], choices: Sequence[Sequence[str]], everything: str
) -> str:
    """Name an experiment by the overrides that differ between experiments, and a hash of all."""
    varied = [
        text.split(".", 1)[-1]
        for i, text in enumerate(chosen)
        if len({other[i] for other in choices}) > 1
    ]
    words = re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(varied or ["sweep"])).strip("-.")
    if len(words) > LONGEST:  # end it with a whole word: a part of a number is another number
        words = words[: LONGEST + 1].rpartition("-")[0] or words[:LONGEST]
    return f"{words}-{everything[:7]}".replace("..", ".")


def _unknown_key(overrides: Sequence[str]) -> str | None:
    """Say which override's key does not exist, and suggest the nearest one."""
    known = known_keys()
    for key in (override.partition("=")[0].lstrip("+~") for override in overrides):
        section, _, name = key.rpartition(".")
        if name not in known.get(section, []):
            return unknown_key(key, known)
    return None
