"""Load Keras with TensorFlow: quietly, and without packages that nothing here needs of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Lines of the levels info and warning, and the continuation of one of them. Errors stay.
_NOISE = r"^([IW][0-9]{4} |WARNING: All log messages before absl|To enable the following instruc)"
_STDERR = 2
# Keras loads these where they are installed, for wrappers and pictures that are not used here.
_UNUSED = ("matplotlib", "sklearn")


def load_keras() -> None:
    """Load Keras, so that importing it later says nothing and takes no time.

    Its optional packages take a fifth of the time, and are left to those who import them.
    """
    hidden = [name for name in _UNUSED if name not in sys.modules]
    with quiet_loading():
        for name in hidden:
            sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ImportError
        try:
            import keras  # noqa: F401
        finally:
            for name in hidden:
                del sys.modules[name]


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Leave out what TensorFlow says while it is loaded in here: which CPU and CUDA it found.

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
