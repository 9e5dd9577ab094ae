import os

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.core.records import Prepared
from pipeline.data import pictures
from pipeline.data.pictures import load_image
from pipeline.data.sources import load_dataset
from pipeline.stages.prepare import prepare_data
from tests.conftest import checked


def picture(seed, size=(40, 30)):
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def write(folder, classes, count, first=0):
    """Write PNG pictures of random pixels, `count` per class, numbered from 0."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for place in range(count):
            seed = first + number * count + place
            Image.fromarray(picture(seed)).save(folder / name / f"{place:03}.png")


def params_of(path, **changes):
    places = {"data.source": "folder", "data.path": str(path), "data.image_size": 24}
    return checked(**places, **{f"data.{key}": value for key, value in changes.items()}).data


def load(path, **changes):
    return load_dataset(params_of(path, **changes))


def pixels_of(dataset, records):
    return {dataset.images[row].tobytes() for row in records["row"]}


@pytest.fixture
def folder(workspace):
    write(workspace / "mine", ["Ärger", "cat", "猫"], 10)
    return workspace / "mine"


def test_the_folders_names_are_the_classes_in_sorted_order(folder):
    dataset = load("mine")
    assert dataset.class_names == dataset.superclass_names == ["cat", "Ärger", "猫"]
    assert dataset.images.shape == (30, 24, 24, 3)
    for records in (dataset.train, dataset.test):
        for record in records:
            name = dataset.class_names[record["label"]]
            stored = [load_image(file, 24, "crop") for file in (folder / name).iterdir()]
            assert any((dataset.images[record["row"]] == image).all() for image in stored)


def test_a_share_of_each_class_is_held_out_always_the_same(folder):
    dataset, again, other = load("mine"), load("mine"), load("mine", seed=1)
    assert np.bincount(dataset.test["label"]).tolist() == [2, 2, 2]
    assert np.bincount(dataset.train["label"]).tolist() == [8, 8, 8]
    assert not pixels_of(dataset, dataset.test) & pixels_of(dataset, dataset.train)
    assert pixels_of(dataset, dataset.test) == pixels_of(again, again.test)
    assert pixels_of(dataset, dataset.test) != pixels_of(other, other.test)
    assert np.bincount(load("mine", test_fraction=0.5).test["label"]).tolist() == [5, 5, 5]


def test_duplicates_are_never_on_both_sides(folder):
    for name in ("cat", "猫"):
        for place in range(4):
            content = (folder / name / f"00{place}.png").read_bytes()
            (folder / name / f"copy-{place}.png").write_bytes(content)
    prepare_data(params_of("mine", test_fraction=0.3, sharpen=False), folder.parent / "prepared")
    prepared = Prepared(folder.parent / "prepared")
    sides = [
        {image.tobytes() for split in splits for image in prepared[split]["image"]}
        for splits in (("train", "val"), ("test",))
    ]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 30
    assert len(prepared["test"]) == round(0.3 * 38)


def test_only_the_pictures_within_the_limit_are_read(folder, monkeypatch):
    read = []
    monkeypatch.setattr(pictures, "load_image", lambda f, *a: read.append(f) or load_image(f, *a))
    dataset = load("mine", limit=9, test_fraction=0.5)
    assert len(set(read)) == len(read) == len(dataset.images) == 18
    for records in (dataset.train, dataset.test):
        assert np.bincount(records["label"]).tolist() == [3, 3, 3]
        for record in records:
            files = (folder / dataset.class_names[record["label"]]).iterdir()
            image = dataset.images[record["row"]]
            assert any((load_image(file, 24, "crop") == image).all() for file in files)


def test_train_and_test_are_taken_as_they_are(workspace):
    write(workspace / "mine/train", ["a", "b"], 6)
    write(workspace / "mine/test", ["a", "b"], 3, first=100)
    dataset = load("mine")
    assert np.bincount(dataset.train["label"]).tolist() == [6, 6]
    assert np.bincount(dataset.test["label"]).tolist() == [3, 3]
    for place, record in enumerate(dataset.test):  # by file name, then by class
        file = workspace / "mine/test" / "ab"[place % 2] / f"00{place // 2}.png"
        assert record["label"] == place % 2
        np.testing.assert_array_equal(dataset.images[record["row"]], load_image(file, 24, "crop"))


def test_hidden_files_are_no_pictures(folder):
    (folder / ".DS_Store").write_text("x")
    (folder / "cat/.DS_Store").write_text("x")
    assert len(load("mine").images) == 30


def remove_all(folder):
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "cat/003.png").write_text("x"),
         r"1 of 30 pictures cannot be used: .*cat/003.png is not a PNG, .* move them out of"),
        (lambda f: [(f / name / "004.png").write_bytes(b"") for name in ("cat", "猫")],
         r"2 of 30 pictures cannot be used: .*cat/004.png is .*; .*猫/004.png is not"),
        (lambda f: (f / "cat/sub").mkdir(), "cat/sub is a folder in a class folder"),
        (lambda f: (f / "labels.csv").write_text("x"), "labels.csv is in no class folder"),
        (lambda f: (f / "dog").mkdir(), "dog has no pictures; add some, or remove the folder"),
        (lambda f: [(f / "猫").rename(f.parent / "x"), (f / "Ärger").rename(f.parent / "y")],
         "there is only one class, cat; at least two are needed"),
        (lambda f: [(f / "cat").rename(f / "train"), (f / "猫").rename(f / "test")],
         "has Ärger next to train and test; move it away"),
        (lambda f: (f / os.fsdecode(b"\xff")).mkdir(), r"'\\udcff': the class name is not UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_with_the_way_out(folder, damage, message):
    damage(folder)
    with pytest.raises(UserError, match=message):
        load("mine")


def test_other_folders_are_refused(workspace):
    write(workspace / "mine/train", ["a", "b"], 3)
    write(workspace / "mine/test", ["a", "c"], 3)
    with pytest.raises(UserError, match="only train or only test has the classes b, c; give both"):
        load("mine")
    (workspace / "empty").mkdir()
    (workspace / "file").write_text("x")
    with pytest.raises(UserError, match="empty has no class folders; make one per class"):
        load("empty")
    for path in ("nowhere", "file", "~nosuchuser/mine"):
        with pytest.raises(UserError, match=f"data.path = .*{path}: not a folder; give one with"):
            load(path)
    with pytest.raises(UserError, match=r"data.path = null: data.source: folder needs a folder"):
        load_dataset(checked(**{"data.source": "folder"}).data)
    write(workspace / "few", ["a", "b"], 2)
    with pytest.raises(UserError, match=r"data.test_fraction = 0.2: 4 images cannot be"):
        load("few")


def test_prepare_leaves_nothing_but_the_prepared_data(folder):
    prepare_data(params_of("mine", validation_fraction=0.25), folder.parent / "data/prepared")
    assert [path.name for path in (folder.parent / "data").iterdir()] == ["prepared"]


def test_a_class_too_small_for_test_images_is_refused(workspace):
    write(workspace / "mine", ["a", "b"], 60)
    write(workspace / "mine", ["c"], 2)
    with pytest.raises(UserError, match=r"data.test_fraction leaves no images for testing of c; "):
        load(workspace / "mine")


def test_folders_inside_class_folders_are_refused(workspace):
    write(workspace / "mine/train", ["a", "b"], 4)
    write(workspace / "mine/val", ["a", "b"], 4)
    with pytest.raises(UserError, match="train/a is a folder in a class folder; put pictures"):
        load(workspace / "mine")
