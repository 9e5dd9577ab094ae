"""Experiments as the report reads them, with made-up counts of correct images."""

import numpy as np

from pipeline.reporting.contrasts import flatten

SEEDS = range(6)
BASELINE = {seed: 380 + seed for seed in SEEDS}


def experiment(name, resnet, baseline=BASELINE, variants=("dropblock",), width=0.125, **model):
    """An experiment of 1,000 test images, with the correct ones of each seed."""
    model = {"drop_block_size": 5, "conv_keep_end": 0.8, "width": width, **model}
    params = {
        "baseline": {"width": 0.125}, "model": model, "augment": {"crop_pixels": 4},
        "train": {"networks": ["baseline", "model"], "variants": list(variants),
                  "seeds": list(resnet), "precision": "float32"},
    }  # fmt: skip
    shared = {seed: baseline[seed] for seed in resnet if seed in baseline}
    right = {"baseline": shared, "resnet": resnet}
    summary = {
        "images": 1_000,
        "reference": "baseline",
        "sections": {"baseline": "baseline", "resnet": "model"},
        "accuracy": {
            name: {"right": {str(s): n for s, n in counts.items()}}
            for name, counts in right.items()
        },
    }
    return Experiment(name, flatten(params), summary)


def counts(mean, seed=0, seeds=SEEDS):
    rng = np.random.default_rng(seed)
    return {s: int(mean + rng.integers(-8, 9)) for s in seeds}
