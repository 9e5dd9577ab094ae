import numpy as np
import pytest
from sklearn.datasets import load_digits as sklearn_digits

from pipeline.datasets import Prepared, load_dataset, save_prepared
from pipeline.errors import UserError
from tests.conftest import CIFAR100, needs_cifar100


def test_digits_are_32x32_grey_images_in_three_channels():
    digits = load_dataset("digits", None)
    records = np.concatenate([digits.train, digits.test])
    images = records["image"]
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert images.shape[1:] == (32, 32, 3)
    assert (images[..., 0] == images[..., 2]).all()
    assert (images.min(), images.max()) == (0, 255)
    assert np.bincount(digits.test["label"]).min() >= 34


def test_digits_keep_their_picture_and_label():
    original = sklearn_digits()
    digits = load_dataset("digits", None)
    # The mean of each 4x4 tile brings the original 8x8 image back, nearly.
    tiles = digits.test["image"][..., 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)) / 255 * 16
    distance = ((tiles[:, None] - original.images[None]) ** 2).mean(axis=(2, 3))
    nearest = original.target[distance.argmin(axis=1)]
    assert (nearest == digits.test["label"]).mean() > 0.99


def test_cifar100_binary_records_become_images_and_labels(cifar100_folder):
    raw = np.fromfile(cifar100_folder / "test.bin", np.uint8).reshape(-1, 3074)
    dataset = load_dataset("cifar100", cifar100_folder)
    assert (len(dataset.train), len(dataset.test)) == (500, 200)
    record = dataset.test[7]
    assert (record["superclass"], record["label"]) == tuple(raw[7, :2])
    for channel in range(3):
        for row, column in [(0, 0), (0, 31), (31, 0), (13, 22)]:
            byte = raw[7, 2 + 1024 * channel + 32 * row + column]
            assert record["image"][row, column, channel] == byte
    assert dataset.class_names[3] == "class03"
    assert dataset.superclass_names[3] == "super03"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "train.bin").unlink(), "train.bin cannot be read .* data.path must be"),
        (lambda f: (f / "train.bin").write_bytes(b""), "train.bin has 0 bytes, .* copy it again"),
        (lambda f: truncate(f / "test.bin", -1), "test.bin has 614,799 bytes"),
        (lambda f: truncate(f / "test.bin", 3074), "test.bin has 617,874 bytes"),
        (lambda f: poke(f / "test.bin", 3074 * 5 + 1, 100), "class label 100 of image 5"),
        (lambda f: poke(f / "test.bin", 3074 * 9, 20), "superclass label 20 of image 9"),
        (lambda f: (f / "fine_label_names.txt").unlink(), "fine_label_names.txt cannot be read"),
        (lambda f: (f / "coarse_label_names.txt").write_text("fish\n"), "has 1 names"),
    ],
)
def test_damaged_cifar100_files_are_refused(cifar100_folder, damage, message):
    damage(cifar100_folder)
    with pytest.raises(UserError, match=message):
        load_dataset("cifar100", cifar100_folder)


def truncate(file, change):
    size = file.stat().st_size + change
    with file.open("r+b") as opened:
        opened.truncate(size)


def poke(file, position, value):
    with file.open("r+b") as opened:
        opened.seek(position)
        opened.write(bytes([value]))


def test_prepared_splits_come_back_as_they_were_saved(tmp_path):
    records = load_dataset("digits", None).train
    splits = {"train": records[:50], "val": records[50:70], "test": records[70:75]}
    digest = save_prepared(tmp_path, splits, {"params": {"source": "digits"}, "class_names": []})
    prepared = Prepared(tmp_path)
    for name, expected in splits.items():
        np.testing.assert_array_equal(prepared[name], expected)
    assert prepared.metadata["digest"] == digest
    assert prepared.watched == "val"


def test_the_digest_tells_content_and_splits_apart(tmp_path):
    records = load_dataset("digits", None).train[:30].copy()

    def digest(train, val):
        return save_prepared(tmp_path, {"train": train, "val": val, "test": records[:0]}, {})

    first = digest(records[:20], records[20:])
    assert digest(records[:20], records[20:]) == first
    assert digest(records[:21], records[21:]) != first
    records["image"][3, 0, 0, 0] ^= 1
    assert digest(records[:20], records[20:]) != first


def test_without_validation_images_the_test_set_is_watched(tmp_path):
    records = load_dataset("digits", None).train
    save_prepared(tmp_path, {"train": records, "val": records[:0], "test": records[:9]}, {})
    assert Prepared(tmp_path).watched == "test"


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_missing_or_damaged_prepared_data_says_how_to_make_it(tmp_path, content):
    if content:
        (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(UserError, match="run `dvc repro prepare`"):
        Prepared(tmp_path)


@needs_cifar100
def test_the_real_cifar100_has_500_training_and_100_test_images_of_each_class():
    dataset = load_dataset("cifar100", CIFAR100)
    assert (np.bincount(dataset.train["label"]) == 500).all()
    assert (np.bincount(dataset.test["label"]) == 100).all()
    assert (np.bincount(dataset.test["superclass"]) == 500).all()
    assert dataset.class_names[0] == "apple"
    assert dataset.superclass_names[0] == "aquatic_mammals"
