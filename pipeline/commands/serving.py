"""Serve an image classifier over HTTP: images in, a probability for each class name out.

/invocations and /ping are as in MLflow's scoring server, with `inputs` as the only key. MLflow's
own server would convert values to the model's uint8 before they can be checked: a picture scaled to
0..1 would be classified like a black one.
"""

import asyncio
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import FailFast, Field, ValidationError, create_model
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
Pixel = Annotated[float, Field(strict=True, ge=0, le=255, multiple_of=1, allow_inf_nan=False)]


def make_app(model: Any, class_names: list[str]) -> FastAPI:
    """Return the server's app: /invocations classifies, /ping says that the server is up.

    Args:
        model: a Keras model that takes uint8 images and returns probabilities.
        class_names: the classes in the order of the model's outputs.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BYTES)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)
    shape = model.input_shape[1:]
    request_type = make_request_type(shape)
    # In parallel, parsing and predicting take more memory and no less time.
    one_at_a_time, under_way = asyncio.Semaphore(1), 0

    def classify(body: bytes) -> JSONResponse:
        # `multiple_of` accepts 0.9999999999 too, which a conversion alone would cut to 0.
        images = np.rint(request_type.model_validate_json(body).inputs).astype(np.uint8)
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
                return invalid("the header Content-Type is not application/json", shape)
            async with asyncio.timeout(MAX_SECONDS):
                body = await request.body()
            async with one_at_a_time:
                return await asyncio.to_thread(classify, body)
        except ValidationError as error:
            return invalid(describe(error), shape)
        except ClientDisconnect:
            return refused(400, "CANCELLED", "the connection was closed")
        except TimeoutError:
            late = f"the request has not arrived within {MAX_SECONDS} seconds"
            return refused(408, "DEADLINE_EXCEEDED", late)
        finally:
            under_way -= 1

    return app


def make_request_type(shape: tuple[int, ...]) -> Any:
    """Return pydantic's model of a request with images of this shape."""
    kind: Any = Pixel
    for size in reversed(shape):
        kind = Annotated[list[kind], Field(min_length=size, max_length=size), FailFast()]
    images = Annotated[list[kind], Field(min_length=1, max_length=MAX_IMAGES), FailFast()]
    return create_model("Request", inputs=(images, ...))


def describe(error: ValidationError) -> str:
    """Return the first problem of a request with its place, like `inputs[0][2]: ...`."""
    first = error.errors()[0]
    key, *indices = first["loc"] or ("the request",)
    return f"{key}{''.join(f'[{index}]' for index in indices)}: {first['msg']}"


def invalid(problem: str, shape: tuple[int, ...]) -> JSONResponse:
    """Return the answer to a request without images of this shape."""
    return refused(400, "INVALID_PARAMETER_VALUE", f"{problem}; {WANTED.format(*shape)}")


def refused(status: int, code: str, message: str) -> JSONResponse:
    """Return the answer to a request that is not served, with one of MLflow's error codes."""
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"error_code": code, "message": message}, status, headers)


def predict(model: Any, images: np.ndarray) -> np.ndarray:
    """Return the (n, classes) probabilities of n images."""
    # For a single image, the model's own `predict` takes ten times as long.
    starts = range(0, len(images), BATCH)
    return np.concatenate([model.predict_on_batch(images[i : i + BATCH]) for i in starts])
