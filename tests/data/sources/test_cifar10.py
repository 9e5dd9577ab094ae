"""CIFAR-10's own files; tests/data/sources/test_cifar100.py has what the two share."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.data.sources import cifar10
from tests.conftest import checked, truncate

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


@pytest.fixture
def batches(monkeypatch):
    """Random pixels and labels of each file: 20 images, in place of 10,000."""
    small = replace(cifar10.CIFAR10, train_images=100, test_images=20)
    monkeypatch.setattr(cifar10, "CIFAR10", small)
    rng = np.random.default_rng(0)
    return {
        name: (rng.integers(0, 256, (20, 3072), np.uint8), rng.integers(0, 10, 20))
        for name in FILES
    }


@pytest.fixture
def binary(batches, tmp_path):
    """The layout of cifar-10-binary.tar.gz."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name, (pixels, labels) in batches.items():
        rows = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1)
        rows.tofile(folder / f"{name}.bin")
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return folder


@pytest.fixture
def python(batches, tmp_path):
    """The layout of cifar-10-python.tar.gz."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    contents = {
        name: {
            b"batch_label": b"training batch 1 of 5",
            b"labels": labels.tolist(),
            b"data": pixels,
            b"filenames": [b"some_name.png"] * len(labels),
        }
        for name, (pixels, labels) in batches.items()
    }
    contents["batches.meta"] = {
        b"num_cases_per_batch": 10_000,
        b"label_names": [name.encode() for name in NAMES],
        b"num_vis": 3072,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content, 2))
    return folder


def load(path):
    return cifar10.load(checked(**{"data.source": "cifar10", "data.path": str(path)}).data)


@pytest.mark.parametrize("layout", ["binary", "python"])
def test_all_batches_are_read_in_their_order(batches, request, layout):
    dataset = load(request.getfixturevalue(layout))
    labels = np.concatenate([labels for _, labels in batches.values()])
    pixels = np.concatenate([pixels for pixels, _ in batches.values()])
    both = np.concatenate([dataset.train, dataset.test])
    assert (len(dataset.train), len(dataset.test)) == (100, 20)
    np.testing.assert_array_equal(both["label"], labels)
    images = dataset.images[both["row"]]
    for image, row, column, channel in [(0, 0, 1, 0), (33, 3, 31, 1), (119, 31, 0, 2)]:
        byte = pixels[image, 1024 * channel + 32 * row + column]
        assert images[image, row, column, channel] == byte
    assert dataset.class_names == dataset.superclass_names == NAMES


def test_damaged_and_missing_batches_are_named(binary):
    truncate(binary / "data_batch_4.bin", 1)
    with pytest.raises(UserError, match=r"data_batch_4.bin has 61,459 bytes, not 61,460 as in CIF"):
        load(binary)
    (binary / "data_batch_2.bin").unlink()
    with pytest.raises(UserError, match=r"data_batch_2.bin not found; copy CIFAR-10 again"):
        load(binary)
