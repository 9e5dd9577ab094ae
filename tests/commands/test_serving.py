import json
import socket
import threading
import time
from contextlib import ExitStack

import keras
import numpy as np
import pytest
import requests
import uvicorn

from pipeline.commands import serving
from pipeline.commands.serving import BATCH, MAX_BYTES, MAX_IMAGES, MAX_REQUESTS, make_app
from tests.waiting import wait_for

NAMES = ["dark", "bright"]


@pytest.fixture(scope="module")
def address():
    """A server of a network that tells bright pictures from dark ones."""
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    brightness = keras.ops.mean(keras.ops.cast(inputs, "float32"), axis=(1, 2, 3)) / 255
    outputs = keras.ops.stack([1 - brightness, brightness], axis=1)
    app = make_app(keras.Model(inputs, outputs), NAMES)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


JSON = {"Content-Type": "application/json"}
BLACK = np.zeros((1, 32, 32, 3), int).tolist()


def post(address, body, headers=JSON):
    return requests.post(f"{address}/invocations", body, headers=headers, timeout=60)


def ask(address, images):
    images = images.tolist() if isinstance(images, np.ndarray) else images
    answer = post(address, json.dumps({"inputs": images}))
    return answer.status_code, answer.json()


@pytest.mark.parametrize("dtype", [int, float])
def test_whole_pixels_are_answered_with_the_names_of_the_classes(address, dtype):
    images = np.zeros((2, 32, 32, 3), dtype)
    images[1] = 255
    status, said = ask(address, images)
    assert status == 200
    assert said == {"predictions": [{"dark": 1, "bright": 0}, {"dark": 0, "bright": 1}]}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0.9, "a multiple of 1"), (-1, "greater than or equal to 0"),
        (256, "less than or equal to 255"), (1e300, "less than or equal to 255"),
        (np.nan, "a finite number"), (True, "a valid number"), (None, "a valid number"),
    ],
)  # fmt: skip
def test_what_is_no_pixel_is_refused_with_its_place(address, value, reason):
    images = np.full((2, 32, 32, 3), 7.0).tolist()
    images[1][2][3][1] = value
    status, said = ask(address, images)
    assert status == 400
    assert said["error_code"] == "INVALID_PARAMETER_VALUE"
    assert said["message"] == (
        f"inputs[1][2][3][1]: Input should be {reason}; give inputs: a list of images, each "
        "32 x 32 x 3 integers from 0 to 255, not scaled to 0..1"
    )


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (np.zeros((32, 32, 3), int), "inputs[0][0][0]: Input should be a valid array"),
        (np.zeros((1, 28, 28, 3), int), "inputs[0][0]: List should have at least 32 items"),
        (np.zeros((1, 32, 32, 4), int), "inputs[0][0][0]: List should have at most 3 items"),
        ([], "inputs: List should have at least 1 item"),
        (7, "inputs: Input should be a valid array"),
        ([[[1, 2]], [3]], "inputs[0][0]"),
        ("picture.png", "inputs: Input should be a valid array"),
        ([{"a": 1}], "inputs[0]: Input should be a valid array"),
        (None, "inputs: Input should be a valid array"),
        (BLACK * (MAX_IMAGES + 1), "inputs: List should have at most 256 items"),
    ],
)
def test_what_is_no_image_is_refused(address, images, reason):
    status, said = ask(address, images)
    assert status == 400
    assert reason in said["message"]


@pytest.mark.parametrize("n", [1, BATCH, BATCH + 1, MAX_IMAGES])
def test_each_image_of_a_request_has_its_own_answer(address, n):
    shades = np.arange(n) % 256
    status, said = ask(address, np.broadcast_to(shades[:, None, None, None], (n, 32, 32, 3)))
    assert status == 200
    bright = [answer["bright"] for answer in said["predictions"]]
    np.testing.assert_allclose(bright, shades / 255, atol=1e-6)


def chunks(body):
    """Yield a body whose size the client does not announce."""
    yield from (body[i : i + 100_000] for i in range(0, len(body), 100_000))


@pytest.mark.parametrize("form", [bytes, chunks])
def test_a_body_that_is_too_large_is_refused(address, form):
    body = b'{"inputs": "' + b"x" * MAX_BYTES + b'"}'
    assert post(address, form(body)).status_code == 413
    assert ask(address, BLACK)[0] == 200


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (json.dumps({"inputs": BLACK}).encode(), {}, "Content-Type is not application/json"),
        ("a,b", {"Content-Type": "text/csv"}, "Content-Type is not application/json"),
        ("[" * 100_000 + "]" * 100_000, JSON, "the request: Invalid JSON: recursion limit"),
        ('{"inputs": ' + "9" * 5_000 + "}", JSON, "the request: Invalid JSON: number out of range"),
        ("{", JSON, "the request: Invalid JSON: EOF while parsing"),
        (json.dumps({"inputs": BLACK}).encode("utf-16"), JSON, "the request: Invalid JSON:"),
        ('{"instances": []}', JSON, "inputs: Field required"),
        ("[1]", JSON, "the request: Input should be an object"),
    ],
)
def test_what_is_not_a_request_is_refused_with_its_reason(address, body, headers, message):
    answer = post(address, body, headers)
    assert answer.status_code == 400
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/ping", "localhost:5001", 200),
        ("/ping", "attacker.example", 400),
        ("/docs", "127.0.0.1", 404),
        ("/redoc", "127.0.0.1", 404),
        ("/openapi.json", "127.0.0.1", 404),
    ],
)
def test_only_its_own_pages_and_names_are_answered(address, path, host, status):
    answer = requests.get(f"{address}{path}", headers={"Host": host}, timeout=60)
    assert answer.status_code == status


def connect(address, sent):
    """A connection over which the start of a request was sent."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = (
        f"POST /invocations HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    connection.sendall(head.encode() + BODY[:sent])
    return connection


BODY = json.dumps({"inputs": BLACK}).encode()


def test_while_enough_requests_are_under_way_others_are_refused_at_once(address):
    """The requests under way wait for the rest of their bodies, one of which then comes."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(address, sent=10)) for _ in range(MAX_REQUESTS)]
        wait_for(lambda: post(address, BODY).status_code == 503)
        assert int(post(address, BODY).headers["Retry-After"]) > 0
        assert requests.get(f"{address}/ping", timeout=60).status_code == 200
        slow[0].sendall(BODY[10:])
        assert slow[0].recv(100).startswith(b"HTTP/1.1 200")
    wait_for(lambda: post(address, BODY).status_code == 200)


def test_a_request_that_does_not_arrive_is_ended(address, monkeypatch):
    monkeypatch.setattr(serving, "MAX_SECONDS", 0.2)
    with connect(address, sent=10) as slow:
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
