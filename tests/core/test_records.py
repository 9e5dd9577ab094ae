import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.core.records import (
    Images,
    Prepared,
    load_metadata,
    make_records,
    save_prepared,
)
from pipeline.data.sources import digits
from tests.conftest import checked


def test_prepared_splits_come_back_as_they_were_saved(tmp_path):
    dataset = digits.load(checked().data)
    records = dataset.train
    splits = {"train": records[:50], "val": records[50:70], "test": records[70:75]}
    metadata = {"params": {"image_size": 32, "split_by_seed": False}, "class_names": []}
    digest = save_prepared(tmp_path, splits, lambda rows: dataset.images[rows], metadata)
    prepared = Prepared(tmp_path)
    for name, expected in splits.items():
        np.testing.assert_array_equal(prepared[name]["image"], dataset.images[expected["row"]])
        for field in ("label", "superclass", "group"):
            np.testing.assert_array_equal(prepared[name][field], expected[field])
    assert prepared.metadata["digest"] == digest


def test_some_images_of_a_split_are_read_alone_and_in_the_order_asked_for(tmp_path):
    dataset = digits.load(checked().data)
    split = Images(dataset.images, dataset.test)
    asked = np.array([7, 2, 300])
    expected = dataset.images[dataset.test["row"][asked]]
    np.testing.assert_array_equal(split.read(asked), expected)
    np.testing.assert_array_equal(split.first(8).read(asked[:2]), expected[:2])
    assert (split.shape, split.first(8).shape) == ((360, 32, 32, 3), (8, 32, 32, 3))


@pytest.mark.parametrize(("classes", "bits"), [(2, 8), (256, 8), (257, 16)])
def test_labels_have_room_for_all_classes(classes, bits):
    records = make_records(np.arange(classes), classes)
    assert (records["label"] == np.arange(classes)).all()
    assert records["label"].dtype == records["superclass"].dtype == f"uint{bits}"


def test_the_digest_tells_content_and_splits_apart(tmp_path):
    dataset = digits.load(checked().data)
    records, images = dataset.train[:30], dataset.images.copy()

    def digest(train, val):
        splits = {"train": train, "val": val, "test": records[:0]}
        return save_prepared(tmp_path, splits, lambda rows: images[rows], {})

    first = digest(records[:20], records[20:])
    assert digest(records[:20], records[20:]) == first
    assert digest(records[:21], records[21:]) != first
    images[records["row"][3], 0, 0, 0] ^= 1
    assert digest(records[:20], records[20:]) != first


def test_the_content_is_that_of_the_images_and_labels_in_any_order_and_split(tmp_path):
    dataset = digits.load(checked().data)
    records, test, images = dataset.train[:30], dataset.test[:9], dataset.images.copy()

    def content(train, val, test):
        splits = {"train": train, "val": val, "test": test}
        save_prepared(tmp_path, splits, lambda rows: images[rows], {})
        return load_metadata(tmp_path)["content"]

    first = content(records[:20], records[20:], test)
    moved = np.random.default_rng(0).permutation(records)
    moved["group"] += 1
    assert content(moved[:25], moved[25:], test[::-1]) == first
    assert content(np.append(records, test[:1]), records[:0], test[1:]) != first
    moved["label"][3] ^= 1
    assert content(moved, moved[:0], test) != first
    images[test["row"][3], 0, 0, 0] ^= 1
    assert content(records, records[:0], test) != first


@pytest.mark.parametrize("content", [None, "{", "[1]", "{}"])
def test_missing_or_damaged_prepared_data_says_how_to_make_it(tmp_path, content):
    if content:
        (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(UserError, match="run `dvc repro`"):
        Prepared(tmp_path)
