"""Download one known file: resume if interrupted, check before use."""

import os
import sys
import time
from pathlib import Path
from typing import BinaryIO

import filelock
import requests
from tqdm import tqdm

from pipeline.core.errors import UserError
from pipeline.core.files import hash_file

ATTEMPTS = 5  # in a row without a new byte
PAUSE = 1.0  # seconds before the second attempt; doubles after each further one
TIMEOUT = 30  # seconds without an answer or a new byte
CHUNK = 1 << 16  # bytes; an interruption loses less than this


class _TryAgainError(Exception):
    """The connection failed or was interrupted; the bytes received so far are kept."""


def download(url: str, target: Path, size: int, md5: str) -> Path:
    """Download `url` to `target`, and return `target` once its size and MD5 are right.

    Bytes are collected in `target`.part; an interrupted download resumes from it, also in a new
    process. A target that already exists is checked and, if right, not downloaded again.

    Raises:
        UserError: the server cannot be reached, does not have the file or has a different one; or
            the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_name(f"{target.name}.lock")):
            if target.exists() and _is_right(target, size, md5):
                return target
            part = target.with_name(f"{target.name}.part")
            _fetch_right(url, part, size, md5)
            part.replace(target)
            return target
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error})") from None


def _fetch_right(url: str, part: Path, size: int, md5: str) -> None:
    """Fetch until the MD5 is right; if an old part was damaged, once more from the start."""
    resumed = part.exists() and part.stat().st_size > 0
    _fetch(url, part, size)
    if _is_right(part, size, md5):
        return
    part.unlink()
    if not resumed:
        raise _give_up(url, size, f"the file's MD5 is not {md5}")
    print(f"{part}: the resumed download is damaged; starting from the beginning", flush=True)
    _fetch_right(url, part, size, md5)


def _fetch(url: str, part: Path, size: int) -> None:
    """Extend `part` to `size` bytes, in as many requests as it takes."""
    part.touch()
    failures = 0
    seconds = 0.2 if sys.stderr.isatty() else 10.0  # between two updates of the progress bar
    with tqdm(total=size, desc=part.stem, unit="B", unit_scale=True, mininterval=seconds) as bar:
        while (have := part.stat().st_size) < size:
            try:
                _request(url, part, size, bar)
            except _TryAgainError as error:
                failures = 0 if part.stat().st_size > have else failures + 1
                if failures == ATTEMPTS:
                    raise _give_up(url, size, str(error)) from None
                bar.write(f"download interrupted ({error}), trying again")
                time.sleep(PAUSE * 2 ** max(0, failures - 1))


def _request(url: str, part: Path, size: int, bar: tqdm) -> None:
    """Append the bytes of one request to `part`."""
    start = part.stat().st_size
    # Ask for the bytes uncompressed; compression would change what a range means.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            start = _check_answer(response, url, part, size)
            with part.open("r+b") as file:
                file.truncate(start)
                file.seek(start)
                _copy(response, file, url, size, bar)
                file.flush()
                os.fsync(file.fileno())
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _TryAgainError(_innermost(error)) from None
    except requests.exceptions.ChunkedEncodingError:
        raise _TryAgainError(f"after {part.stat().st_size:,} of {size:,} bytes") from None
    except requests.RequestException as error:
        raise _give_up(url, size, str(error)) from None
    if part.stat().st_size < size:
        raise _TryAgainError(f"after {part.stat().st_size:,} of {size:,} bytes")


def _check_answer(response: requests.Response, url: str, part: Path, size: int) -> int:
    """Return the position in the file at which the answer's body begins."""
    status, start = response.status_code, part.stat().st_size
    if status == 416 and start:  # the bytes received so far are of another file
        os.truncate(part, 0)
        raise _TryAgainError("the server's file is shorter than what was received so far")
    if status >= 500 or status in (408, 429):
        raise _TryAgainError(f"the server answered {status} {response.reason}")
    if status not in (200, 206):
        raise _give_up(url, size, f"the server answered {status} {response.reason}")
    if status == 200:  # the whole file, even if a range was requested
        start = 0
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise _give_up(url, size, "the server sent another range than requested")
    announced = response.headers.get("Content-Length", "")
    if announced.isdigit() and start + int(announced) != size:
        raise _give_up(url, size, f"the server has a file of {start + int(announced):,} bytes")
    return start


def _copy(response: requests.Response, file: BinaryIO, url: str, size: int, bar: tqdm) -> None:
    for chunk in response.iter_content(CHUNK):
        if file.tell() + len(chunk) > size:
            file.truncate(0)
            raise _give_up(url, size, f"the server sent more than {size:,} bytes")
        file.write(chunk)
        bar.update(file.tell() - bar.n)


def _is_right(file: Path, size: int, md5: str) -> bool:
    return file.stat().st_size == size and hash_file(file, "md5") == md5


def _innermost(error: BaseException) -> str:
    """Return the innermost reason, without the wrappers of requests and urllib3."""
    while (inner := getattr(error, "reason", None) or next(iter(error.args), None)) and isinstance(
        inner, BaseException
    ):
        error = inner
    return str(error)


def _give_up(url: str, size: int, reason: str) -> UserError:
    return UserError(
        f"{url} cannot be downloaded: {reason}; get the file ({size:,} bytes) in another way "
        "and set data.path in params.yaml to it, or set data.url to another server's copy"
    )
