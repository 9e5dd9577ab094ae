"""Results of experiments in the comparison's format, with made-up counts of correct images."""

import hashlib
import json

import numpy as np

from pipeline.reporting.tried import Result
from tests.conftest import quick_values, with_values

SEEDS = range(6)
BASELINE = {seed: 380 + seed for seed in SEEDS}
SECTIONS = {"baseline": "baseline", "resnet": "model"}


def experiment(name, resnet, baseline=BASELINE, changes=None, **model):
    """An experiment of 1,000 test images, with the correct ones of each seed.

    Args:
        changes: of params.yaml, by dotted key.
        model: changes of the resnet.
    """
    of_model = {f"model.{key}": value for key, value in model.items()}
    values = {**(changes or {}), **of_model, "train.seeds": list(resnet)}
    params = with_values(quick_values(), values)
    shared = {seed: baseline[seed] for seed in resnet if seed in baseline}
    right = {"baseline": shared, "resnet": resnet}
    summary = {
        "digest": "d1",
        "scored": "test",
        "images": 1_000,
        "reference": "baseline",
        "sections": SECTIONS,
        "settings": {name: setting(params, section) for name, section in SECTIONS.items()},
        "accuracy": {
            name: {"right": {str(s): n for s, n in counts.items()}}
            for name, counts in right.items()
        },
    }
    return Result(name, params, summary)


def setting(params, section):
    """What stands for the start of a training's identity: a hash of what decides it."""
    shared = {key: params["train"][key] for key in ("variants", "precision")}
    decides = [params["recipe"], params[section], params["augment"], shared]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:16]


def counts(mean, seed=0, seeds=SEEDS):
    rng = np.random.default_rng(seed)
    return {s: int(mean + rng.integers(-8, 9)) for s in seeds}
