"""Errors that a user can mend, shown as one message instead of a traceback."""

import functools
import sys
from collections.abc import Callable


class UserError(Exception):
    """Bad input: the message names the file, key and value, and the way out."""


class Terminated(BaseException):
    """SIGTERM arrived; not an Exception, so that nothing swallows it."""


def exit_on_user_error(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a command: a UserError, or a file or disk that fails, is printed and exits with 2.

    Ctrl-C exits with 130, SIGTERM with 143.
    """

    @functools.wraps(main)
    def wrapper() -> None:
        try:
            main()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except OSError as error:
            print(
                f"error: {error.filename or 'a file'}: {error.strerror or error}; check that it "
                "can be read and written, and that the disk is not full",
                file=sys.stderr,
            )
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except Terminated:
            print("terminated", file=sys.stderr)
            sys.exit(143)

    return wrapper
