"""Your own pictures: a folder of class folders.

Below data.path there are the folders of the classes, or `train` and `test` with the same class
folders in each. Without `train` and `test`, data.test_fraction of each class becomes the test set.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.core.errors import UserError, and_more
from pipeline.core.records import Dataset, make_records
from pipeline.core.sections import DataParams
from pipeline.data.sources import check_classes, needed_path
from pipeline.data.splits import check_all_classes, split_off

PARTS = ("train", "test")
SHOWN = 3  # misplaced entries that are named


class Picture(NamedTuple):
    """A picture's file and the name of its class."""

    file: Path
    name: str


def load(params: DataParams) -> Dataset:
    """List all pictures with their classes; none is read yet.

    Raises:
        UserError: there are no class folders, or `train` and `test` have different ones.
    """
    path = needed_path(params, "a folder with a folder of pictures per class")
    parts = [_find_pictures(folder) for folder in _parts(path)]
    classes = [sorted({picture.name for picture in part}) for part in parts]
    names = classes[0]
    if different := sorted(set(names).symmetric_difference(classes[-1])):
        raise UserError(
            f"data.path = {path}: only train or only test has the classes {', '.join(different)}; "
            "give both the same folders"
        )
    check_classes(names, path)
    pictures = [picture for part in parts for picture in part]
    print(f"{path}: {len(pictures):,} pictures of {len(names)} classes", flush=True)
    number = {name: label for label, name in enumerate(names)}
    records = make_records(np.array([number[p.name] for p in pictures]), len(names))
    drawn = len(parts) == 1
    if drawn:
        share, seed = params.test_fraction, params.seed
        train, test = split_off("data.test_fraction", records, share, seed, names)
        for part, purpose in ((train, "training"), (test, "testing")):
            check_all_classes("data.test_fraction", part, purpose, names)
    else:
        train, test = np.split(records, [len(parts[0])])
    files = np.array([picture.file for picture in pictures])
    return Dataset(files, train, test, names, names, drawn)


def _parts(path: Path) -> list[Path]:
    """Return the folders of train and test, or the folder itself if it has the classes."""
    if not path.is_dir():
        raise UserError(
            f"data.path = {path}: not a folder; give one with a folder of pictures per class"
        )
    entries = _entries(path)
    if not {entry.name for entry in entries}.issuperset(PARTS):
        return [path]
    if others := [entry.name for entry in entries if entry.name not in PARTS]:
        raise UserError(
            f"data.path = {path}: has {and_more(others, shown=SHOWN)} next to train and test; move "
            "it away, or its pictures into train (validation images are taken from there)"
        )
    return [path / part for part in PARTS]


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, without hidden files."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _find_pictures(folder: Path) -> list[Picture]:
    """Return the pictures of all class folders, sorted by their names, then by class.

    So the names alone decide the order, and a data set keeps its order if it is written out as
    numbered pictures.
    """
    found = []
    for entry in _entries(folder):
        if not entry.is_dir():
            raise UserError(f"{entry} is in no class folder; move it into one, or out of the data")
        _check_name(entry)
        files = _entries(entry)
        if not files:
            raise UserError(f"{entry} has no pictures; add some, or remove the folder")
        if inside := [file for file in files if file.is_dir()]:
            raise UserError(
                f"{inside[0]} is a folder in a class folder; put pictures directly into class "
                "folders, and these into train and test if you have test pictures"
            )
        found += [Picture(file, entry.name) for file in files]
    if not found:
        raise UserError(f"{folder} has no class folders; make one per class, with its pictures")
    return sorted(found, key=lambda picture: (picture.file.name, picture.name))


def _check_name(folder: Path) -> None:
    try:
        folder.name.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{folder.name!r}: the class name is not UTF-8; rename the folder"
        ) from None
