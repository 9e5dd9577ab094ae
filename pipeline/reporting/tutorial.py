"""The tutorial's published numbers: its results, and its recipe from preset `tutorial`."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from pipeline.core.recipe import drops_blocks
from pipeline.settings.identity import without_unread
from pipeline.settings.params import Params, check_params
from pipeline.settings.presets import preset_values

PARTS = {"baseline": 6, "model": 7}  # the part of the tutorial that a network comes from
# After the last epoch: train accuracy (%), train loss (nats), test accuracy (%), test loss (nats).
PUBLISHED = {
    "part 5: CNN + augmentation": [97.5, 0.1332, 65.3, 1.3090],
    "part 7: residual network": [99.5, 0.0300, 70.7, 1.2815],
}
# The preset deviates from the tutorial here: the tutorial watches the test set.
OWN_PROTOCOL = {"data": {"validation_fraction": 0.0}, "train": {"watch": "test"}}
# Keys that are not part of the recipe: which trainings, on which machine, data from where.
LEFT_OUT = {
    "data": {"path", "limit", "seed", "split_by_seed", "duplicate_correlation"},
    "train": {"networks", "variants", "seeds", "precision", "jit_compile", "deterministic"},
}


@cache
def _recipe() -> Params:
    values = preset_values("tutorial")
    return check_params(
        {**values, **{name: values[name] | own for name, own in OWN_PROTOCOL.items()}}
    )


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
        if network in PARTS:
            recipe = vars(params.recipe(network, params.train.variants[0]))
            yield f"{network}.DropBlock", "on" if drops_blocks(recipe) else "off"
            read = without_unread(recipe)
            yield from ((f"{network}.{key}", value) for key, value in read.items())
