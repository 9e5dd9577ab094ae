"""Errors that a user can fix, and how every command ends: message and exit code."""

import sys
from collections.abc import Callable, Sequence

from pipeline.core.secrets import masked

# Exit codes; the last two as a shell reports them.
BAD_INPUT, INTERRUPTED, TERMINATED = 2, 130, 143

DIVERGED = "the training diverged"  # begins the message about a loss that is not a number


class UserError(Exception):
    """Bad input: the message names the file, key and value, and the way out; no passwords."""

    def __str__(self) -> str:
        return masked(super().__str__())


class Terminated(BaseException):
    """SIGTERM arrived; not an Exception, so that nothing swallows it."""


def first_line(error: BaseException) -> str:
    """Return an error's first line with text, without passwords; its type if it has no text."""
    lines = filter(str.strip, str(error).splitlines())
    return masked(next(lines, type(error).__name__))[:200]


def and_more(named: Sequence[object], what: str = "", shown: int = 1, between: str = ", ") -> str:
    """Name the first, and say how many more there are.

    >>> and_more(["a.png", "b.png", "c.png"], " files"), and_more(["a.png"])
    ('a.png and 2 more files', 'a.png')
    >>> and_more(["a", "b", "c"], shown=2)
    'a, b and 1 more'
    """
    more = f" and {len(named) - shown} more{what}" if len(named) > shown else ""
    return f"{between.join(map(str, named[:shown]))}{more}"


def warn(message: str) -> None:
    """Print a warning; the command goes on."""
    print(masked(f"warning: {message}"), file=sys.stderr, flush=True)


def run_command(command: Callable[[], int | None]) -> int:
    """Run a command and return its exit code; print an error as one line, not as a traceback.

    The command's own code, or 0 for None; 2 after a UserError or if a file, disk or connection
    fails; 130 after Ctrl-C; 143 after SIGTERM. Click itself handles a closed output.
    """
    try:
        return command() or 0
    except UserError as error:
        return _say(f"error: {error}", BAD_INPUT)
    except ConnectionError as error:
        return _say(f"error: {error}; check that the server runs and can be reached", BAD_INPUT)
    except OSError as error:
        if error.errno is None:  # for example from an HTTP request: not an operating system's error
            return _say(f"error: {first_line(error)}; check the server and try again", BAD_INPUT)
        reason = f"{error.filename or 'a file'}: {error.strerror}"
        way_out = "check its permissions, and that the disk is not full"
        if isinstance(error, FileNotFoundError):
            way_out = "restore it, or run `dvc repro`"
        return _say(f"error: {reason}; {way_out}", BAD_INPUT)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except Terminated:
        return _say("terminated", TERMINATED)


def _say(message: str, code: int) -> int:
    print(masked(message), file=sys.stderr)
    return code
