"""CIFAR-10: 60,000 images of ten classes."""

from pipeline.core.records import Dataset
from pipeline.core.sections import DataParams
from pipeline.data.cifar import Cifar, Labels, load_cifar

CIFAR10 = Cifar(
    name="CIFAR-10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    archive_bytes=170_498_071,
    archive_md5="c58f30108f718f92721af3b95e74349a",
    folders=("cifar-10-batches-bin", "cifar-10-batches-py"),
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    train_images=50_000,
    test_images=10_000,
    meta="batches.meta",
    labels=(Labels("class", 10, "labels", "label_names", "batches.meta.txt"),),
)
TRAINING_IMAGES = CIFAR10.train_images


def load(params: DataParams) -> Dataset:
    """Load CIFAR-10; see load_cifar."""
    return load_cifar(CIFAR10, params)
