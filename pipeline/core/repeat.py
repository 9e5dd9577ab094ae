"""Repeat an action in the background."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def run_periodically(action: Callable[[], object], seconds: float) -> Iterator[None]:
    """Call `action` in a separate thread until the block ends; the first call comes after a pause.

    Errors are ignored, because the next call may succeed.

    Args:
        seconds: the pause between two calls.
    """
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(seconds):
            with suppress(Exception):
                action()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
