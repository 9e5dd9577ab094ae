"""The data sets by name: scikit-learn's bundled 8x8 digits, and CIFAR-100."""

from pathlib import Path

import numpy as np

from pipeline.core.files import project_root
from pipeline.core.records import IMAGE_SIZE, Dataset, make_records
from pipeline.core.sections import DataParams
from pipeline.data.cifar100 import load_cifar100

# The digits have no official test set; we use one fifth of them, always the same images.
DIGITS_TEST_FRACTION = 0.2
DIGITS_TEST_SEED = 0


def load_dataset(params: DataParams) -> Dataset:
    """Load the data set that section `data` names.

    Raises:
        UserError: files are missing, damaged, or cannot be downloaded.
    """
    if params.source == "digits":
        return load_digits()
    # A relative path is relative to the main repository, also in the copy of a --temp run.
    root = project_root()
    path = root / Path(params.path).expanduser() if params.path else None
    return load_cifar100(path, params.url, root / "data")


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
