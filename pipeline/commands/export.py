"""Export a trained network for use without this project."""

from pathlib import Path

from pipeline.commands.predict import load_classifier
from pipeline.core.errors import UserError
from pipeline.tracking.descriptions import MODEL_INPUT

SUFFIX = ".tflite"


def export(file: Path, name: str) -> str:
    """Write a network as a TensorFlow Lite file, and its class names into a text file next to it.

    The model takes (n, side, side, 3) uint8 pixels and returns (n, classes) float32 probabilities.

    Raises:
        UserError: there is no such network, or the file's name does not end with .tflite.
    """
    if file.suffix != SUFFIX:
        raise UserError(f"{file} does not end with {SUFFIX}, the only format that is written")
    model, names = load_classifier(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    model.export(file, format="litert", verbose=False)
    labels = file.with_suffix(".txt")
    labels.write_text("".join(f"{label}\n" for label in names))
    takes = MODEL_INPUT.replace("side", str(model.input_shape[1]))
    return f"{name} is in {file}, its classes in {labels}. {takes}"
