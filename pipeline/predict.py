"""Say what is on pictures: the most probable classes by a trained network."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError, exit_on_user_error
from pipeline.images import load_image
from pipeline.params import Trial
from pipeline.paths import models_folder
from pipeline.results import load_prepared_metadata

EPILOG = """examples:
  python -m pipeline.predict cat.png dog.jpg
  python -m pipeline.predict --model model-dropblock-0 cat.png  the resnet of this folder
  python -m pipeline.predict --model challenger cat.png         by its alias in the registry"""


def load_classifier(name: str) -> tuple[Any, list[str]]:
    """Load a network of this folder (`model-dropblock-0`) or of the registry (`champion`).

    Returns:
        The exported Keras model (uint8 images in, probabilities out) and the class names.

    Raises:
        UserError: there is no such network.
    """
    metadata = load_prepared_metadata()
    if trial := Trial.parse(name):
        return _load_trained(trial, metadata)
    from pipeline.tracking import Registry, load_model

    registry = Registry(metadata["params"]["source"], metadata["digest"])
    version = registry.get(name)
    uri = f"models:/{version.name}/{version.version}"
    return load_model(uri), json.loads(version.tags["class_names"])


def _load_trained(trial: Trial, metadata: dict[str, Any]) -> tuple[Any, list[str]]:
    from pipeline.export import export_model
    from pipeline.models import load_network

    model = load_network(models_folder(trial) / "best.keras")
    return export_model(model, metadata["params"]["sharpen"]), metadata["class_names"]


def top_classes(probabilities: np.ndarray, names: list[str], count: int) -> list[tuple[str, float]]:
    """Return the `count` most probable classes of one image with their probabilities."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(names[i], float(probabilities[i])) for i in order]


@exit_on_user_error
def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.predict",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", nargs="+", type=Path, help="PNG or JPEG, of any size")
    parser.add_argument("--model", default="champion", help="alias, or one like model-dropblock-0")
    parser.add_argument("--top", type=int, default=5, help="how many classes (default: 5)")
    arguments = parser.parse_args()
    if arguments.top < 1:
        raise UserError(f"--top {arguments.top}: must be at least 1")
    images = np.stack([load_image(file) for file in arguments.image])
    model, names = load_classifier(arguments.model)
    for file, row in zip(arguments.image, model.predict(images, verbose=0), strict=True):
        print(file)
        for name, probability in top_classes(row, names, arguments.top):
            print(f"  {100 * probability:5.1f} %  {name}")


if __name__ == "__main__":
    main()
