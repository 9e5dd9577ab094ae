import hashlib
import http.server
import itertools
import threading
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.data import download
from pipeline.data.sources import cifar100, load_dataset

CONTENT = np.random.default_rng(0).bytes(1_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """A server on loopback that answers each request by the next of `answers`, then the last.

    An answer takes the request handler and writes what it likes. `ranges` keeps what was asked.
    """

    def __init__(self):
        self.answers, self.ranges = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.ranges.append(self.headers.get("Range"))
                with suppress(ConnectionError):  # a client that has read enough leaves
                    next(outer.remaining)(self)
                self.close_connection = True

            def finish(self):
                with suppress(ConnectionError):
                    super().finish()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/archive.tar.gz"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, *answers):
        self.ranges.clear()
        self.remaining = itertools.chain(answers, itertools.repeat(answers[-1]))


@pytest.fixture
def server():
    server = Server()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0)


@pytest.fixture
def fetch(server, tmp_path):
    def run(url=server.url):
        return download.download(url, tmp_path / "archive.tar.gz", len(CONTENT), MD5)

    return run


def serve(content=CONTENT, ranges=True, stop=None, announce=None):
    """Serve content, from a Range on where `ranges`; cut off after `stop` bytes of the body."""

    def answer(request):
        asked = request.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and ranges else 0
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        length = len(content) - start if announce is None else announce
        if length != "none":
            request.send_header("Content-Length", str(length))
        request.end_headers()
        request.wfile.write(content[start:][:stop])

    return answer


def status(code):
    return lambda request: request.send_error(code)


def test_a_whole_download_is_kept_under_its_name(server, fetch, tmp_path):
    server.answer(serve())
    assert fetch().read_bytes() == CONTENT
    assert not list(tmp_path.glob("*.part"))


def test_a_file_that_is_there_already_is_not_fetched_again(server, fetch):
    server.answer(serve())
    fetch()
    assert fetch().read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_a_file_damaged_since_is_fetched_again(server, fetch):
    server.answer(serve())
    target = fetch()
    target.write_bytes(b"x" * len(CONTENT))
    assert fetch().read_bytes() == CONTENT


def test_a_download_cut_off_again_and_again_is_resumed(server, fetch, capsys):
    server.answer(*[serve(stop=300_000)] * 3, serve())
    assert fetch().read_bytes() == CONTENT
    said = [line for line in capsys.readouterr().out.splitlines() if "interrupted" in line]
    assert len(said) == 3
    for line in said:
        assert line.startswith("download interrupted (Connection broken: IncompleteRead(")
        assert line.count("IncompleteRead") == 1
        assert line.endswith(" of 1,000,000 bytes), trying again")
    starts = [int(asked[len("bytes=") : -1]) for asked in server.ranges[1:]]
    expected = [300_000, 600_000, 900_000]
    assert len(starts) == 3
    for number, (start, cut) in enumerate(zip(starts, expected, strict=True), 1):
        assert cut - number * download.CHUNK < start <= cut


def test_a_new_start_goes_on_from_the_partial_file(server, fetch, tmp_path):
    (tmp_path / "archive.tar.gz.part").write_bytes(CONTENT[:700_000])
    server.answer(serve())
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == ["bytes=700000-"]


def test_a_server_without_ranges_sends_it_all_again(server, fetch):
    server.answer(serve(stop=300_000), serve(ranges=False))
    assert fetch().read_bytes() == CONTENT


def test_server_errors_and_lost_connections_are_tried_again(server, fetch):
    server.answer(status(503), status(429), lambda request: request.wfile.close(), serve())
    assert fetch().read_bytes() == CONTENT


def test_a_damaged_partial_file_is_removed_so_that_a_repetition_starts_again(
    server, fetch, tmp_path
):
    (tmp_path / "archive.tar.gz.part").write_bytes(b"x" * 700_000)
    server.answer(serve())
    with pytest.raises(UserError, match="repeat the command to start again"):
        fetch()
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == ["bytes=700000-", "bytes=0-"]


@pytest.mark.parametrize(
    ("answer", "message", "requests"),
    [
        (status(404), "the server answered 404 Not Found", 1),
        (status(403), "the server answered 403", 1),
        (status(500), "the server answered 500", 5),
        (serve(stop=0), "after 0 of 1,000,000 bytes", 5),
        (serve(CONTENT[:-1]), "the server has a file of 999,999 bytes", 1),
        (serve(announce=999), "the server has a file of 999 bytes", 1),
        (status(416), "the server answered 416", 1),
        (serve(CONTENT + b"more", announce="none"), "the file's MD5 is not", 1),
        (serve(b"x" * len(CONTENT)), "the file's MD5 is not", 1),
        (serve(b"<html>Please log in</html>"), "the server has a file of 26 bytes", 1),
    ],
)
def test_what_is_not_the_file_is_refused(server, fetch, tmp_path, answer, message, requests):
    server.answer(answer)
    with pytest.raises(UserError, match=message) as refused:
        fetch()
    assert "set data.path in params.yaml to it" in str(refused.value)
    assert not (tmp_path / "archive.tar.gz").exists()
    assert len(server.ranges) == requests


def test_a_server_that_is_not_there_is_named_with_the_way_out(fetch):
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/x cannot be downloaded: .*refused"):
        fetch("http://127.0.0.1:9/x")


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        download.download(server.url, tmp_path / "file/archive", len(CONTENT), MD5)


def test_without_a_path_cifar100_is_downloaded_once(
    server, workspace, params, cifar100_folder, monkeypatch
):
    import tarfile

    with tarfile.open(workspace / "served.tar.gz", "w:gz") as archive:
        archive.add(cifar100_folder, "cifar-100-binary")
    content = (workspace / "served.tar.gz").read_bytes()
    served = {"archive_bytes": len(content), "archive_md5": hashlib.md5(content).hexdigest()}
    served["url"] = server.url
    monkeypatch.setattr(cifar100, "CIFAR100", replace(cifar100.CIFAR100, **served))
    server.answer(serve(content))
    changed = params.data.model_copy(update={"source": "cifar100"})
    downloaded, again = load_dataset(changed), load_dataset(changed)
    local = load_dataset(changed.model_copy(update={"path": str(cifar100_folder)}))
    np.testing.assert_array_equal(downloaded.images, local.images)
    np.testing.assert_array_equal(again.test, local.test)
    assert len(server.ranges) == 1
