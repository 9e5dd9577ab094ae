"""Load Keras with TensorFlow: quietly, and without optional packages that nothing here uses."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Lines of level info and warning, and a continuation line of one of them. Errors stay.
_NOISE = r"^([IW][0-9]{4} |WARNING: All log messages before absl|To enable the following instruc)"
_STDERR = 2
# If installed, Keras imports these, for wrappers and plots that are not used here.
_UNUSED = ("matplotlib", "sklearn")


def load_keras() -> None:
    """Load Keras quietly, so that a later import is silent and takes no time.

    Its optional packages take a fifth of the loading time and are skipped; others may import them.
    """
    # Else TensorFlow takes all memory of all GPUs, also from a training beside it.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if "keras" in sys.modules:
        return
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
    """Hide what TensorFlow logs while it is loaded in this block: which CPU and CUDA it found.

    TensorFlow writes to stderr before it reads TF_CPP_MIN_LOG_LEVEL, so the lines are filtered. The
    filter is a separate process, so that the last lines of a crash while loading are shown too.
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
            start_new_session=True,  # so that Ctrl-C does not end it
        )
    except OSError:  # no grep, so no filter
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
