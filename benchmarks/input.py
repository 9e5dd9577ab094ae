"""Time preparing CIFAR-100 and augmenting batches, against OpenCV one picture at a time.

The peer uses OpenCV in a Python loop over the pictures, as imgaug 0.2.8 in the tutorial does:
filter2D, resizing with INTER_AREA, a coarse grid of at least four cells per side. The
sharpened pictures must be bit-identical.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.measure import make_parser, measure_case, save
from pipeline.core.records import Images
from pipeline.core.sections import AugmentParams
from pipeline.data.sharpen import SHARPEN_KERNEL_256, sharpen
from pipeline.data.sources import load_dataset
from pipeline.settings.params import load_params
from pipeline.training.batches import make_train_dataset

BATCH = 250
PREPARE = """
import sys, time
from pathlib import Path
from pipeline.settings.params import load_params
from pipeline.stages.prepare import prepare_data
start = time.perf_counter()
data = load_params().data.model_copy(
    update={"source": "cifar100", "path": sys.argv[1], "duplicate_correlation": 0.7})
prepare_data(data, Path(sys.argv[2]))
seconds = time.perf_counter() - start
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(seconds, 1024 * int(status["VmHWM"].split()[0]))
"""


def sharpen_with_opencv(images: np.ndarray) -> np.ndarray:
    """Sharpen (n, h, w, c) uint8 images one by one."""
    kernel = SHARPEN_KERNEL_256.astype(np.float64) / 256
    return np.stack([cv2.filter2D(image, -1, kernel) for image in images])


def augment_with_opencv(
    images: np.ndarray, params: AugmentParams, rng: np.random.Generator
) -> None:
    """Crop and resize, flip, and drop cells of a coarse grid, one image after the other."""
    height, width = images.shape[1:3]

    def crop(image: np.ndarray) -> np.ndarray:
        top, bottom, left, right = rng.integers(params.crop_pixels + 1, size=4)
        cut = image[top : height - bottom, left : width - right]
        return cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)

    def flip(image: np.ndarray) -> np.ndarray:
        return image[:, ::-1] if rng.random() < params.flip_probability else image

    def drop(image: np.ndarray) -> np.ndarray:
        shares = rng.uniform(params.dropout_grid_min, params.dropout_grid_max, 2)
        cells = np.maximum((shares * (height, width)).astype(int), params.dropout_min_cells)
        channels = 3 if rng.random() < params.dropout_per_channel else 1
        keep = rng.random((*cells, channels)) >= rng.uniform(0, params.dropout_fraction)
        mask = cv2.resize(keep.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        return image * mask.reshape(height, width, channels)

    for image in images:
        for operation in rng.permutation([crop, flip, drop])[: rng.integers(4)]:
            image = operation(image)


def timed(work: Callable[[], object], images: int) -> Callable[[], float]:
    """Return a function that does the work and returns images/s."""

    def measure() -> float:
        start = time.perf_counter()
        work()
        return images / (time.perf_counter() - start)

    return measure


def prepare_once(folder: Path, into: Path) -> tuple[float, float]:
    """Prepare all of CIFAR-100 in a subprocess; return seconds and peak memory in GB."""
    command = [sys.executable, "-c", PREPARE, str(folder), str(into)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory / 1e9


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    parser.add_argument("cifar100", type=Path, help="folder of CIFAR-100")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder = arguments.cifar100.resolve()
    source = {"source": "cifar100", "path": str(folder)}
    dataset = load_dataset(load_params().data.model_copy(update=source))
    train = Images(dataset.images, dataset.train)
    images = train["image"]
    if not np.array_equal(sharpen(images), sharpen_with_opencv(images)):
        raise AssertionError("sharpening differs from OpenCV's filter2D")
    print(f"sharpening equals OpenCV's filter2D on all {len(images):,} training images")

    augment = load_params().augment.model_copy(
        update={"crop_pixels": 12, "flip_probability": 0.5}  # the tutorial's
    )
    batches = iter(make_train_dataset(train, BATCH, augment, seed=0))
    next(batches)
    rng = np.random.default_rng(0)
    work = {
        "sharpen": {
            "project": timed(lambda: sharpen(images), len(images)),
            "OpenCV loop": timed(lambda: sharpen_with_opencv(images), len(images)),
        },
        "augment": {
            "project": timed(lambda: [next(batches) for _ in range(100)], 100 * BATCH),
            "OpenCV loop": timed(lambda: augment_with_opencv(images[:5_000], augment, rng), 5_000),
        },
    }
    tables = [
        measure_case(pair, arguments.rounds, "OpenCV loop", **{"work, images/s": name})
        for name, pair in work.items()
    ]
    table = pd.concat(tables, ignore_index=True)
    with tempfile.TemporaryDirectory() as into:
        runs = [prepare_once(folder, Path(into) / str(number)) for number in range(3)]
    prepared = pd.DataFrame(runs, columns=["seconds", "GB"]).median()
    save(
        "input", table, plot, rounds=arguments.rounds,
        prepare_seconds=round(prepared["seconds"], 1), prepare_peak_gb=round(prepared["GB"], 2),
    )  # fmt: skip


def plot(table: pd.DataFrame) -> Figure:
    """Plot both contenders' images/s."""
    grid = sns.catplot(
        table, kind="bar", x="work, images/s", y="median", hue="contender", height=3.6
    )
    grid.set(ylabel="images/s")
    return grid.figure


if __name__ == "__main__":
    main()
