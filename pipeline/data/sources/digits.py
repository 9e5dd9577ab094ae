"""scikit-learn's bundled 8x8 handwritten digits, enlarged."""

import numpy as np

from pipeline.core.records import CHANNELS, Dataset, make_records
from pipeline.core.sections import DataParams

SIDE = 32  # a multiple of 8
# The digits have no official test set; we use one fifth of them, always the same images.
TEST_FRACTION = 0.2
TEST_SEED = 0
TRAINING_IMAGES = 1437


def load(_: DataParams) -> Dataset:
    """Load the 1,797 digits as 32x32x3 images."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    scale = (1, SIDE // 8, SIDE // 8)
    enlarged = zoom(digits.images / 16 * 255, scale, order=1, mode="nearest", grid_mode=True)
    grey = np.rint(enlarged).astype(np.uint8)
    images = np.repeat(grey[..., np.newaxis], CHANNELS, axis=-1)
    names = [str(name) for name in digits.target_names]
    records = make_records(digits.target, len(names))
    train, test = train_test_split(
        records, test_size=TEST_FRACTION, stratify=records["label"], random_state=TEST_SEED
    )
    return Dataset(images, train, test, names, names)
