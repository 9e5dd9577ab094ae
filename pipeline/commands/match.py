"""Find the width, or another number, at which one network's training costs as much as another's."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.files import PREPARED, read_yaml
from pipeline.core.loading import load_keras
from pipeline.core.records import load_metadata
from pipeline.core.sections import Recipe
from pipeline.networks import display_name
from pipeline.reporting.results import EQUAL
from pipeline.settings.params import PARAMS_FILE, check_params
from pipeline.sweep.estimate import Cost, estimate

DOUBLINGS = 10  # of the present value, up or down, in search of one that costs enough


def match(network: str, to: str, key: str) -> str:
    """Return a table of the trainings' cost, and the override that makes them equal.

    Args:
        network: the section of params.yaml to change.
        to: the section whose training sets the compute.
        key: the number of `network` to change.

    Raises:
        UserError: params.yaml is wrong, the data are not prepared, the key is not a number, or no
            value of it comes within 2 % of the compute.
    """
    values = read_yaml(PARAMS_FILE)
    check_params(values)
    size = _prepared_size(values)
    load_keras()
    target = _recipe(values, to)
    goal = estimate(to, target, *size)
    start = _number(_recipe(values, network), network, key)

    @cache
    def training(number: float) -> tuple[Recipe, Cost]:
        recipe = _recipe(_changed(values, network, key, number), network)
        return recipe, estimate(network, recipe, *size)

    def pflop(number: float) -> float:
        try:
            return training(number)[1].pflop
        except UserError:
            if number == start:
                raise
            return math.copysign(math.inf, number - start)  # beyond the key's range

    found = nearest(pflop, goal.pflop, start)
    ratio = pflop(found) / goal.pflop
    if not 1 / EQUAL <= ratio <= EQUAL:
        raise UserError(
            f"no value of {network}.{key} makes the compute equal within 2 %; the nearest, "
            f"{found:g}, costs {ratio:.3g} times that of {to}; try --by with another key"
        )
    rows = [_row(to, key, target, goal)]
    rows += [_row(network, key, *training(number)) for number in dict.fromkeys((start, found))]
    table = pd.DataFrame(rows).fillna("").to_markdown(index=False, disable_numparse=True)
    plus = "" if key in (values[network] or {}) else "++"  # -S needs it for an inherited key
    return (
        f"{table}\n\nWith {key} {found:g}, training the {display_name(network)} takes "
        f"{100 * abs(ratio - 1):.1f} % {'more' if ratio > 1 else 'less'} compute than training the "
        f"{display_name(to)}:\n"
        f"  dvc exp run -S {plus}{network}.{key}={found:g}"
    )


def nearest(cost: Callable[[float], float], goal: float, start: float) -> float:
    """Return the number whose cost is nearest to `goal`.

    Args:
        cost: rises with the number, perhaps in steps.
        start: where the search begins, above 0. If it is an int only whole numbers are tried, else
            numbers of three digits.
    """
    found: dict[float, float] = {}

    def too_cheap(number: float) -> bool:
        if number not in found:
            found[number] = cost(number)
        return found[number] < goal

    def rounded(number: float) -> float:
        return max(1, round(number)) if isinstance(start, int) else float(f"{number:.3g}")

    grows = too_cheap(start)
    edge = before = start
    for _ in range(DOUBLINGS):
        before, edge = edge, rounded(edge * (2.0 if grows else 0.5))
        if edge == before or too_cheap(edge) != grows:
            break
    low, high = sorted((before, edge))
    while (middle := rounded((low * high) ** 0.5)) not in (low, high):
        low, high = (middle, high) if too_cheap(middle) else (low, middle)
    return min(found, key=lambda number: abs(found[number] - goal))


def _prepared_size(values: dict[str, Any]) -> tuple[int, int, int]:
    """Return the number of training images and of classes, and the images' side in pixels.

    Raises:
        UserError: the data that params.yaml describes are not prepared.
    """
    metadata, data = load_metadata(PREPARED), check_params(values).data.model_dump()
    if any(data.get(key) != value for key, value in metadata["params"].items()):
        raise UserError(
            f"{PREPARED} does not match section data of {PARAMS_FILE}; run `dvc repro prepare`"
        )
    return (
        metadata["images"]["train"],
        len(metadata["class_names"]),
        metadata["params"]["image_size"],
    )


def _changed(values: dict[str, Any], network: str, key: str, number: float) -> dict[str, Any]:
    return {**values, network: {**(values[network] or {}), key: number}}


def _recipe(values: dict[str, Any], network: str) -> Recipe:
    return check_params(values).recipe(network)


def _number(recipe: Recipe, network: str, key: str) -> float:
    """Return the present value of a key, which must be a number above 0."""
    number = getattr(recipe, key, None)
    if isinstance(number, bool) or not isinstance(number, int | float) or number <= 0:
        numbers = [name for name, value in vars(recipe).items() if type(value) in (int, float)]
        raise UserError(
            f"--by {key}: {network}.{key} must be a number above 0 that the compute grows with, "
            f"like {', '.join(name for name in ('width', 'epochs') if name in numbers)}"
        )
    return number


def _row(network: str, key: str, recipe: Recipe, cost: Cost) -> dict[str, str]:
    shown = dict.fromkeys(("width", "epochs", key))
    return {
        "network": display_name(network),
        **{name: str(getattr(recipe, name, "")) for name in shown},
        "parameters": f"{cost.parameters:,}",
        "training compute, PFLOP": f"{cost.pflop:.4g}",
    }
