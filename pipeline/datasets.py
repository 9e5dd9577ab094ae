"""Image data sets as uint8 arrays, and the prepared file that training reads.

Sources: scikit-learn's bundled 8x8 digits, and CIFAR-100 in the official binary layout
(https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pipeline.errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

IMAGE_SIZE = 32
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
RECORD = np.dtype([("image", np.uint8, IMAGE_SHAPE), ("label", np.uint8), ("superclass", np.uint8)])
CIFAR100_RECORD_BYTES = 2 + 3 * IMAGE_SIZE * IMAGE_SIZE
CIFAR100_IMAGES = {"train.bin": 50_000, "test.bin": 10_000}

# The digits come without an official test set: one fifth, always the same images.
DIGITS_TEST_FRACTION = 0.2
DIGITS_TEST_SEED = 0


@dataclass(frozen=True)
class Dataset:
    """A data set as it comes from its source.

    Attributes:
        train, test: records of dtype RECORD (image (32, 32, 3) uint8, label, superclass).
        class_names: the name of each label.
        superclass_names: the name of each superclass; where a source has none, the classes.
    """

    train: np.ndarray
    test: np.ndarray
    class_names: list[str]
    superclass_names: list[str]


def load_dataset(source: str, path: Path | None) -> Dataset:
    """Load `digits` or `cifar100`; `path` is the folder of the latter.

    Raises:
        UserError: files are missing, of the wrong size, or hold labels out of range.
    """
    return load_cifar100(path) if source == "cifar100" and path else load_digits()


def load_digits() -> Dataset:
    """Load scikit-learn's 1,797 handwritten digits, enlarged to 32x32x3."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits as load_sklearn_digits
    from sklearn.model_selection import train_test_split

    digits = load_sklearn_digits()
    scale = (1, IMAGE_SIZE // 8, IMAGE_SIZE // 8)
    enlarged = zoom(digits.images / 16 * 255, scale, order=1, mode="nearest", grid_mode=True)
    grey = np.rint(enlarged).astype(np.uint8)
    images = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    records = make_records(images, digits.target, digits.target)
    train, test = train_test_split(
        records,
        test_size=DIGITS_TEST_FRACTION,
        stratify=records["label"],
        random_state=DIGITS_TEST_SEED,
    )
    names = [str(name) for name in digits.target_names]
    return Dataset(train, test, names, names)


def load_cifar100(folder: Path) -> Dataset:
    """Load CIFAR-100 from a folder in the official binary layout.

    An image is 3,074 bytes: superclass, class, then 1,024 red, green and blue bytes, row-major.
    """
    return Dataset(
        train=_read_cifar100_binary(folder / "train.bin"),
        test=_read_cifar100_binary(folder / "test.bin"),
        class_names=_read_names(folder / "fine_label_names.txt", 100),
        superclass_names=_read_names(folder / "coarse_label_names.txt", 20),
    )


def _read_cifar100_binary(file: Path) -> np.ndarray:
    try:
        raw = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise UserError(
            f"{file} cannot be read ({error.strerror}); data.path must be the folder that holds "
            "train.bin and test.bin of CIFAR-100's binary archive"
        ) from None
    expected = CIFAR100_IMAGES[file.name] * CIFAR100_RECORD_BYTES
    if raw.size != expected:
        raise UserError(
            f"{file} has {raw.size:,} bytes, CIFAR-100's has {expected:,}; copy it again"
        )
    rows = raw.reshape(-1, CIFAR100_RECORD_BYTES)
    for column, (what, count) in enumerate([("superclass", 20), ("class", 100)]):
        _check_labels(rows[:, column], count, f"{file}: {what}")
    images = rows[:, 2:].reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE).transpose(0, 2, 3, 1)
    return make_records(images, rows[:, 1], rows[:, 0])


def _check_labels(labels: np.ndarray, count: int, what: str) -> None:
    wrong = np.flatnonzero(labels >= count)
    if wrong.size:
        raise UserError(
            f"{what} label {labels[wrong[0]]} of image {wrong[0]} is not below {count}; "
            "the file is damaged, copy it again"
        )


def _read_names(file: Path, count: int) -> list[str]:
    try:
        names = file.read_text(encoding="utf-8").split()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror})") from None
    if len(names) != count:
        raise UserError(f"{file} has {len(names)} names, CIFAR-100's has {count}; copy it again")
    return names


def make_records(images: np.ndarray, labels: np.ndarray, superclasses: np.ndarray) -> np.ndarray:
    """Join (n, 32, 32, 3) uint8 images with their (n,) labels and superclasses."""
    records = np.empty(len(images), RECORD)
    records["image"], records["label"], records["superclass"] = images, labels, superclasses
    return records


class Prepared:
    """The prepared data: one memory-mapped file of records, the splits one after the other.

    Attributes:
        metadata: source, class names, split sizes, digest and the data params.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.metadata: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
            self._records = np.load(folder / "records.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{folder} holds no prepared data ({error}); run `dvc repro prepare`"
            ) from None

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
    def watched(self) -> Split:
        """The split that chooses the epoch: val, or test in the tutorial's own protocol."""
        return "val" if self.metadata["images"]["val"] else "test"

    @property
    def class_names(self) -> list[str]:
        """The name of each label."""
        return self.metadata["class_names"]


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
