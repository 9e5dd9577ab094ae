import json
import threading
import time

import keras
import numpy as np
import pytest
import requests
import uvicorn

from pipeline.tracking.serving import scoring_app

NAMES = ["dark", "bright"]


@pytest.fixture(scope="module")
def address():
    """A server of a network that tells bright pictures from dark ones."""
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    brightness = keras.ops.mean(keras.ops.cast(inputs, "float32"), axis=(1, 2, 3)) / 255
    outputs = keras.ops.stack([1 - brightness, brightness], axis=1)
    app = scoring_app(keras.Model(inputs, outputs), NAMES)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def ask(address, images):
    images = images.tolist() if isinstance(images, np.ndarray) else images
    body = json.dumps({"inputs": images})
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{address}/invocations", body, headers=headers, timeout=60)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("dtype", [int, float])
def test_whole_pixels_are_answered_with_the_names_of_the_classes(address, dtype):
    images = np.zeros((2, 32, 32, 3), dtype)
    images[1] = 255
    status, said = ask(address, images)
    assert status == 200
    assert said == {"predictions": [{"dark": 1, "bright": 0}, {"dark": 0, "bright": 1}]}


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.9, "0.9"), (-1, "-1"), (256, "256"), (1e300, "1e+300"), (np.nan, "nan")],
)
def test_what_is_no_pixel_is_refused_with_its_place(address, value, shown):
    images = np.full((2, 32, 32, 3), 7.0)
    images[1, 2, 3, 1] = value
    status, said = ask(address, images)
    assert status == 400
    assert said["error_code"] == "INVALID_PARAMETER_VALUE"
    assert said["message"] == (
        f"image 1 has {shown} at row 2, column 3, channel 1; give inputs: a list of images, each "
        "32 x 32 x 3 integers from 0 to 255, not scaled to 0..1"
    )


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (np.zeros((32, 32, 3), int), "the shape is [32, 32, 3], not [n, 32, 32, 3]"),
        (np.zeros((1, 28, 28, 1), int), "the shape is [1, 28, 28, 1]"),
        ([], "the shape is [0]"),
        (7, "the shape is []"),
        ([[[1, 2]], [3]], "inhomogeneous shape"),
        ("picture.png", "not numbers"),
        ([{"a": 1}], "not numbers"),
        (None, "not numbers"),
    ],
)
def test_what_is_no_image_is_refused(address, images, reason):
    status, said = ask(address, images)
    assert status == 400
    assert reason in said["message"]


def test_the_server_says_that_it_is_up(address):
    assert requests.get(f"{address}/ping", timeout=60).status_code == 200
