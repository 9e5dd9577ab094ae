"""The identity of a training, derived from what dvc.yaml declares for it.

It names the checkpoint, tags the MLflow run and is recorded in the facts; the comparison groups
the seeds of a setting by it, and a sweep uses it to find trainings that are already done.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.core.files import read_yaml
from pipeline.core.recipe import DROP_KEYS, drops_blocks, resolve
from pipeline.core.sections import AugmentParams
from pipeline.settings.params import RECIPE, Params
from pipeline.settings.trainings import Training

ROOT = Path(__file__).parents[2]  # of the running code; in a copy by `dvc exp run --temp`, the copy
NETWORK = "${item.network}"
ADAM = ("train.adam_beta_1", "train.adam_beta_2", "train.adam_epsilon")
# Keys of one augmentation policy only.
TRANSLATE = ("augment.translate_pixels", "augment.alternate_flips")
TUTORIAL = tuple(
    f"augment.{key}"
    for key in AugmentParams.model_fields
    if key.startswith(("max_", "crop_", "dropout_"))
)


def identity(params: Params, training: Training, data: str) -> str:
    """Return a hash of all that dvc.yaml declares for a training, followed by its seed.

    Args:
        data: digest of the prepared data.

    Returns:
        16 hexadecimal digits that all seeds of a setting share, a dash, and the seed.
    """
    decides = {
        "network": training.network,
        "settings": settings_of(params.by_section(), training),
        "data": data,
        "code": code_digest(training.network),
        "versions": versions(),
    }
    return f"{digest(decides)}-{training.seed}"


def setting_of(identity: str) -> str:
    """Return the part of an identity that all seeds of a setting share."""
    return identity.rpartition("-")[0]


def settings_of(values: Mapping[str, Any], training: Training) -> dict[str, Any]:
    """Return the params that determine a training: its resolved recipe, others as `section.key`.

    Params without effect, like a block size without DropBlock, are left out.

    Args:
        values: params.yaml by section, of any version.
    """
    found = resolve(values, training.network, training.variant)
    for declared in _declared("params"):
        section, _, name = declared.partition(".")
        inside = values.get(section) or {}
        if section not in (RECIPE, NETWORK):
            keys = [name] if name else inside
            found |= {f"{section}.{key}": inside[key] for key in keys if key in inside}
    return without_unread(found)


def without_unread(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the keys that have no effect given the recipe's other values.

    For example Muon's rates if the optimizer is Adam, or the crop if images are only translated.

    >>> without_unread({"schedule": "linear", "learning_rate_decay": 0.9, "warmup": 0.2})
    {'schedule': 'linear', 'warmup': 0.2}
    """
    unread = [key for reads, keys in _UNREAD if reads(recipe) for key in keys]
    return {key: value for key, value in recipe.items() if key not in unread}


def _chosen(key: str, *values: Any) -> Callable[[Mapping[str, Any]], bool]:
    return lambda recipe: recipe.get(key) in values


# Pairs of a condition on the recipe and the keys that have no effect if it holds.
_UNREAD: list[tuple[Callable[[Mapping[str, Any]], bool], tuple[str, ...]]] = [
    (
        _chosen("optimizer", "adam", "sgd"),
        ("muon_learning_rate", "muon_momentum", "muon_weight_decay", "muon_rescale"),
    ),
    (_chosen("optimizer", "adam"), ("momentum",)),
    (_chosen("optimizer", "sgd", "muon"), ADAM),
    (_chosen("schedule", "linear"), ("learning_rate_decay",)),
    (_chosen("schedule", "exponential"), ("warmup", "cooldown")),
    (lambda recipe: "conv_keep_start" in recipe and not drops_blocks(recipe), DROP_KEYS),
    (_chosen("batch_norm", False), ("batch_norm_momentum", "batch_norm_epsilon", "logits_norm")),
    (lambda recipe: recipe.get("hidden_units") == [], ("dense_keep",)),
    (_chosen("augment.policy", "translate"), TUTORIAL),
    (_chosen("augment.policy", "tutorial"), TRANSLATE),
    (
        lambda recipe: (
            recipe.get("augment.policy") == "translate"
            and bool(recipe.get("augment.alternate_flips"))
        ),
        ("augment.flip_probability",),
    ),
]


def versions() -> dict[str, str]:
    """Return the versions of the libraries that affect results."""
    return {name: version(name) for name in ("tensorflow", "keras")}


@cache
def code_digest(network: str, stage: str = "train") -> str:
    """Hash the code that a stage depends on when it runs for a network."""
    found = hashlib.sha256()
    for path in sorted(_declared("deps", stage)):
        place = ROOT / path.replace(NETWORK, network)
        if path.startswith("pipeline/"):
            for file in [place] if place.is_file() else sorted(place.rglob("*.py")):
                found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()


def digest(values: Any) -> str:
    """Hash JSON-like values to 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _declared(what: str, stage: str = "train") -> list[str]:
    """Return the params or the dependencies that dvc.yaml declares for a stage."""
    return read_yaml(ROOT / "dvc.yaml")["stages"][stage][what]
