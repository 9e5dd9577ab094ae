import json

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.core.records import Prepared
from pipeline.data.sharpen import sharpen
from pipeline.stages.prepare import prepare, prepare_data
from tests.conftest import CIFAR100, checked, needs_cifar100


def test_prepare_sharpens_every_split_and_only_when_told(workspace, params):
    plain = params.data.model_copy(update={"sharpen": False})
    prepare_data(params.data, workspace / "sharpened")
    prepare_data(plain, workspace / "plain")
    sharpened, unsharpened = Prepared(workspace / "sharpened"), Prepared(workspace / "plain")
    for split in ("train", "val", "test"):
        expected = sharpen(unsharpened[split]["image"])
        np.testing.assert_array_equal(sharpened[split]["image"], expected)
        np.testing.assert_array_equal(sharpened[split]["label"], unsharpened[split]["label"])
        assert (sharpened[split]["image"] != unsharpened[split]["image"]).any()


def test_the_same_params_give_the_same_bytes(workspace, params):
    prepare_data(params.data, workspace / "one")
    prepare_data(params.data, workspace / "two")
    for file in ("images.npy", "records.npy", "metadata.json"):
        assert (workspace / "one" / file).read_bytes() == (workspace / "two" / file).read_bytes()


def test_the_place_of_the_source_changes_nothing(workspace, params, cifar100_folder):
    source = {"source": "cifar100", "path": cifar100_folder.name, "validation_fraction": 0.2}
    data = params.data.model_copy(update=source)
    relative = prepare_data(data, workspace / "one")
    absolute = prepare_data(
        data.model_copy(update={"path": str(cifar100_folder)}), workspace / "two"
    )
    assert relative == absolute
    one, two = (json.loads((workspace / n / "metadata.json").read_text()) for n in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_fraction": 0.001}, "data.validation_fraction = 0.001: .* larger fraction"),
        ({"validation_fraction": 0.999}, "data.validation_fraction = 0.999"),
        ({"limit": 5}, "data.limit = 5 leaves no images for training of"),
        ({"limit": 12}, "data.validation_fraction = 0.1: there is only one image of 0 and 7"),
    ],
)
def test_too_few_images_are_refused_with_the_way_out(workspace, params, changes, message):
    with pytest.raises(UserError, match=message):
        prepare(checked(**{f"data.{key}": value for key, value in changes.items()}))


@pytest.mark.slow
@needs_cifar100
def test_the_real_cifar100_keeps_10_percent_of_each_class_for_validation(workspace, params):
    said = prepare(checked(**{"data.source": "cifar100", "data.path": str(CIFAR100.resolve())}))
    assert said.startswith("prepared cifar100 in data/prepared, digest ")
    prepared = Prepared(workspace / "data/prepared")
    assert (np.bincount(prepared["val"]["label"]) == 50).all()
    assert (np.bincount(prepared["train"]["label"]) == 450).all()
    assert len(prepared["test"]) == 10_000


def test_the_metadata_count_the_duplicates(workspace, params, cifar100_folder):
    rows = np.fromfile(cifar100_folder / "train.bin", np.uint8).reshape(-1, 3074)
    tests = np.fromfile(cifar100_folder / "test.bin", np.uint8).reshape(-1, 3074)
    rows[10, 2:], tests[4, 2:], tests[9, 2:] = rows[3, 2:], rows[3, 2:], tests[8, 2:]
    rows.tofile(cifar100_folder / "train.bin")
    tests.tofile(cifar100_folder / "test.bin")
    source = {"source": "cifar100", "path": str(cifar100_folder), "validation_fraction": 0.2}
    prepare_data(params.data.model_copy(update=source), workspace / "data/prepared")
    metadata = Prepared(workspace / "data/prepared").metadata
    assert metadata["duplicates"] == {
        "within_training": 2, "test_of_training": 1, "within_test": 2,
    }  # fmt: skip


def images_of(split):
    return {image.tobytes() for image in split["image"]}


def test_each_seed_can_have_validation_images_of_its_own(workspace, params):
    prepare_data(params.data.model_copy(update={"split_by_seed": True}), workspace / "by_seed")
    seeds = [Prepared(workspace / "by_seed", seed) for seed in (0, 1, 10)]
    val = [images_of(prepared["val"]) for prepared in seeds]
    assert not val[0] & val[1]  # folds: another seed, other images
    assert val[0] == val[2]  # ten folds, so that seed 10 has those of seed 0
    for prepared, held_out in zip(seeds, val, strict=True):
        assert not images_of(prepared["train"]) & held_out
        sizes = prepared.metadata["images"]
        assert (len(prepared["train"]), len(prepared["val"])) == (sizes["train"], sizes["val"])
        np.testing.assert_array_equal(prepared["test"].records, seeds[0]["test"].records)


def test_without_the_option_the_prepared_data_are_those_of_before(workspace, params):
    digest = prepare_data(params.data, workspace / "plain")
    assert not (workspace / "plain/folds.npy").exists()
    metadata = json.loads((workspace / "plain/metadata.json").read_text())
    assert metadata["params"]["split_by_seed"] is False
    by_seed = params.data.model_copy(update={"split_by_seed": True})
    assert prepare_data(by_seed, workspace / "by_seed") != digest
