"""Images and labels in memory and on disk, the same for every data set.

`prepare` writes one file of records, the splits one after the other, which training maps into
memory.
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
        superclass_names: the name of each superclass; where a source has none, the classes.
    """

    train: np.ndarray
    test: np.ndarray
    class_names: list[str]
    superclass_names: list[str]


def make_records(images: np.ndarray, labels: np.ndarray, superclasses: np.ndarray) -> np.ndarray:
    """Join (n, 32, 32, 3) uint8 images with their (n,) classes, each its own group."""
    records = np.empty(len(images), RECORD)
    records["image"], records["label"], records["superclass"] = images, labels, superclasses
    records["group"] = np.arange(len(images))
    return records


class Prepared:
    """The prepared data: one memory-mapped file of records.

    Attributes:
        metadata: source, class names, split sizes, digest and the data params.
    """

    def __init__(self, folder: Path) -> None:
        self.metadata = load_metadata(folder)
        try:
            self._records = np.load(folder / "records.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise _no_prepared_data(folder, error) from None

    def __getitem__(self, split: Split) -> np.ndarray:
        """Return the records of a split, without reading them yet."""
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
    """Read what `prepare` noted of the data.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        metadata = json.loads((folder / "metadata.json").read_text())
    except (OSError, ValueError) as error:
        raise _no_prepared_data(folder, error) from None
    if not isinstance(metadata, dict):
        raise _no_prepared_data(folder, "metadata.json holds no JSON object")
    return metadata


def _no_prepared_data(folder: Path, reason: object) -> UserError:
    return UserError(f"{folder} holds no prepared data ({reason}); run `dvc repro prepare`")


def save_prepared(folder: Path, splits: dict[Split, np.ndarray], metadata: dict[str, Any]) -> str:
    """Write records and metadata into `folder`; return the SHA-256 of splits and records."""
    records = np.concatenate([splits[name] for name in SPLITS])
    images = {name: len(splits[name]) for name in SPLITS}
    digest = hashlib.sha256(json.dumps(images).encode())
    digest.update(records.data)
    metadata = {**metadata, "images": images, "digest": digest.hexdigest()}
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "records.npy", records)
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n")
    return metadata["digest"]
