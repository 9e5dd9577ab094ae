"""Serve an image classifier with MLflow's scoring server; check pixels and name the classes."""

import json
from typing import Any

import numpy as np
import pandas as pd
from fastapi import FastAPI
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import scoring_server

from pipeline.core.records import IMAGE_SHAPE

WANTED = (
    "give inputs: a list of images, each {} x {} x {} integers from 0 to 255, not scaled to 0..1"
).format(*IMAGE_SHAPE)


class BadImages(MlflowException):
    """The request contains no valid images; answered with HTTP status 400 and one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, error_code=INVALID_PARAMETER_VALUE)
        self.reason = reason

    def serialize_as_json(self) -> str:
        """Return the answer's body; MLflow's own would repeat the images."""
        return json.dumps({"error_code": self.error_code, "message": f"{self.reason}; {WANTED}"})


class Classifier:
    """The model interface of MLflow's scoring server: images in, a probability per class name out.

    It has no signature: with the model's own uint8 signature, MLflow would silently truncate 0.9 to
    0, and a picture scaled to 0..1 would be classified like a black one.
    """

    metadata = Model()

    def __init__(self, model: Any, class_names: list[str]) -> None:
        self._model = model
        self._class_names = class_names

    def predict(self, inputs: Any) -> pd.DataFrame:
        """Return the (n, classes) probabilities of n images, one column per class.

        Raises:
            BadImages: see check_images.
        """
        probabilities = self._model.predict(check_images(inputs), verbose=0)
        return pd.DataFrame(probabilities.astype(float), columns=self._class_names)


def check_images(inputs: Any) -> np.ndarray:
    """Convert a JSON input to (n, 32, 32, 3) uint8 pixels.

    Raises:
        BadImages: the shape is wrong, or a value is not an integer from 0 to 255.
    """
    images = np.asarray(inputs)
    if images.dtype.kind not in "iuf":
        raise BadImages("inputs are not numbers")
    if images.shape[1:] != IMAGE_SHAPE or not len(images):
        raise BadImages(f"the shape is {list(images.shape)}, not [n, {str(list(IMAGE_SHAPE))[1:]}")
    wrong = (images != np.round(images)) | (images < 0) | (images > 255)
    if wrong.any():
        n, y, x, channel = np.argwhere(wrong)[0]
        value = images[n, y, x, channel]
        raise BadImages(f"image {n} has {value:g} at row {y}, column {x}, channel {channel}")
    return images.astype(np.uint8)


def scoring_app(model: Any, class_names: list[str]) -> FastAPI:
    """Return MLflow's scoring server (/invocations, /ping, /health, /version) for a classifier.

    Args:
        model: a Keras model that takes uint8 images and returns probabilities.
        class_names: the classes in the order of the model's outputs.
    """
    return scoring_server.init(Classifier(model, class_names))
