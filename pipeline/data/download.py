"""Download one known file: resume if interrupted, check before use."""

import sys
import time
from pathlib import Path

import filelock
import requests
from tqdm import tqdm

from pipeline.core.errors import UserError
from pipeline.core.files import hash_file

ATTEMPTS = 5  # in a row without a new byte
PAUSE = 1.0  # seconds before the second attempt; doubles after each further one
TIMEOUT = 30  # seconds without an answer or a new byte
CHUNK = 1 << 16  # bytes; an interruption loses less than this

# Errors without an answer after which another attempt may succeed.
PASSING = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


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
            if not (target.exists() and _is_right(target, size, md5)):
                part = target.with_name(f"{target.name}.part")
                _fetch(url, part, size, md5)
                part.replace(target)
            return target
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error})") from None


def _fetch(url: str, part: Path, size: int, md5: str) -> None:
    """Complete `part` in as many requests as it takes; remove it if it is not the file."""
    part.touch()
    failures = 0
    seconds = 0.2 if sys.stderr.isatty() else 10.0  # between two updates of the progress bar
    with tqdm(total=size, desc=part.stem, unit="B", unit_scale=True, mininterval=seconds) as bar:
        while (before := part.stat().st_size) < size:
            problem = _request(url, part, size, bar)
            have = part.stat().st_size
            failures = 0 if have > before else failures + 1
            problem += f" after {have:,} of {size:,} bytes"
            if failures == ATTEMPTS:
                raise _give_up(url, size, problem)
            if have < size:
                bar.write(f"download interrupted ({problem}), trying again")
                time.sleep(PAUSE * 2 ** max(0, failures - 1))
    if not _is_right(part, size, md5):
        part.unlink()
        reason = f"the file's MD5 is not {md5}; repeat the command to start again"
        raise _give_up(url, size, reason)


def _request(url: str, part: Path, size: int, bar: tqdm) -> str:
    """Append the bytes of one request to `part`; return why no more came.

    Raises:
        UserError: another attempt would not help.
    """
    start = part.stat().st_size
    # Ask for the bytes uncompressed; compression would change what a range means.
    headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-"}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            response.raise_for_status()
            if response.status_code != 206:  # the whole file, although a range was requested
                start = 0
            announced = response.headers.get("Content-Length", "")
            if announced.isdigit() and (total := start + int(announced)) != size:
                raise _give_up(url, size, f"the server has a file of {total:,} bytes")
            with part.open("ab" if start else "wb") as file:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(file.tell() - bar.n)
                    if file.tell() > size:
                        break
    except requests.RequestException as error:
        if not _may_pass(error):
            raise _give_up(url, size, _reason(error)) from None
        return _reason(error)
    return "the connection ended"


def _is_right(file: Path, size: int, md5: str) -> bool:
    return file.stat().st_size == size and hash_file(file, "md5") == md5


def _may_pass(error: requests.RequestException) -> bool:
    """Whether another attempt may succeed."""
    if error.response is None:
        return isinstance(error, PASSING)
    return error.response.status_code >= 500 or error.response.status_code in (408, 429)


def _reason(error: requests.RequestException) -> str:
    """Return the server's answer, or the reason without the wrappers of requests and urllib3."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    inner: object = error
    while isinstance(inner, BaseException):
        found, inner = inner, getattr(inner, "reason", None) or next(iter(inner.args), None)
    return next((part for part in found.args if isinstance(part, str)), str(found))


def _give_up(url: str, size: int, reason: str) -> UserError:
    return UserError(
        f"{url} cannot be downloaded: {reason}; get the file ({size:,} bytes) in another way "
        "and set data.path in params.yaml to it"
    )
