"""Serve an image classifier over HTTP: images in, a probability for each class name out.

/invocations and /ping are as in MLflow's scoring server, with `inputs` as the only key. MLflow's
own server would convert values to the model's uint8 before they can be checked: a picture scaled to
0..1 would be classified like a black one.
"""

import asyncio
import json
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

WANTED = (
    "give inputs: a list of images, each {} x {} x {} integers from 0 to 255, not scaled to 0..1"
)
HOSTS = ["127.0.0.1", "localhost"]  # a page of another name that leads here is refused
MAX_BYTES = 8_000_000  # of a request
MAX_IMAGES = 256  # of a request
MAX_REQUESTS = 8  # under way, waiting ones included
MAX_SECONDS = 60  # until a request has arrived
BATCH = 32  # images, classified at once
Shape = tuple[int, ...]


class BadImagesError(ValueError):
    """The request contains no valid images; answered with HTTP status 400 and one sentence."""


def make_app(model: Any, class_names: list[str]) -> FastAPI:
    """Return the server's app: /invocations classifies, /ping says that the server is up.

    Args:
        model: a Keras model that takes uint8 images and returns probabilities.
        class_names: the classes in the order of the model's outputs.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BYTES)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    wanted = model.input_shape[1:]
    # In parallel, parsing and predicting take more memory and no less time.
    one_at_a_time, under_way = asyncio.Semaphore(1), 0

    def classify(body: bytes) -> JSONResponse:
        images = check_images(parse(body), wanted)
        rows = predict(model, images).tolist()
        predictions = [dict(zip(class_names, row, strict=True)) for row in rows]
        return JSONResponse({"predictions": predictions})

    @app.get("/ping")
    def ping() -> None:
        """Say that the server is up."""

    @app.post("/invocations")
    async def invocations(request: Request) -> JSONResponse:
        """Classify the images of a request; refuse it if enough others are under way."""
        nonlocal under_way
        if under_way >= MAX_REQUESTS:  # the body has not been read yet
            return refused(503, "TEMPORARILY_UNAVAILABLE", "busy; try again")
        under_way += 1
        try:
            if not request.headers.get("content-type", "").startswith("application/json"):
                raise BadImagesError("the header Content-Type is not application/json")
            async with asyncio.timeout(MAX_SECONDS):
                body = await request.body()
            async with one_at_a_time:
                return await asyncio.to_thread(classify, body)
        except BadImagesError as error:
            return refused(400, "INVALID_PARAMETER_VALUE", f"{error}; {WANTED.format(*wanted)}")
        except ClientDisconnect:
            return refused(400, "CANCELLED", "the connection was closed")
        except TimeoutError:
            late = f"the request has not arrived within {MAX_SECONDS} seconds"
            return refused(408, "DEADLINE_EXCEEDED", late)
        finally:
            under_way -= 1

    return app


def refused(status: int, code: str, message: str) -> JSONResponse:
    """Return the answer to a request that is not served, with one of MLflow's error codes."""
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"error_code": code, "message": message}, status, headers)


def parse(body: bytes) -> Any:
    """Return the inputs of a request.

    Raises:
        BadImagesError: it is not JSON, has no inputs, or has truth values, which NumPy would take
            for 0 and 1.
    """
    if b"true" in body or b"false" in body:
        raise BadImagesError("true and false are not numbers")
    try:
        return json.loads(body.decode())["inputs"]
    except (ValueError, RecursionError) as error:  # also of numbers with too many digits
        raise BadImagesError(f"the request is not valid JSON ({type(error).__name__})") from None
    except (KeyError, TypeError):
        raise BadImagesError("the request has no key inputs") from None


def check_images(inputs: Any, wanted: Shape) -> np.ndarray:
    """Convert a JSON input to uint8 images.

    Args:
        wanted: the shape of an image.

    Raises:
        BadImagesError: the shape is wrong, there are too many, or a value is not an integer from 0
            to 255.
    """
    try:
        images = np.asarray(inputs)
    except ValueError:
        raise BadImagesError("inputs are lists of unequal lengths") from None
    if images.dtype.kind not in "iuf":
        raise BadImagesError("inputs are not numbers")
    if images.shape[1:] != wanted or not len(images):
        shape = f"the shape is {list(images.shape)}, not [n, {str(list(wanted))[1:]}"
        raise BadImagesError(shape)
    if len(images) > MAX_IMAGES:
        raise BadImagesError(f"{len(images)} images are more than {MAX_IMAGES}")
    wrong = (images != np.round(images)) | (images < 0) | (images > 255)
    if wrong.any():
        n, y, x, channel = np.argwhere(wrong)[0]
        value = images[n, y, x, channel]
        place = f"row {y}, column {x}, channel {channel}"
        raise BadImagesError(f"image {n} has {value:g} at {place}")
    return images.astype(np.uint8)


def predict(model: Any, images: np.ndarray) -> np.ndarray:
    """Return the (n, classes) probabilities of n images."""
    # For a single image, the model's own `predict` takes ten times as long.
    starts = range(0, len(images), BATCH)
    return np.concatenate([model.predict_on_batch(images[i : i + BATCH]) for i in starts])
