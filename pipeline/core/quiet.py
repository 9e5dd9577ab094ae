"""Keep what TensorFlow says while it is loaded off the console: which CPU and CUDA it found."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Lines of the levels info and warning, and the continuation of one of them. Errors stay.
_NOISE = r"^([IW][0-9]{4} |WARNING: All log messages before absl|To enable the following instruc)"
_STDERR = 2


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Load TensorFlow in here: what it says below an error is left out.

    It writes to the process's stderr before TF_CPP_MIN_LOG_LEVEL tells it how much to write, hence
    the filter; a process of its own, so that the last words of a load that crashes arrive too.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    try:
        grep = subprocess.Popen(
            ["grep", "--line-buffered", "-v", "-E", _NOISE],
            stdin=subprocess.PIPE,
            stdout=kept,
            start_new_session=True,  # Ctrl-C is not for it
        )
    except OSError:  # no grep: no filter
        os.close(kept)
        yield
        return
    os.dup2(grep.stdin.fileno(), _STDERR)  # type: ignore[union-attr]
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, _STDERR)
        os.close(kept)
        with suppress(OSError):
            grep.communicate()
