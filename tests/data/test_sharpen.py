import numpy as np
import pytest

from pipeline.data.sharpen import sharpen

BINOMIAL = np.array([1, 4, 6, 4, 1])


def naive_sharpen(image):
    """OpenCV's filter2D on one channel, pixel by pixel, from the kernel's definition."""
    kernel = -np.outer(BINOMIAL, BINOMIAL).astype(float)
    kernel[2, 2] = 476
    kernel /= 256
    size = len(image)

    def reflect(i):
        return -i if i < 0 else 2 * (size - 1) - i if i >= size else i

    result = np.zeros_like(image)
    for y in range(size):
        for x in range(size):
            total = sum(
                kernel[dy, dx] * int(image[reflect(y + dy - 2), reflect(x + dx - 2)])
                for dy in range(5)
                for dx in range(5)
            )
            result[y, x] = min(255, max(0, round(total)))  # round half to even
    return result


def test_it_equals_the_definition_pixel_by_pixel():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    images[1] //= 4  # less saturation
    sharpened = sharpen(images)
    for n in range(2):
        for channel in range(3):
            expected = naive_sharpen(images[n, :, :, channel])
            np.testing.assert_array_equal(sharpened[n, :, :, channel], expected)


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_flat_image_stays_as_it_is(value):
    flat = np.full((1, 32, 32, 3), value, np.uint8)
    np.testing.assert_array_equal(sharpen(flat), flat)


def test_edges_saturate_instead_of_wrapping_around():
    step = np.zeros((1, 32, 32, 3), np.uint8)
    step[:, :, 16:] = 255
    sharpened = sharpen(step)
    np.testing.assert_array_equal(sharpened, step)
