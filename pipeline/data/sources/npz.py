"""One .npz file with x_train, y_train, x_test and y_test, as Keras' data sets are stored."""

from pathlib import Path

import numpy as np

from pipeline.core.errors import UserError
from pipeline.core.files import DAMAGED
from pipeline.core.records import CHANNELS, Dataset, make_records
from pipeline.core.sections import DataParams
from pipeline.data.sources import check_classes, check_labels, needed_path

NEEDED = ("x_train", "y_train", "x_test", "y_test")
NAMES = "class_names"  # optional
MAX_CLASSES = 1 << 16


def load(params: DataParams) -> Dataset:
    """Load images of shape (n, height, width), grey, or (n, height, width, 1 or 3), and labels.

    Raises:
        UserError: the file is missing or damaged, or an array is missing or of another kind.
    """
    path = needed_path(params, f"an .npz file with {', '.join(NEEDED)}")
    arrays = _read(path)
    train, test = (_images(arrays[key], f"{path}: {key}") for key in ("x_train", "x_test"))
    if train.shape[1:] != test.shape[1:]:
        raise UserError(
            f"{path}: x_train has images of shape {train.shape[1:]}, x_test of {test.shape[1:]}; "
            "give both the same shape"
        )
    counts = {"y_train": len(train), "y_test": len(test)}
    labels = [_labels(arrays[key], n, f"{path}: {key}") for key, n in counts.items()]
    both = np.concatenate(labels)
    names = _names(arrays.get(NAMES), int(both.max()) + 1, f"{path}: {NAMES}")
    check_classes(names, path)
    train_records, test_records = np.split(make_records(both, len(names)), [len(train)])
    return Dataset(np.concatenate([train, test]), train_records, test_records, names, names)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as opened, np.lib.npyio.NpzFile(opened, allow_pickle=False) as file:
            if missing := [key for key in NEEDED if key not in file]:
                raise UserError(
                    f"{path}: {', '.join(missing)} not found, only {', '.join(file)}; save the "
                    f"arrays with np.savez(..., {'=..., '.join(NEEDED)}=...)"
                )
            return {key: file[key] for key in (*NEEDED, NAMES) if key in file}
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"data.path = {path}: cannot be read ({reason}); give an .npz file of numbers"
        ) from None


def _images(array: np.ndarray, where: str) -> np.ndarray:
    """Return (n, height, width, 3) images."""
    images = array[..., np.newaxis] if array.ndim == 3 else array
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, CHANNELS):
        raise UserError(
            f"{where} is an array of {array.dtype} {array.shape}; give uint8 0 to 255 of shape (n, "
            "height, width), (n, height, width, 1) or (n, height, width, 3)"
        )
    if not images.size:
        raise UserError(f"{where} has no images")
    return np.repeat(images, CHANNELS // images.shape[3], axis=3)


def _labels(array: np.ndarray, count: int, where: str) -> np.ndarray:
    """Return (count,) labels."""
    if array.shape not in ((count,), (count, 1)) or array.dtype.kind not in "iu":
        raise UserError(
            f"{where} is an array of {array.dtype} {array.shape}; give one integer for each of the "
            f"{count:,} images, counted from 0"
        )
    labels = array.reshape(count)
    check_labels(labels, MAX_CLASSES, f"{where}:", "count the classes from 0")
    return labels


def _names(names: np.ndarray | None, classes: int, where: str) -> list[str]:
    """Return the name of each class; without names, its number."""
    if names is None:
        return [str(number) for number in range(classes)]
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) < len(names):
        raise UserError(f"{where} is not a list of distinct strings")
    if len(names) < classes:
        raise UserError(f"{where} has {len(names)} names, but there is a label {classes - 1}")
    return names.tolist()
