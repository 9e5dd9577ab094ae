import numpy as np
from sklearn.datasets import load_digits as sklearn_digits

from pipeline.data.sources.digits import TRAINING_IMAGES, load
from tests.conftest import checked


def test_digits_are_32x32_grey_images_in_three_channels():
    digits = load(checked().data)
    images = digits.images
    assert (len(digits.train), len(digits.test)) == (TRAINING_IMAGES, 360)
    assert images.shape[1:] == (32, 32, 3)
    assert (images[..., 0] == images[..., 2]).all()
    assert (images.min(), images.max()) == (0, 255)
    assert np.bincount(digits.test["label"]).min() >= 34


def test_digits_keep_their_picture_and_label():
    original = sklearn_digits()
    digits = load(checked().data)
    # The means of the 4x4 tiles are nearly the original 8x8 image.
    tiles = (
        digits.images[digits.test["row"], ..., 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))
        / 255
        * 16
    )
    distance = ((tiles[:, None] - original.images[None]) ** 2).mean(axis=(2, 3))
    nearest = original.target[distance.argmin(axis=1)]
    assert (nearest == digits.test["label"]).mean() > 0.99
