"""The tutorial's published numbers: results from tutorial.yaml, the recipe from the preset."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.core.files import read_yaml
from pipeline.settings.identity import without_unread
from pipeline.settings.params import Params, check_params
from pipeline.settings.presets import preset_values

# The preset deviates from the tutorial here: the tutorial watches the test set.
OWN_PROTOCOL = {"data": {"validation_fraction": 0.0}, "train": {"watch": "test"}}
# Keys that are not part of the recipe: which trainings, on which machine, data from where.
LEFT_OUT = {
    "data": {"path", "url", "limit", "seed", "split_by_seed", "duplicate_correlation"},
    "train": {"networks", "variants", "seeds", "precision", "jit_compile", "deterministic"},
}


@cache
def _results() -> dict[str, Any]:
    return read_yaml(Path(__file__).with_name("tutorial.yaml"))


@cache
def _recipe() -> Params:
    values = preset_values("tutorial")
    return check_params(
        {**values, **{name: values[name] | own for name, own in OWN_PROTOCOL.items()}}
    )


def published() -> dict[str, list[float]]:
    """Return train accuracy (%), train loss (nats), test accuracy and test loss, by part."""
    return _results()["published"]


def part_of(network: str) -> int | None:
    """Return the tutorial's part that a network (its section) comes from; None if from none."""
    return _results()["parts"].get(network)


def differences(params: Params) -> list[tuple[str, Any, Any]]:
    """Return key, value and tutorial's value for all params that differ from the tutorial's."""
    mine, theirs = (dict(_compared(p, params.train.networks)) for p in (params, _recipe()))
    return [
        (key, value, theirs.get(key, "none"))
        for key, value in mine.items()
        if value != theirs.get(key)
    ]


def _compared(params: Params, networks: list[str]) -> Iterator[tuple[str, Any]]:
    for section in ("data", "augment", "train"):
        values = getattr(params, section).model_dump(exclude=LEFT_OUT.get(section))
        yield from ((f"{section}.{key}", value) for key, value in values.items())
    for network in networks:
        if part_of(network):
            recipe = without_unread(vars(params.network(network)))
            yield from ((f"{network}.{key}", value) for key, value in recipe.items())
