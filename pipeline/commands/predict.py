"""Classify pictures with a trained network: the most probable classes."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.files import PREPARED
from pipeline.core.loading import load_keras
from pipeline.core.records import load_metadata
from pipeline.data.pictures import load_image
from pipeline.settings.trainings import Training


def predict(files: list[Path], name: str, top: int) -> str:
    """Return the `top` most probable classes of each picture, one per line.

    Raises:
        UserError: a picture cannot be read, or there is no such network.
    """
    data = load_metadata(PREPARED)["params"]
    images = np.stack([load_image(file, data["image_size"], data["fit"]) for file in files])
    model, names = load_classifier(name)
    lines = []
    for file, row in zip(files, model.predict(images, verbose=0), strict=True):
        lines.append(str(file))
        classes = top_classes(row, names, top)
        lines += [f"  {100 * probability:5.1f} %  {label}" for label, probability in classes]
    return "\n".join(lines)


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
    from pipeline.tracking.registry import Registry, load_model

    registry = Registry(metadata["params"]["source"], metadata["digest"])
    version = registry.get(name)
    uri = f"models:/{version.name}/{version.version}"
    return load_model(uri), json.loads(version.tags["class_names"])


def _load_trained(training: Training, metadata: dict[str, Any]) -> tuple[Any, list[str]]:
    from pipeline.evaluation.export import export_model
    from pipeline.networks.shared.models import load_network

    model = load_network(training.models_folder / "best.keras")
    return export_model(model, metadata["params"]["sharpen"]), metadata["class_names"]


def top_classes(probabilities: np.ndarray, names: list[str], count: int) -> list[tuple[str, float]]:
    """Return the `count` most probable classes of one image with their probabilities."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(names[i], float(probabilities[i])) for i in order]
