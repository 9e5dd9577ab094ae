"""Hold Ctrl-C and SIGTERM back while TensorFlow traces a function."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM take effect only at the end of this block.

    Tracing calls Python from C++ and back. An exception that a signal raises there can come out as
    any other error, or abort the process.
    """
    if threading.current_thread() is not threading.main_thread():  # signals arrive in the main one
        yield
        return
    arrived: list[int] = []
    handlers = {
        each: signal.signal(each, lambda number, _: arrived.append(number)) for each in HELD
    }
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        for number in arrived:
            signal.raise_signal(number)


def traced_undisturbed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hold signals back during the function's first call, in which TensorFlow traces it."""
    traced = False

    def call(*arguments: Any) -> Any:
        nonlocal traced
        if traced:
            return function(*arguments)
        with held_signals():
            traced = True
            return function(*arguments)

    return call
