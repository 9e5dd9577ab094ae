"""Something done again and again beside the work."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

PAUSES = (5.0, 15.0, 30.0, 60.0, 120.0)  # seconds between attempts: a result is worth waiting for
Answer = TypeVar("Answer")


@contextmanager
def repeated(
    action: Callable[[], object], seconds: float, tolerated: tuple[type[Exception], ...]
) -> Iterator[None]:
    """Call `action` in a thread of its own until the block has ended, at first after a pause.

    Args:
        seconds: of a pause between two calls.
        tolerated: errors that do not matter, as the next call may do better.
    """
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(seconds):
            with suppress(*tolerated):
                action()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def persist(action: Callable[[], Answer]) -> Answer:
    """Try again where a storage does not answer for a while, whatever its error."""
    for pause in PAUSES:
        try:
            return action()
        except Exception as error:
            print(f"tried again in {pause:.0f} s: {error}", flush=True)
            time.sleep(pause)
    return action()
