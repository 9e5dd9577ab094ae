"""Unpickle CIFAR's files without running code that a pickle may contain."""

import codecs
import io
import pickle
from typing import Any

import numpy as np

from pipeline.core.errors import UserError


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Stand in for _codecs.encode, which old protocols use to write byte strings."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return codecs.latin_1_encode(text)[0]


# The functions that rebuild NumPy arrays in protocols 2 and 5.
_RECONSTRUCT = np.empty(0).__reduce_ex__(2)[0]
_FROM_BUFFER = np.empty(0).__reduce_ex__(5)[0]

# All that a pickle of dictionaries, lists, byte strings and arrays of NumPy 1 or 2 refers to.
ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode_latin1,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle refers to if it is in ADMITTED; never import anything."""
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}") from None


def load_pickle(content: bytes, where: str) -> Any:
    """Unpickle dictionaries, lists, strings, numbers and numpy arrays.

    Args:
        content: a pickle from Python 2 (its strings become bytes) or 3.
        where: the file's name, for the error message.

    Raises:
        UserError: the pickle is damaged, or refers to anything else (which is not run).
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise UserError(f"{where} is refused: {error}; use the official files") from None
    except Exception as error:  # a damaged pickle can raise anything
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{where} is not a complete pickle ({reason}); copy it again") from None
