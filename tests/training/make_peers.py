"""Write imgaug_and_opencv.json: reference results of imgaug 0.2.8 and OpenCV 4.5 on images.

These versions need an old NumPy, so run this in a separate environment:

    python3 -m venv peers
    peers/bin/pip install numpy==1.23.5 opencv-python-headless==4.5.5.64 scikit-image==0.20.0 \\
        six imageio Pillow matplotlib Shapely && peers/bin/pip install --no-deps imgaug==0.2.8
    peers/bin/python tests/training/make_peers.py
"""

import collections
import collections.abc
import json
from pathlib import Path

import cv2
import numpy as np

IMAGES, SEED = 20_000, 0
CROPS = [(0, 0, 0, 0), (12, 12, 12, 12), (3, 0, 0, 7), (0, 1, 11, 2), (5, 9, 2, 12), (12, 3, 4, 0)]


def area(crop: tuple[int, int, int, int]) -> dict[str, object]:
    """Crop an image of noise and enlarge it as imgaug does, but in float32: OpenCV, INTER_AREA."""
    top, bottom, left, right = crop
    image = np.random.default_rng(SEED).integers(0, 256, (32, 32), np.uint8)
    cut = image[top : 32 - bottom, left : 32 - right].astype(np.float32)
    resized = cv2.resize(cut, (32, 32), interpolation=cv2.INTER_AREA)
    return {"crop": crop, "resized": resized.round(2).tolist()}


def coarse_dropout() -> dict[str, object]:
    """Draw masks as the tutorial asks imgaug for them and describe them."""
    collections.Iterable = collections.abc.Iterable  # type: ignore[attr-defined]  # since 3.10
    import imgaug
    from imgaug import augmenters

    imgaug.seed(SEED)
    drop = augmenters.CoarseDropout((0.0, 0.2), size_percent=(0.02, 0.25), per_channel=0.5)
    white = np.full((IMAGES, 32, 32, 3), 255, np.uint8)
    masks = drop.augment_images(white) == 0
    shares = masks.mean(axis=(1, 2, 3))
    shared = (masks.all(axis=3) == masks.any(axis=3)).all(axis=(1, 2))
    dense = masks[shares > 0.15]
    rows = np.diff(dense, axis=1).any(axis=(2, 3)).sum(axis=1) + 1
    columns = np.diff(dense, axis=2).any(axis=(1, 3)).sum(axis=1) + 1
    cells = (np.bincount(rows, minlength=9) + np.bincount(columns, minlength=9))[:9]
    return {
        "masks": IMAGES,
        "mean_share": shares.mean(),
        "sd_share": shares.std(),
        "empty": (shares == 0).mean(),
        "black": (shares == 1).mean(),
        "quantiles": np.quantile(shares, [0.25, 0.5, 0.75, 0.95]).tolist(),
        "same_in_all_channels": shared.mean(),
        "cells_of_dense": (cells / cells.sum()).tolist(),
        "correlation": float(abs(np.corrcoef(rows, columns)[0, 1])),
    }


if __name__ == "__main__":
    peers = {
        "made_by": "tests/training/make_peers.py, imgaug 0.2.8, OpenCV 4.5.5, NumPy 1.23.5",
        "opencv": {"seed": SEED, "crops": [area(crop) for crop in CROPS]},
        "imgaug": coarse_dropout(),
    }
    text = json.dumps(peers)
    Path(__file__).with_name("imgaug_and_opencv.json").write_text(f"{text}\n")
