"""The trials of a tuning: the same points of the same spaces for each network, from tune.yaml."""

import itertools
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from pipeline.core.errors import UserError
from pipeline.core.files import read_yaml
from pipeline.core.recipe import Variant
from pipeline.core.sections import Distinct, Section, Seed, rule
from pipeline.settings.edits import as_override
from pipeline.settings.messages import Problem, explain
from pipeline.settings.params import check_params
from pipeline.versioning.overrides import Overrides

FILE = Path("tune.yaml")
DIGITS = 3  # significant digits of a drawn number
Trial = dict[str, Any]  # values by the recipe's key
Choices = Annotated[list[Any], Field(min_length=1)]
KINDS = {list: "choices", dict: "range"}


class Range(Section):
    """Numbers from low to high; whole numbers if both are."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if self.low >= self.high or (self.log and self.low <= 0):
            raise rule("low must be below high, and above 0 with log: true")
        return self

    def at(self, share: float) -> int | float:
        """Map a share in 0..1 to a number of the range; whole numbers get equal shares."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        end = self.high + 1 if whole else self.high
        if self.log:
            number = self.low * (end / self.low) ** share
        else:
            number = self.low + (end - self.low) * share
        if whole:
            return min(int(number), self.high)
        return min(max(float(f"{number:.{DIGITS}g}"), self.low), self.high)


Space = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(
        lambda value: KINDS.get(type(value)),
        custom_error_type="rule",
        custom_error_message="give a list of choices, or low, high and log",
    ),
]


class Tuning(Section):
    """What to try for each network."""

    trials: Annotated[int, Field(ge=2)]
    study: Seed = 0
    seeds: Annotated[list[Seed], Field(min_length=1), Distinct]
    spaces: Annotated[dict[str, Space], Field(min_length=1)]


def load_tuning(file: Path = FILE) -> Tuning:
    """Read the declared spaces.

    Raises:
        UserError: the file is missing, or a value is wrong.
    """
    try:
        return Tuning.model_validate(read_yaml(file))
    except ValidationError as error:
        kinds = KINDS.values()  # pydantic adds a space's kind to the location
        problems = [Problem.of(e, tuple(part for part in e["loc"] if part not in kinds))
                    for e in error.errors()]  # fmt: skip
        ranges = {key.rpartition(".")[0]: list(Range.model_fields) for key, *_ in problems}
        known = {**ranges, "": list(Tuning.model_fields)}
        lines = "\n".join(f"  {line}" for line in explain(problems, known))
        raise UserError(f"{file}:\n{lines}") from None


def draw_trials(tuning: Tuning) -> list[Trial]:
    """Return the trials: independent random points, the same each time for a study.

    A list of choices is divided into equal shares.
    """
    points = np.random.default_rng(tuning.study).random((tuning.trials, len(tuning.spaces)))
    return [
        {
            key: space.at(share) if isinstance(space, Range) else space[int(share * len(space))]
            for (key, space), share in zip(tuning.spaces.items(), point, strict=True)
        }
        for point in points.tolist()
    ]


def check_trials(trials: list[Trial], values: dict[str, Any], networks: list[str]) -> None:
    """Check that each network can be trained with each trial's values.

    Args:
        values: of params.yaml, by section.

    Raises:
        UserError: a key is unknown, or a value is wrong.
    """
    for (i, trial), network in itertools.product(enumerate(trials, 1), networks):
        own = {**(values[network] or {}), **trial}
        check_params({**values, network: own}, f"{FILE}, trial {i}")


def overrides_of(trial: Trial, network: str, variant: Variant, seeds: list[int]) -> Overrides:
    """Return the overrides that train one network as a trial and score validation images only."""
    values = (f"++{network}.{key}={as_override(value)}" for key, value in trial.items())
    run = {"networks": [network], "variants": [variant], "seeds": seeds}
    chosen = (f"train.{key}={as_override(value)}" for key, value in run.items())
    return (*chosen, "evaluate.test=false", *values)
