"""CIFAR-100: 60,000 images of 100 classes in 20 superclasses."""

from pipeline.core.records import Dataset
from pipeline.core.sections import DataParams
from pipeline.data.cifar import Cifar, Labels, load_cifar

CIFAR100 = Cifar(
    name="CIFAR-100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    archive_bytes=169_001_437,
    archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
    folders=("cifar-100-binary", "cifar-100-python"),
    train=("train",),
    test="test",
    train_images=50_000,
    test_images=10_000,
    meta="meta",
    labels=(
        Labels("superclass", 20, "coarse_labels", "coarse_label_names", "coarse_label_names.txt"),
        Labels("class", 100, "fine_labels", "fine_label_names", "fine_label_names.txt"),
    ),
)
TRAINING_IMAGES = CIFAR100.train_images


def load(params: DataParams) -> Dataset:
    """Load CIFAR-100; see load_cifar."""
    return load_cifar(CIFAR100, params)
