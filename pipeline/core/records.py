"""Images and labels in memory and on disk, the same for every data set.

`prepare` writes a file of images and one of records, their labels, split after split. Pixels are
read from the file when they are needed, so that a data set may be larger than memory. If each seed
has its own validation images, there is also a file with the fold of each training and validation
record.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pipeline.core.files import read_json, unreadable, write_json

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SPLIT_NAMES: dict[str, str] = {"train": "train", "val": "validation", "test": "test"}  # for people

IMAGES, RECORDS, FOLDS, METADATA = "images.npy", "records.npy", "folds.npy", "metadata.json"
CHANNELS = 3
CHUNK = 128  # images read or written at a time, to bound the memory


def record_type(classes: int) -> np.dtype:
    """Return the type of a record: an image's row in the array of images, and its labels.

    Labels have the smallest unsigned type that holds all classes. `group` is the number of the
    image's group of duplicates.
    """
    label = np.min_scalar_type(classes - 1)
    return np.dtype(
        [("label", label), ("superclass", label), ("group", np.int32), ("row", np.int32)]
    )


@dataclass(frozen=True)
class Dataset:
    """A data set as it comes from its source.

    Attributes:
        images: training and test images together, (n, height, width, 3) uint8, or (n,) paths of
            pictures. load_dataset makes them squares of side data.image_size, possibly mapped from
            a file.
        train, test: records, see record_type; `prepare` fills in the groups.
        class_names: the name of each label.
        superclass_names: the name of each superclass; if a source has none, the classes.
        drawn_test: whether the test images were drawn at random from the same pictures; `prepare`
            then takes duplicates of training images out of them.
    """

    images: np.ndarray
    train: np.ndarray
    test: np.ndarray
    class_names: list[str]
    superclass_names: list[str]
    drawn_test: bool = False


def make_records(
    labels: np.ndarray, classes: int, superclasses: np.ndarray | None = None, first_row: int = 0
) -> np.ndarray:
    """Make the records of images that lie one after the other, each a group of its own.

    Args:
        labels: (n,) classes.
        superclasses: (n,); None: the classes.
        first_row: of the first image in the array of images.
    """
    records = np.empty(len(labels), record_type(classes))
    records["label"] = labels
    records["superclass"] = labels if superclasses is None else superclasses
    records["group"] = np.arange(len(labels))
    records["row"] = first_row + records["group"]
    return records


@dataclass(frozen=True)
class Images:
    """Images with their labels; pixels are read only when they are asked for.

    Attributes:
        pixels: (n, side, side, 3) uint8, usually mapped from a file.
        records: (m,) of some of these images.
    """

    pixels: np.ndarray
    records: np.ndarray

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, field: str) -> np.ndarray:
        """Return a field of all records; `image` reads all pixels into memory."""
        return self.read() if field == "image" else self.records[field]

    def read(self, which: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Read the pixels of some of the records, by their positions."""
        return self.pixels[self.records["row"][which]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number, height, width and channels."""
        return (len(self), *self.pixels.shape[1:])

    def first(self, count: int) -> "Images":
        """Return the first `count` images."""
        return Images(self.pixels, self.records[:count])


class Prepared:
    """The prepared data as the trainings with one seed see it, mapped from files.

    Args:
        seed: decides which fold, if there are folds, is held out for validation.

    Attributes:
        metadata: source, class names, split sizes, digest and the data params.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.metadata = load_metadata(folder)
        self._held_out = None
        try:
            self._pixels = np.load(folder / IMAGES, mmap_mode="r")
            self._records = np.load(folder / RECORDS)
            if self.metadata["params"]["split_by_seed"]:
                folds = np.load(folder / FOLDS)
                self._held_out = folds == seed % (folds.max() + 1)
        except (OSError, ValueError, EOFError) as error:
            raise unreadable(folder, error) from None

    def __getitem__(self, split: Split) -> Images:
        """Return the images of a split, not yet read from disk."""
        return Images(self._pixels, self._records_of(split))

    def _records_of(self, split: Split) -> np.ndarray:
        if self._held_out is not None and split != "test":
            known = self._records[: len(self._held_out)]
            return known[self._held_out if split == "val" else ~self._held_out]
        ends = np.cumsum([self.metadata["images"][name] for name in SPLITS])
        return np.split(self._records, ends[:-1])[SPLITS.index(split)]

    @property
    def digest(self) -> str:
        """SHA-256 of splits, images and labels."""
        return self.metadata["digest"]

    @property
    def class_names(self) -> list[str]:
        """The name of each label."""
        return self.metadata["class_names"]

    @property
    def image_size(self) -> int:
        """The side of the images in pixels."""
        return self.metadata["params"]["image_size"]


def load_metadata(folder: Path, *needed: str) -> dict[str, Any]:
    """Read what `prepare` recorded about the data.

    Args:
        needed: keys that data prepared by an earlier version may lack.

    Raises:
        UserError: the file is missing or damaged, or lacks a key.
    """
    return read_json(folder / METADATA, "digest", *needed)


def save_prepared(
    folder: Path,
    splits: dict[Split, np.ndarray],
    read: Callable[[np.ndarray], np.ndarray],
    metadata: dict[str, Any],
    folds: np.ndarray | None = None,
) -> str:
    """Write images, records and metadata into `folder`; return the SHA-256 of all but the metadata.

    The metadata also get the `content`: a SHA-256 of the images and labels, whatever their order
    and however training and validation images are split.

    Args:
        splits: the records of each split.
        read: returns the prepared (k, side, side, 3) uint8 pixels of k rows.
        folds: the fold of each record of train and val, if each seed holds out a different one.
    """
    records = np.concatenate([splits[name] for name in SPLITS])
    images = {name: len(splits[name]) for name in SPLITS}
    digest = hashlib.sha256(json.dumps(images).encode())
    each: list[bytes] = []
    folder.mkdir(parents=True, exist_ok=True)

    def pixels() -> Iterator[np.ndarray]:
        for start in range(0, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            read_now = read(chunk["row"])
            joined = _joined(read_now, chunk)
            digest.update(joined.data)
            joined["group"] = 0  # its number depends on the order
            each.extend(hashlib.sha256(one.tobytes()).digest() for one in joined)
            yield read_now

    write_images(folder / IMAGES, len(records), pixels())
    if folds is not None:
        digest.update(folds.data)
        np.save(folder / FOLDS, folds)
    records["row"] = np.arange(len(records))
    np.save(folder / RECORDS, records)
    test = len(each) - images["test"]
    content = hashlib.sha256(b"".join([*sorted(each[:test]), *sorted(each[test:])])).hexdigest()
    metadata = {**metadata, "images": images, "digest": digest.hexdigest(), "content": content}
    write_json(folder / METADATA, metadata)
    return metadata["digest"]


def _joined(pixels: np.ndarray, records: np.ndarray) -> np.ndarray:
    """Put each image before its labels, as the digest has them, whatever the files look like."""
    labels = [(name, records.dtype[name]) for name in ("label", "superclass", "group")]
    joined = np.empty(len(records), [("image", np.uint8, pixels.shape[1:]), *labels])
    joined["image"] = pixels
    for name, _ in labels:
        joined[name] = records[name]
    return joined


def write_images(file: Path, count: int, chunks: Iterator[np.ndarray]) -> None:
    """Write chunks of (k, side, side, 3) uint8 images as one .npy file of `count` images.

    Not through a memory map, where a full disk would kill the process instead of raising OSError.
    """
    first = next(chunks)
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *first.shape[1:])}
    with file.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, header)
        opened.write(np.ascontiguousarray(first).data)
        for chunk in chunks:
            opened.write(np.ascontiguousarray(chunk).data)
