"""Whether the results at hand were made with what params.yaml says now.

After `dvc repro` they were; after `preset`, an edit or `git checkout` they are not, until the next.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.files import OUTPUTS
from pipeline.core.params import PARAMS_FILE, Params
from pipeline.core.repository import read_lock
from pipeline.core.trials import Trial

SHOWN = 5  # differences at most; one is enough to know what has happened


def check_provenance(params: Params, trials: list[Trial]) -> None:
    """Hold what DVC recorded of data, trainings and evaluations against the params of today.

    What has no record, like a stage that was run by hand, is taken as it is.

    Raises:
        UserError: they differ.
    """
    stages = read_lock(Path())
    today = params.model_dump(mode="json")
    made = ["prepare", *(f"{stage}@{t.label}" for t in trials for stage in ("train", "evaluate"))]
    differing = [
        f"{stage}: {line}"
        for stage in made
        for line in _differences(stages.get(stage, {}).get("params", {}), today)
    ]
    if differing:
        more = [f"and {len(differing) - SHOWN} more"] if len(differing) > SHOWN else []
        raise UserError(
            f"{OUTPUTS} was made with other numbers than {PARAMS_FILE} has now; `dvc repro` makes "
            "what is missing, or takes it from the cache:\n"
            + "\n".join(f"  {line}" for line in [*differing[:SHOWN], *more])
        )


def _differences(recorded: dict[str, Any], today: dict[str, Any]) -> Iterator[str]:
    """Yield the keys that differ of a stage's entry in dvc.lock: whole sections and single keys."""
    for key, value in recorded.get(str(PARAMS_FILE), {}).items():
        section, _, name = key.partition(".")
        for inner, before in ({name: value} if name else value).items():
            now = today.get(section, {}).get(inner, before)  # a key that is gone decides nothing
            if now != before:
                yield f"{section}.{inner} was {before}, is {now}"
