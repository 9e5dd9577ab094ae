"""Where images come from. Each file here is one source, found by its name (`data.source`).

A source's file defines `load`, which takes section `data` and returns a Dataset; if their number is
known beforehand, also TRAINING_IMAGES.
"""

import importlib
import math
import pkgutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import project_root
from pipeline.core.records import Dataset
from pipeline.core.sections import DataParams

FOLDER = Path(__file__).parent


@cache
def source_names() -> tuple[str, ...]:
    """Return the names of all sources, which are the names of the files in this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(FOLDER)])))


def load_dataset(params: DataParams) -> Dataset:
    """Load the data set that section `data` names: data.limit of it, as squares of image_size.

    Raises:
        UserError: files are missing, damaged, or cannot be downloaded; or data.limit is too small.
    """
    from pipeline.data.pictures import fit_images  # late: to check a name takes no Pillow
    from pipeline.data.splits import limit_dataset

    every: Dataset = importlib.import_module(f"{__name__}.{params.source}").load(params)
    found = limit_dataset(every, params.limit, params.seed)
    if found.images.shape[1:3] == (params.image_size, params.image_size):
        return found
    records = np.concatenate([found.train, found.test])
    images = fit_images(found.images, records["row"], params)
    records["row"] = np.arange(len(records))
    train, test = np.split(records, [len(found.train)])
    return replace(found, images=images, train=train, test=test)


def most_training_images(params: DataParams) -> float:
    """Return the most training images that there can be: data.limit, or what the source has."""
    return min(params.limit or math.inf, training_images(params.source))


def training_images(source: str) -> float:
    """Return how many training images a source always has; infinity if it loads your own."""
    module = importlib.import_module(f"{__name__}.{source}")
    return getattr(module, "TRAINING_IMAGES", math.inf)


def needed_path(params: DataParams, what: str) -> Path:
    """Return data.path.

    Args:
        what: the source needs there, for the error message.

    Raises:
        UserError: it is null.
    """
    path = data_path(params)
    if path is None:
        raise UserError(f"data.path = null: data.source: {params.source} needs {what}")
    return path


def data_path(params: DataParams) -> Path | None:
    """Return data.path; a relative one starts at the main repository, also in a --temp run."""
    if not params.path:
        return None
    path = Path(params.path)
    with suppress(RuntimeError):  # `~name`, without a user of this name
        path = path.expanduser()
    return project_root() / path


def check_classes(names: Sequence[str], path: Path) -> None:
    """Raise a UserError if there is only one class."""
    if len(names) < 2:
        raise UserError(
            f"data.path = {path}: there is only one class, {names[0]}; at least two are needed"
        )


def check_labels(labels: np.ndarray, classes: int, where: str, way_out: str) -> None:
    """Check that labels are in range.

    Args:
        where, way_out: the beginning and the end of the error message.

    Raises:
        UserError: one is not; the message names the first.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise UserError(
            f"{where} label {labels[wrong[0]]} of image {wrong[0]} is not in 0 to {classes - 1}; "
            f"{way_out}"
        )
