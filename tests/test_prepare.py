import json

import numpy as np
import pytest

from pipeline.datasets import load_digits
from pipeline.errors import UserError
from pipeline.prepare import limit_dataset, prepare, split_train_val
from pipeline.prepared import Prepared
from pipeline.sharpen import sharpen
from tests.conftest import CIFAR100, needs_cifar100


def keys(records):
    return {record.tobytes() for record in records}


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def test_the_split_is_disjoint_complete_and_stratified(digits):
    train, val = split_train_val(digits.train, 0.1, seed=0)
    assert len(val) == 144
    assert len(train) + len(val) == len(digits.train)
    assert not keys(train) & keys(val)
    assert keys(train) | keys(val) == keys(digits.train)
    share = np.bincount(val["label"]) / np.bincount(digits.train["label"])
    assert (abs(share - 0.1) < 0.01).all()


def test_the_training_set_is_shuffled_by_its_seed(digits):
    first, _ = split_train_val(digits.train, 0.1, seed=0)
    again, _ = split_train_val(digits.train, 0.1, seed=0)
    other, _ = split_train_val(digits.train, 0.1, seed=1)
    whole, none = split_train_val(digits.train, 0, seed=0)
    np.testing.assert_array_equal(first, again)
    assert (first["label"] != other["label"]).any()
    assert (whole["label"] != digits.train["label"]).any()
    assert len(none) == 0


def test_a_limit_keeps_the_shares_of_the_classes(digits):
    limited = limit_dataset(digits, 200, seed=0)
    assert (len(limited.train), len(limited.test)) == (200, 200)
    assert np.bincount(limited.train["label"]).min() >= 18
    assert limit_dataset(digits, 10_000, seed=0).train is digits.train


def test_prepare_sharpens_every_split_and_only_when_told(workspace, params):
    plain = params.data.model_copy(update={"sharpen": False})
    prepare(params.data, workspace / "sharpened")
    prepare(plain, workspace / "plain")
    sharpened, unsharpened = Prepared(workspace / "sharpened"), Prepared(workspace / "plain")
    for split in ("train", "val", "test"):
        expected = sharpen(unsharpened[split]["image"])
        np.testing.assert_array_equal(sharpened[split]["image"], expected)
        np.testing.assert_array_equal(sharpened[split]["label"], unsharpened[split]["label"])
        assert (sharpened[split]["image"] != unsharpened[split]["image"]).any()


def test_the_same_params_give_the_same_bytes(workspace, params):
    prepare(params.data, workspace / "one")
    prepare(params.data, workspace / "two")
    for file in ("records.npy", "metadata.json"):
        assert (workspace / "one" / file).read_bytes() == (workspace / "two" / file).read_bytes()


def test_the_place_of_the_source_changes_nothing(workspace, params, cifar100_folder):
    source = {"source": "cifar100", "path": cifar100_folder.name, "validation_fraction": 0.2}
    data = params.data.model_copy(update=source)
    relative = prepare(data, workspace / "one")
    absolute = prepare(data.model_copy(update={"path": str(cifar100_folder)}), workspace / "two")
    assert relative == absolute
    one, two = (json.loads((workspace / n / "metadata.json").read_text()) for n in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_fraction": 0.001}, "data.validation_fraction = 0.001: .* larger fraction"),
        ({"validation_fraction": 0.999}, "data.validation_fraction = 0.999"),
        ({"limit": 5}, "data.limit = 5: .* larger limit"),
        ({"limit": 12}, "data.validation_fraction = 0.1: 12 training images cannot be split"),
    ],
)
def test_too_few_images_are_refused_with_the_way_out(workspace, params, changes, message):
    with pytest.raises(UserError, match=message):
        prepare(params.data.model_copy(update=changes))


@needs_cifar100
def test_the_real_cifar100_keeps_10_percent_of_each_class_for_validation(workspace, params):
    data = params.data.model_copy(update={"source": "cifar100", "path": str(CIFAR100.resolve())})
    prepare(data)
    prepared = Prepared(workspace / "data/prepared")
    assert (np.bincount(prepared["val"]["label"]) == 50).all()
    assert (np.bincount(prepared["train"]["label"]) == 450).all()
    assert len(prepared["test"]) == 10_000


def test_duplicates_are_never_split_between_training_and_validation(digits):
    records = digits.train.copy()
    groups = np.arange(len(records))
    groups[1::2] = groups[:-1:2]  # pairs ...
    alone = np.random.default_rng(0).permutation(len(records))[:400]
    groups[alone] = len(records) + np.arange(400)  # ... of which some are parted again
    records["group"] = groups
    train, val = split_train_val(records, 0.1, seed=0)
    assert len(val) == 144
    assert keys(train) | keys(val) == keys(records)
    assert not set(train["group"]) & set(val["group"])
    before = split_train_val(digits.train, 0.1, seed=0)[1]
    np.testing.assert_array_equal(np.bincount(val["label"]), np.bincount(before["label"]))


def test_a_class_of_nothing_but_duplicates_is_refused(digits):
    records = digits.train.copy()
    records["group"] = records["label"]
    with pytest.raises(UserError, match=r"of class 0 only 0 .* a higher data.duplicate_corr"):
        split_train_val(records, 0.1, seed=0)


def test_the_metadata_count_the_duplicates(workspace, params, cifar100_folder):
    rows = np.fromfile(cifar100_folder / "train.bin", np.uint8).reshape(-1, 3074)
    tests = np.fromfile(cifar100_folder / "test.bin", np.uint8).reshape(-1, 3074)
    rows[10, 2:], tests[4, 2:], tests[9, 2:] = rows[3, 2:], rows[3, 2:], tests[8, 2:]
    rows.tofile(cifar100_folder / "train.bin")
    tests.tofile(cifar100_folder / "test.bin")
    source = {"source": "cifar100", "path": str(cifar100_folder), "validation_fraction": 0.2}
    prepare(params.data.model_copy(update=source))
    metadata = Prepared(workspace / "data/prepared").metadata
    assert metadata["duplicates"] == {
        "within_training": 2, "test_of_training": 1, "within_test": 2,
    }  # fmt: skip
