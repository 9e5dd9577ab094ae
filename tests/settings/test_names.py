import shutil

import pytest

from pipeline.settings import names, presets
from pipeline.settings.names import nearest_preset, setting_name, training_name
from pipeline.settings.params import check_params
from pipeline.settings.presets import preset_names, preset_values, shared_presets
from pipeline.settings.trainings import Training
from tests.conftest import TINY, checked

RESNET = Training("model", "dropblock", 3)


def name(variant="dropblock", **changes):
    return setting_name(checked(**changes), RESNET._replace(variant=variant))


@pytest.mark.parametrize("preset", shared_presets())
def test_a_training_is_named_by_its_network_its_preset_and_its_seed(preset):
    params = check_params(preset_values(preset))
    assert training_name(params, RESNET) == f"resnet, {preset}, seed 3"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.drop_block_size": 7}, "drop_block_size=7"),
        ({"recipe.learning_rate": 0.04, "model.batch_norm": False},
         "learning_rate=0.04, batch_norm=false"),
        ({"model.filters": [64, 64, 64, 64]}, "filters=[64,64,64,64]"),
        ({"augment.policy": "translate"}, "augment.policy=translate, "
         "augment.alternate_flips=false, augment.translate_pixels=2"),
        ({"train.watch": "none", "data.validation_fraction": 0.0},
         "train.watch=none, data.validation_fraction=0.0"),
        ({"data.source": "folder", "data.path": "/my/flowers"},
         "data.source=folder, data.path=flowers"),
        ({"model.conv_keep_step": 0.0}, "no DropBlock"),
    ],
)  # fmt: skip
def test_what_differs_from_the_preset_is_in_the_name(changes, said):
    assert name(**changes) == f"resnet, quick, {said}"


def test_a_variant_says_its_dropblock():
    assert name("nodrop", **{"recipe.epochs": 5}) == "resnet, quick, no DropBlock, epochs=5"
    assert name("unitdrop") == "resnet, quick, single units, keep 0.85"


def test_what_does_not_decide_the_result_is_not_in_the_name():
    assert name(**{"data.path": "/elsewhere", "baseline.width": 1.0}) == "resnet, quick"


def test_the_nearest_preset_is_the_one_with_the_fewest_differences():
    values = preset_values("laptop")
    values["recipe"]["epochs"] = 11
    assert setting_name(check_params(values), RESNET) == "resnet, laptop, epochs=11"


@pytest.mark.parametrize("preset", shared_presets())
def test_a_run_is_compared_with_its_preset_without_what_has_no_effect(preset):
    values = preset_values(preset)
    assert nearest_preset(check_params(values)) == (preset, {})
    values["data"]["path"] = "/data"
    values["train"]["seeds"] = [7]
    values["recipe"]["learning_rate_decay" if preset != "tutorial" else "warmup"] = 0.123
    assert nearest_preset(check_params(values)) == (preset, {"train.seeds": [7]})


def test_the_result_of_a_tuning_here_does_not_change_names(workspace, monkeypatch):
    folder = shutil.copytree(presets.FOLDER, workspace / "presets")
    monkeypatch.setattr(presets, "FOLDER", folder)
    names._presets.cache_clear()
    values = preset_values("quick")
    values["recipe"]["learning_rate"] = 0.123
    presets.save_preset(presets.TUNED, values, "# Test.")
    assert "tuned" in preset_names()
    assert setting_name(check_params(values), RESNET) == "resnet, quick, learning_rate=0.123"
    names._presets.cache_clear()


def test_a_run_names_keys_by_network_and_dropblock_that_is_off():
    changes = {"model.conv_keep_step": 0.0, "evaluate.flip": True, "data.source": "npz"}
    assert nearest_preset(checked(**changes, **{"data.path": "/my/own.npz"})) == (
        "quick",
        {"evaluate.flip": True, "model.DropBlock": "off", "data.source": "npz",
         "data.path": "own.npz"},
    )  # fmt: skip


def test_of_many_differences_the_last_are_a_number_and_a_hash():
    many = {**TINY, "recipe.momentum": 0.8, "recipe.warmup": 0.1, "model.drop_block_size": 3}
    listed = (
        "resnet, quick, epochs=2, momentum=0.{}, warmup=0.1, drop_block_size=3, width=0.03, "
        "filters=[128,256], 3 more ("
    )
    one, other = name(**many), name(**{**many, "recipe.momentum": 0.7})
    assert one.startswith(listed.format(8)) and other.startswith(listed.format(7))
    third = name(**{**many, "data.limit": 300})
    assert third.startswith(listed.format(8)) and third != one


def test_a_network_that_its_preset_lacks_is_named_by_what_differs_from_its_own_defaults():
    params = checked(**{"sprint.logits_scale": 0.2, "sprint.epochs": 3})
    said = setting_name(params, Training("sprint", "dropblock", 0))
    assert said == "sprint, quick, epochs=3, logits_scale=0.2"
