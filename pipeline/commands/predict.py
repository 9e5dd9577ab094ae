"""Classify pictures with a trained network: the most probable classes, and when to doubt them."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import PREPARED
from pipeline.core.loading import load_keras
from pipeline.core.records import CHUNK, Images, Prepared, load_metadata
from pipeline.data.pictures import load_image
from pipeline.data.sharpen import sharpen
from pipeline.settings.trainings import Training

FITTED = {
    "crop": "cropped to its central square",
    "pad": "padded with black to a square",
    "stretch": "stretched to a square",
}
UNSURE = 0.5  # a calibrated network is more often wrong than right below this probability
TRAITS = ("brightness", "contrast", "colour")
COMPARED = 5_000  # images of the data, at most
TOLERANCE = 0.5  # of a trait: what rounding pixels can change


def predict(files: list[Path], name: str, top: int) -> str:
    """Return the `top` most probable classes of each picture, one per line.

    Lines below them say if the network is unsure, and in what a picture is unlike the data.

    Raises:
        UserError: a picture cannot be read, or there is no such network.
    """
    prepared = Prepared(PREPARED)
    data, side = prepared.metadata["params"], prepared.image_size
    images = np.stack([load_image(file, side, data["fit"]) for file in files])
    model, names = load_classifier(name)
    known = prepared["val"] or prepared["train"]
    doubts = doubt(sharpen(images) if data["sharpen"] else images, traits_of(known.first(COMPARED)))
    lines = [f"Each picture was {FITTED[data['fit']]} and resized to {side}x{side} pixels."]
    rows = model.predict(images, verbose=0)
    for file, row, doubted in zip(files, rows, doubts, strict=True):
        lines.append(click.format_filename(file))  # it may not be UTF-8
        classes = top_classes(row, names, top)
        lines += [f"  {100 * probability:5.1f} %  {label}" for label, probability in classes]
        if row.max() < UNSURE:
            lines.append("  unsure: no class is more probable than all others together")
        lines += [f"  unlike the data: {trait}" for trait in doubted]
    return "\n".join(lines)


def doubt(images: np.ndarray, usual: np.ndarray) -> list[list[str]]:
    """List each image's traits outside the range of the known images.

    A new image of the same kind as n known ones is outside for a trait with a chance of at most
    2 / (n + 1).

    Args:
        images: (n, side, side, 3) uint8 pixels, prepared like the known ones.
        usual: (m, 3) traits of the known images.
    """
    found = traits(images)
    low, high = usual.min(axis=0), usual.max(axis=0)
    outside = (found < low - TOLERANCE) | (found > high + TOLERANCE)
    return [
        [f"{TRAITS[i]} {values[i]:.0f} (in the data {low[i]:.0f} to {high[i]:.0f})"
         for i in np.flatnonzero(wrong)]
        for values, wrong in zip(found, outside, strict=True)
    ]  # fmt: skip


def traits_of(images: Images) -> np.ndarray:
    """Return the (n, 3) traits of images on disk, a few of which are read at a time."""
    starts = range(0, len(images), CHUNK)
    return np.concatenate([traits(images.read(slice(i, i + CHUNK))) for i in starts])


def traits(images: np.ndarray) -> np.ndarray:
    """Return (n, 3) traits of uint8 images, in units of a pixel's value.

    Brightness is the mean, contrast the standard deviation, and colour the mean difference between
    a pixel's largest and smallest channel.
    """
    colour = images.max(axis=3).astype(np.float32) - images.min(axis=3)
    every = (1, 2, 3)
    return np.stack(
        [images.mean(axis=every), images.std(axis=every), colour.mean(axis=(1, 2))], axis=1
    )


def load_classifier(name: str) -> tuple[Any, list[str]]:
    """Load a network from this folder (`resnet-dropblock-0`) or from the registry (`champion`).

    Returns:
        The exported Keras model (uint8 images in, probabilities out) and the class names.

    Raises:
        UserError: there is no such network.
    """
    metadata = load_metadata(PREPARED)
    load_keras()
    if training := Training.parse(name):
        return _load_trained(training, metadata)
    import pipeline.networks.shared.models  # noqa: F401  (registers this project's own layers)
    from pipeline.tracking.registry import Registry, load_model

    registry = Registry(metadata["params"]["source"], metadata["digest"])
    version = registry.get(name)
    uri = f"models:/{version.name}/{version.version}"
    return load_model(uri), metadata["class_names"]


def _load_trained(training: Training, metadata: dict[str, Any]) -> tuple[Any, list[str]]:
    from pipeline.evaluation.export import export_model
    from pipeline.networks.shared.models import load_network
    from pipeline.settings.trainings import load_facts

    if not training.facts_file.exists():
        there = [found for file in sorted(training.facts_file.parent.glob("*.json"))
                 if (found := Training.parse(file.stem))]  # fmt: skip
        names = ", ".join(each.title for each in there) or "none"
        raise UserError(f"{training.title} is not in this folder; its trainings: {names}")
    load_facts(training, metadata["digest"])  # or classes and sharpening may be of other data
    model = load_network(training.models_folder / "best.keras")
    return export_model(model, metadata["params"]["sharpen"]), metadata["class_names"]


def top_classes(probabilities: np.ndarray, names: list[str], count: int) -> list[tuple[str, float]]:
    """Return the `count` most probable classes of one image with their probabilities."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(names[i], float(probabilities[i])) for i in order]
