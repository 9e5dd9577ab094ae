from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.data.sources import digits as source
from pipeline.data.splits import deal_folds, limit_dataset, split_off
from tests.conftest import checked

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def split_train_val(records, fraction, seed):
    return split_off("data.validation_fraction", records, fraction, seed, NAMES)


def keys(records):
    return {record.tobytes() for record in records}


@pytest.fixture(scope="module")
def digits():
    return source.load(checked().data)


def test_the_split_is_disjoint_complete_and_stratified(digits):
    train, val = split_train_val(digits.train, 0.1, 0)
    assert len(val) == 144
    assert len(train) + len(val) == len(digits.train)
    assert not keys(train) & keys(val)
    assert keys(train) | keys(val) == keys(digits.train)
    share = np.bincount(val["label"]) / np.bincount(digits.train["label"])
    assert (abs(share - 0.1) < 0.01).all()


def test_the_training_set_is_shuffled_by_its_seed(digits):
    first, _ = split_train_val(digits.train, 0.1, 0)
    again, _ = split_train_val(digits.train, 0.1, 0)
    other, _ = split_train_val(digits.train, 0.1, 1)
    whole, none = split_train_val(digits.train, 0, 0)
    np.testing.assert_array_equal(first, again)
    assert (first["label"] != other["label"]).any()
    assert (whole["label"] != digits.train["label"]).any()
    assert len(none) == 0


def test_a_limit_keeps_the_shares_of_the_classes(digits):
    limited = limit_dataset(digits, 200, seed=0)
    assert (len(limited.train), len(limited.test)) == (200, 200)
    assert np.bincount(limited.train["label"]).min() >= 18
    assert len(limit_dataset(digits, len(digits.train) - 1, seed=0).train) == len(digits.train) - 1
    assert limit_dataset(digits, 10_000, seed=0).train is digits.train


def test_duplicates_are_never_split_between_training_and_validation(digits):
    records = digits.train.copy()
    groups = np.arange(len(records))
    groups[1::2] = groups[:-1:2]  # pairs ...
    alone = np.random.default_rng(0).permutation(len(records))[:400]
    groups[alone] = len(records) + np.arange(400)  # ... some of which are separated again
    records["group"] = groups
    train, val = split_train_val(records, 0.1, 0)
    assert len(val) == 144
    assert keys(train) | keys(val) == keys(records)
    assert not set(train["group"]) & set(val["group"])
    before = split_train_val(digits.train, 0.1, 0)[1]
    np.testing.assert_array_equal(np.bincount(val["label"]), np.bincount(before["label"]))


def test_a_class_of_nothing_but_duplicates_is_refused(digits):
    records = digits.train.copy()
    records["group"] = records["label"]
    with pytest.raises(UserError, match=r"class zero has 0 .* a higher data.duplicate_corr"):
        split_train_val(records, 0.1, 0)


@pytest.mark.parametrize(("fraction", "advice"), [(0.9999, "a smaller"), (0.0001, "a larger")])
def test_the_advice_for_a_fraction_that_cannot_be_split_goes_the_right_way(
    digits, fraction, advice
):
    with pytest.raises(UserError, match=f"use {advice} fraction"):
        split_train_val(digits.train, fraction, 0)


def test_a_class_that_only_one_image_has_cannot_be_split(digits):
    seven = np.flatnonzero(digits.train["label"] == 7)
    records = np.delete(digits.train, seven[1:])
    with pytest.raises(UserError, match="there is only one image of seven, which"):
        split_train_val(records, 0.1, 0)


def test_a_limit_that_leaves_a_class_without_images_is_refused(digits):
    few = np.flatnonzero(digits.train["label"] == 3)[2:]
    lacking = replace(digits, train=np.delete(digits.train, few))
    with pytest.raises(UserError, match="limit = 30 leaves no images for training of 3; change"):
        limit_dataset(lacking, 30, seed=0)


def test_folds_are_of_the_same_size_and_even_in_all_classes(digits):
    folds = deal_folds(digits.train, 0.1, seed=0, names=NAMES)
    assert set(folds) == {-1, *range(10)}
    assert len(set(np.bincount(folds[folds >= 0]))) == 1
    for label in range(10):
        counts = np.bincount(folds[(digits.train["label"] == label) & (folds >= 0)])
        assert len(set(counts)) == 1
        share = counts[0] / (digits.train["label"] == label).sum()
        assert share == pytest.approx(0.1, abs=0.01)
    np.testing.assert_array_equal(folds, deal_folds(digits.train, 0.1, seed=0, names=NAMES))
    assert (folds != deal_folds(digits.train, 0.1, seed=1, names=NAMES)).any()


def test_duplicates_are_in_no_fold(digits):
    records = digits.train.copy()
    records["group"] = np.arange(len(records))
    records["group"][1:100:2] = records["group"][:99:2]
    folds = deal_folds(records, 0.1, seed=0, names=NAMES)
    assert (folds[:100] == -1).all()
    held_out = folds == 3
    assert not set(records["group"][held_out]) & set(records["group"][~held_out])


def test_too_few_images_for_so_many_folds_are_refused(digits):
    with pytest.raises(UserError, match=r"10 folds .* class zero has .* split_by_seed: false"):
        deal_folds(digits.train[:60], 0.1, seed=0, names=NAMES)
