"""The published tutorial's own numbers, read from tutorial.yaml."""

from functools import cache
from pathlib import Path
from typing import Any

from pipeline.core.params import read_yaml


@cache
def _numbers() -> dict[str, Any]:
    return read_yaml(Path(__file__).with_name("tutorial.yaml"))


def published() -> dict[str, list[float]]:
    """Return train accuracy (%), train loss (nats), test accuracy and test loss of its parts."""
    return _numbers()["published"]


def part_of(network: str) -> int | None:
    """Return the part that a network (its section of params.yaml) is of, None for another one."""
    return _numbers()["parts"].get(network)


def differences(params: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return key, value and the tutorial's value of all params that differ from the tutorial's."""
    return [
        (f"{section}.{key}", params[section][key], value)
        for section, values in _numbers()["recipe"].items()
        if params.get(section)
        for key, value in values.items()
        if params[section][key] != value
    ]
