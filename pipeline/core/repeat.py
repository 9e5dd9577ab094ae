"""Something done again and again beside the work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


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
