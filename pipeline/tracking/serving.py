"""Serve an image classifier with MLflow's scoring server; check requests and name the classes."""

import asyncio
import json
from typing import Any

import numpy as np
import pandas as pd
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import scoring_server
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

WANTED = (
    "give inputs: a list of images, each {} x {} x {} integers from 0 to 255, not scaled to 0..1"
)
INVOCATIONS = "/invocations"
HOSTS = ["127.0.0.1", "localhost"]  # a page of another name that leads here is refused
MAX_BYTES = 8_000_000  # of a request
MAX_IMAGES = 256  # of a request
MAX_REQUESTS = 8  # under way, waiting ones included
BATCH = 32  # images, classified at once
Shape = tuple[int, ...]


class BadImages(MlflowException):
    """The request contains no valid images; answered with HTTP status 400 and one sentence."""

    def __init__(self, reason: str, wanted: Shape) -> None:
        super().__init__(reason, error_code=INVALID_PARAMETER_VALUE)
        self.reason, self.wanted = reason, wanted

    def serialize_as_json(self) -> str:
        """Return the answer's body; MLflow's own would repeat the images."""
        said = f"{self.reason}; {WANTED.format(*self.wanted)}"
        return json.dumps({"error_code": self.error_code, "message": said})

    def response(self) -> Response:
        """Return the answer."""
        return Response(self.serialize_as_json(), 400, media_type="application/json")


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
        images = check_images(inputs, self._model.input_shape[1:])
        # For a single image, `predict` takes ten times as long.
        batches = [
            self._model.predict_on_batch(images[i : i + BATCH])
            for i in range(0, len(images), BATCH)
        ]
        return pd.DataFrame(np.concatenate(batches).astype(float), columns=self._class_names)


def check_images(inputs: Any, wanted: Shape) -> np.ndarray:
    """Convert a JSON input to uint8 images.

    Args:
        wanted: the shape of an image.

    Raises:
        BadImages: the shape is wrong, there are too many, or a value is not an integer from 0 to
            255.
    """
    images = np.asarray(inputs)
    if images.dtype.kind not in "iuf":
        raise BadImages("inputs are not numbers", wanted)
    if images.shape[1:] != wanted or not len(images):
        shape = f"the shape is {list(images.shape)}, not [n, {str(list(wanted))[1:]}"
        raise BadImages(shape, wanted)
    if len(images) > MAX_IMAGES:
        raise BadImages(f"{len(images)} images are more than {MAX_IMAGES}", wanted)
    wrong = (images != np.round(images)) | (images < 0) | (images > 255)
    if wrong.any():
        n, y, x, channel = np.argwhere(wrong)[0]
        value = images[n, y, x, channel]
        place = f"row {y}, column {x}, channel {channel}"
        raise BadImages(f"image {n} has {value:g} at {place}", wanted)
    return images.astype(np.uint8)


class Admission:
    """Answers 503 at once while enough requests are under way, before their bodies are read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] != INVOCATIONS:
            return await self._app(scope, receive, send)
        if self._under_way >= MAX_REQUESTS:
            busy = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "busy; try again"}
            return await JSONResponse(busy, 503, {"Retry-After": "1"})(scope, receive, send)
        if not Headers(scope=scope).get("content-type", "").startswith("application/json"):
            wanted = scope["app"].state.wanted
            refused = BadImages("the header Content-Type is not application/json", wanted)
            return await refused.response()(scope, receive, send)
        self._under_way += 1
        try:
            return await self._app(scope, receive, send)
        finally:
            self._under_way -= 1


async def only_numbers(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Refuse truth values, which NumPy takes for 0 and 1; parse and predict one request at a time.

    In parallel, parsing takes more memory and no less time.
    """
    try:
        body = await request.body()
    except ClientDisconnect:
        return Response(status_code=400)
    if b"true" in body or b"false" in body:
        return BadImages("true and false are not numbers", request.app.state.wanted).response()
    async with request.app.state.one_at_a_time:
        return await call_next(request)


async def not_json(request: Request, error: Exception) -> Response:
    """Answer what Python cannot parse: lists nested too deeply, or a number of many digits."""
    reason = f"the request is not JSON as wanted ({type(error).__name__})"
    return BadImages(reason, request.app.state.wanted).response()


def scoring_app(model: Any, class_names: list[str]) -> FastAPI:
    """Return MLflow's scoring server (/invocations, /ping, /health, /version) for a classifier.

    Args:
        model: a Keras model that takes uint8 images and returns probabilities.
        class_names: the classes in the order of the model's outputs.
    """
    app = scoring_server.init(Classifier(model, class_names))
    app.router.routes[:] = [r for r in app.routes if isinstance(r, APIRoute)]  # no /docs
    app.state.one_at_a_time = asyncio.Semaphore(1)
    app.state.wanted = model.input_shape[1:]
    app.add_exception_handler(RecursionError, not_json)
    app.add_exception_handler(ValueError, not_json)
    app.user_middleware += [  # inside MLflow's own, which ends requests that take too long
        Middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BYTES),
        Middleware(BaseHTTPMiddleware, dispatch=only_numbers),
    ]
    app.add_middleware(Admission)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    return app
