"""The form of images and labels in memory and on disk, the same for every data set."""

from dataclasses import dataclass

import numpy as np

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
