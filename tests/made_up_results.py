"""Write the stages' outputs with random numbers, for tests of the code that reads them."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.records import record_type

DIGEST = "d1" * 32
# What `dvc repro` leaves of the stage report, with the hash of what it read.
LOCK = """schema: '2.0'
stages:
  report:
    cmd: python -m pipeline report
    deps:
    - path: outputs/evaluation
      hash: md5
      md5: {}.dir
      size: 3
"""


def write_results(
    folder: Path,
    seeds: list[int],
    watched: str | None = "val",
    scored: str = "test",
    variants=("dropblock",),
    networks=("baseline", "model"),
    classes=10,
):
    """Write what `prepare`, `train` and `evaluate` leave, with random figures.

    Where "val" is scored, the 60 images stand for those of validation.
    """
    rng = np.random.default_rng(0)
    digest = DIGEST
    labels = np.repeat(np.arange(classes), 60 // classes).astype(np.uint8)
    images = {"train": 90, "val": 10 if watched == "val" else 0, "test": len(labels)}
    names = [f"c{i}" for i in range(classes)]
    metadata = {
        "params": {"source": "digits", "sharpen": True, "duplicate_correlation": None, "seed": 0,
                   "image_size": 32, "fit": "crop", "split_by_seed": False},
        "class_names": names, "superclass_names": names, "superclass_of": list(range(classes)),
        "images": images, "digest": digest, "content": digest, "largest_class": 0.1,
        "duplicates": {"within_training": 4, "test_of_training": 1, "within_test": 2},
    }  # fmt: skip
    write_json(folder / "data/prepared/metadata.json", metadata)
    np.save(folder / "data/prepared/records.npy", np.zeros(sum(images.values()), record_type(10)))
    np.save(folder / "data/prepared/images.npy", np.zeros((1, 32, 32, 3), np.uint8))
    # Test image 0 repeats a training image, image 8 repeats image 7.
    groups = np.where(np.arange(60) == 8, 7, np.arange(60)).astype(np.int32)
    for network, variant, seed in itertools.product(networks, variants, seeds):
        label = f"{network}-{variant}-{seed}"
        evaluation = folder / "outputs/evaluation" / label
        metrics = random_metrics(rng, label, splits_of(images, scored), digest)
        metrics |= {"watched": watched, "scored": scored}
        write_json(evaluation / "metrics.json", metrics)
        facts = {key: value for key, value in metrics.items() if key != "scores"}
        write_json(folder / "outputs/facts" / f"{label}.json", facts)
        np.savez(
            evaluation / "predictions.npz",
            log_probabilities=np.log(rng.dirichlet(np.ones(classes) / 3, 60)).astype(np.float32),
            labels=labels, groups=groups, of_training=np.arange(60) == 0,
        )  # fmt: skip
        np.savez(evaluation / "masks.npz", block1_dropblock=np.ones((8, 8, 4), np.float32))
        splits = ("train", "clean_train", watched) if watched else ("train",)
        columns = [f"{split}_{what}" for split in splits for what in ("loss", "accuracy")]
        history = pd.DataFrame(rng.random((3, len(columns))), columns=columns)
        history.insert(0, "epoch", [1, 2, 3])
        history = history.assign(
            seconds=1.5,
            pflop=[0.001, 0.002, 0.003],
            learning_rate=0.1,
            keep_prob=0.9,
            image_size=32,
            images_per_second=60.0,
            peak_memory_mb=900.0,
        )
        (folder / "outputs/history").mkdir(parents=True, exist_ok=True)
        history.to_csv(folder / "outputs/history" / f"{label}.csv", index=False)


def splits_of(images: dict[str, int], scored: str) -> list[str]:
    """The splits that have images and are scored."""
    return [s for s, count in images.items() if count and (s != "test" or scored == "test")]


def random_metrics(rng, label: str, splits: list[str], digest: str) -> dict:
    """What `evaluate` writes into metrics.json."""
    network, variant, seed = label.split("-")
    scores = ("loss", "accuracy", "top_k_accuracy", "calibration_error")
    return {
        "name": label, "training": f"{network}-{variant}-identity-{seed}",
        "network": network, "variant": variant, "seed": int(seed),
        "digest": digest, "parameters": 1000,
        "flops": 10**6, "pflop": 0.003, "epochs": 3, "best_epoch": 2, "seconds_per_epoch": 1.5,
        "images_per_second": 60.0, "training_seconds": 4.5, "peak_memory_mb": 900.0,
        "tensorflow": "2", "keras": "3", "precision": "float32", "devices": ["CPU"],
        "git_commit": "abcdef0123456789", "git_dirty": "false", "git_changes": "",
        "ended": "2026-11-28T10:00:00+00:00",
        "machine": {"processor": "p", "cores": 2, "memory_gb": 8, "system": "s", "python": "3"},
        "drop_blocks": [{"layer": "block1_dropblock", "map": "8x8", "channels": 4,
                         "block_size": 3, "to_drop": 0.1, "expected": 0.09, "measured": 0.1}],
        "scores": {weights: {split: {name: rng.random() for name in scores} for split in splits}
                   for weights in ("best", "last")},
    }  # fmt: skip


def write_models(folder: Path) -> None:
    """Write an untrained network in place of the weights of each training that has results."""
    import keras

    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.Flatten()(keras.layers.AveragePooling2D(16)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(10)(pooled))
    for evaluation in (folder / "outputs/evaluation").iterdir():
        models = folder / "outputs/models" / evaluation.name
        models.mkdir(parents=True, exist_ok=True)
        for weights in ("best", "last"):
            model.save(models / f"{weights}.keras")


def write_report(folder: Path) -> None:
    """Write what `publish` reads of a report."""
    write_json(folder / "reports/comparison.json", {"headline": "the resnet is ahead"})
    (folder / "reports/figures").mkdir(exist_ok=True)
    for name in ("report.html", "figures/seeds.svg"):
        (folder / "reports" / name).write_text(name)


def write_json(file: Path, values) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))
