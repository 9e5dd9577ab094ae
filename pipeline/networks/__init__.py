"""The networks. Each file here is one, found by its name; `shared` has their building blocks."""

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import UserError, first_line
from pipeline.core.sections import Recipe

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Network:
    """A network; its file assigns one to the name NETWORK.

    Attributes:
        display_name: its name in reports and in MLflow.
        params: the type of its resolved recipe; its section of params.yaml has the file's name.
        build: makes an untrained Keras model from a recipe, the number of classes and the side of
            the images. The model takes (batch, side, side, 3) prepared pixels 0..255 and returns
            (batch, classes) float32 logits, not probabilities.
        adapt: sets weights from the data before the first step, given the untrained model and
            (n, side, side, 3) uint8 training images; equal images must give equal weights.
    """

    display_name: str
    params: type[Recipe]
    build: Callable[[Any, int, int], Any]
    adapt: Callable[[Any, np.ndarray], None] | None = None


@cache
def network_names() -> tuple[str, ...]:
    """Return the names of all networks, which are the names of the files in this folder."""
    modules = pkgutil.iter_modules([str(FOLDER)])
    return tuple(sorted(module.name for module in modules if not module.ispkg))


def find_network(name: str) -> Network:
    """Return the declaration of a network.

    Raises:
        UserError: its file cannot be imported, or does not define NETWORK.
    """
    with code_errors(name):
        declared = getattr(importlib.import_module(f"{__name__}.{name}"), "NETWORK", None)
    if not isinstance(declared, Network):
        raise UserError(
            f"{FOLDER / name}.py does not define NETWORK = Network(...); CONTRIBUTING.md shows an "
            "example"
        )
    return declared


@contextmanager
def code_errors(name: str) -> Iterator[None]:
    """Turn an error in the code of a network's file into a UserError that names file and line."""
    file = FOLDER / f"{name}.py"
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
        line = frames[-1].lineno if frames else getattr(error, "lineno", None)
        where = f"{file}, line {line}" if line else str(file)
        raise UserError(f"{where}: {type(error).__name__}: {first_line(error)}") from error


def display_name(name: str) -> str:
    """Return a network's display name."""
    return find_network(name).display_name
