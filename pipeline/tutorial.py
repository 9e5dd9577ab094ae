"""The published tutorial's own numbers, to hold a run against."""

from typing import Any

# By section and key of params.yaml: what parts 5 to 7 say.
BOTH = {
    "width": 1.0,
    "pool_stride": 2,
    "batch_norm": True,
    "batch_norm_momentum": 0.997,
    "batch_norm_epsilon": 1e-5,
    "initializer": "glorot_uniform",
    "drop_block_oversize": "skip",
    "conv_keep_start": 1.0,
    "dense_keep": 0.5,
    "learning_rate": 5e-4,
}
RECIPE: dict[str, dict[str, Any]] = {
    "data": {"source": "cifar100", "sharpen": True, "validation_fraction": 0.0, "limit": None},
    "augment": {
        "max_operations": 3,
        "crop_pixels": 12,
        "flip_probability": 0.5,
        "dropout_fraction": 0.2,
        "dropout_grid_min": 0.02,
        "dropout_grid_max": 0.25,
        "dropout_per_channel": 0.5,
    },
    "baseline": {
        **BOTH,
        "filters": [64, 128, 256, 512],
        "kernel_sizes": [7, 5, 3, 3],
        "pool_size": 2,
        "hidden_units": [2048, 2048],
        "drop_block_size": 1,
        "conv_keep_start": 0.85,
        "conv_keep_step": 0.0,
        "conv_keep_end": 0.85,
        "batch_size": 500,
        "epochs": 100,
        "learning_rate_decay": 0.99,
        "stop_after_rising": 3,
    },
    "model": {
        **BOTH,
        "skip_connections": True,
        "filters": [128, 256, 512, 1024],
        "kernel_sizes": [3, 3, 3, 3],
        "pool_size": 3,
        "hidden_units": [4096, 4096],
        "drop_block_size": 5,
        "conv_keep_step": 0.005,
        "conv_keep_end": 0.8,
        "batch_size": 250,
        "epochs": 75,
        "learning_rate_decay": 0.98,
        "stop_after_rising": 10,
    },
    "train": {"adam_beta_1": 0.9, "adam_beta_2": 0.999, "clip_norm": 100.0},
}

# Of the last epoch: train and test accuracy (%) and loss (nats).
PUBLISHED = {
    "part 5: CNN + augmentation": (97.5, 0.1332, 65.3, 1.3090),
    "part 7: residual network": (99.5, 0.0300, 70.7, 1.2815),
}


def differences(params: dict[str, dict[str, Any]]) -> list[tuple[str, Any, Any]]:
    """Return key, value and the tutorial's value of all params that differ from the tutorial's."""
    return [
        (f"{section}.{key}", params[section][key], value)
        for section, values in RECIPE.items()
        for key, value in values.items()
        if params[section][key] != value
    ]
