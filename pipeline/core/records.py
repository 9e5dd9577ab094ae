"""Images and labels in memory and on disk, the same for every data set.

`prepare` writes one file of records, split after split, which training maps into memory. If each
seed has its own validation images, it also writes a file with the fold of each training and
validation record.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pipeline.core.errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SPLIT_NAMES: dict[str, str] = {"train": "train", "val": "validation", "test": "test"}  # for people

FOLDS = "folds.npy"
IMAGE_SIZE = 32
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
RECORD = np.dtype(
    [
        ("image", np.uint8, IMAGE_SHAPE),
        ("label", np.uint8),
        ("superclass", np.uint8),
        ("group", np.int32),
    ]
)


@dataclass(frozen=True)
class Dataset:
    """A data set as it comes from its source.

    Attributes:
        train, test: records of dtype RECORD (image (32, 32, 3) uint8, label, superclass, and the
            number of the group of duplicates, which `prepare` fills in).
        class_names: the name of each label.
        superclass_names: the name of each superclass; if a source has none, the classes.
    """

    train: np.ndarray
    test: np.ndarray
    class_names: list[str]
    superclass_names: list[str]


def make_records(images: np.ndarray, labels: np.ndarray, superclasses: np.ndarray) -> np.ndarray:
    """Join (n, 32, 32, 3) uint8 images with their (n,) classes; each image is its own group."""
    records = np.empty(len(images), RECORD)
    records["image"], records["label"], records["superclass"] = images, labels, superclasses
    records["group"] = np.arange(len(images))
    return records


class Prepared:
    """The prepared data as the trainings with one seed see it: a memory-mapped file of records.

    Args:
        seed: decides which fold, if there are folds, is held out for validation.

    Attributes:
        metadata: source, class names, split sizes, digest and the data params.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.metadata = load_metadata(folder)
        self._held_out = None
        try:
            self._records = np.load(folder / "records.npy", mmap_mode="r")
            if self.metadata.get("params", {}).get("split_by_seed"):
                folds = np.load(folder / FOLDS)
                self._held_out = folds == seed % (folds.max() + 1)
        except (OSError, ValueError) as error:
            raise _no_prepared_data(folder, error) from None

    def __getitem__(self, split: Split) -> np.ndarray:
        """Return the records of a split; not yet read from disk, unless folds select them."""
        if self._held_out is not None and split != "test":
            known = self._records[: len(self._held_out)]
            return known[self._held_out if split == "val" else ~self._held_out]
        start = 0
        for name in SPLITS:
            stop = start + self.metadata["images"][name]
            if name == split:
                return self._records[start:stop]
            start = stop
        raise KeyError(split)

    @property
    def digest(self) -> str:
        """SHA-256 of splits and records."""
        return self.metadata["digest"]

    @property
    def class_names(self) -> list[str]:
        """The name of each label."""
        return self.metadata["class_names"]


def load_metadata(folder: Path) -> dict[str, Any]:
    """Read what `prepare` recorded about the data.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        metadata = json.loads((folder / "metadata.json").read_text())
    except (OSError, ValueError) as error:
        raise _no_prepared_data(folder, error) from None
    if not isinstance(metadata, dict):
        raise _no_prepared_data(folder, "metadata.json is not a JSON object")
    return metadata


def _no_prepared_data(folder: Path, reason: object) -> UserError:
    return UserError(f"{folder} holds no prepared data ({reason}); run `dvc repro prepare`")


def save_prepared(
    folder: Path,
    splits: dict[Split, np.ndarray],
    metadata: dict[str, Any],
    folds: np.ndarray | None = None,
) -> str:
    """Write records and metadata into `folder`; return the SHA-256 of splits, records and folds.

    Args:
        folds: the fold of each record of train and val, if each seed holds out a different one.
    """
    records = np.concatenate([splits[name] for name in SPLITS])
    images = {name: len(splits[name]) for name in SPLITS}
    digest = hashlib.sha256(json.dumps(images).encode())
    digest.update(records.data)
    if folds is not None:
        digest.update(folds.data)
    metadata = {**metadata, "images": images, "digest": digest.hexdigest()}
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "records.npy", records)
    if folds is not None:
        np.save(folder / FOLDS, folds)
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n")
    return metadata["digest"]
