"""The tutorial's sharpening of the uint8 images."""

import numpy as np
from scipy.ndimage import correlate

# The tutorial's unsharp mask, times 256: the identity minus a 5x5 Gaussian blur, doubled.
SHARPEN_KERNEL_256 = -np.array(
    [
        [1, 4, 6, 4, 1],
        [4, 16, 24, 16, 4],
        [6, 24, -476, 24, 6],
        [4, 16, 24, 16, 4],
        [1, 4, 6, 4, 1],
    ]
)
CHUNK = 5_000  # images sharpened at a time, to bound the memory


def sharpen(images: np.ndarray) -> np.ndarray:
    """Sharpen (n, h, w, c) uint8 images as OpenCV's filter2D does.

    Integer arithmetic, rounded half to even and saturated to 0..255, with a reflect-101 border.
    """
    kernel = SHARPEN_KERNEL_256[np.newaxis, :, :, np.newaxis]
    sharpened = np.empty_like(images)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK].astype(np.int32)
        total = correlate(chunk, kernel, mode="mirror")
        sharpened[start : start + CHUNK] = np.clip(np.rint(total / 256), 0, 255)
    return sharpened
