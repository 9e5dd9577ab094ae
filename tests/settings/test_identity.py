import shutil

import pytest

from pipeline.core.recipe import DROP_KEYS
from pipeline.settings import identity as module
from pipeline.settings.identity import (
    code_digest,
    identity,
    setting_of,
    settings_of,
    without_unread,
)
from pipeline.settings.trainings import Training
from tests.conftest import checked, quick_values

MODEL = Training("model", "dropblock", 0)


def of(training=MODEL, data="d", **changes):
    return identity(checked(**changes), training, data)


def test_the_seeds_of_a_setting_share_all_but_the_last_part():
    first, second = of(), of(MODEL._replace(seed=12))
    assert first.endswith("-0") and second.endswith("-12")
    assert setting_of(first) == setting_of(second)
    assert len(setting_of(first)) == 16
    assert of(**{"train.seeds": [0, 1, 2]}) == first


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe.learning_rate": 0.06},
        {"recipe.optimizer": "sgd"},
        {"model.learning_rate": 0.06},
        {"model.filters": [8, 8, 8, 8]},
        {"model.drop_block_size": 3},
        {"augment.crop_pixels": 1},
        {"train.watch": "none"},
        {"train.clip_norm": 1.0},
        {"train.deterministic": True},
    ],
    ids=str,
)
def test_what_decides_a_training_changes_it(changes):
    assert of(**changes) != of()


@pytest.mark.parametrize(
    "changes",
    [
        {"baseline.width": 0.25},
        {"baseline.learning_rate": 0.06},
        {"sprint.width": 0.5},
        {"evaluate.batch_size": 100, "evaluate.flip": True},
        {"train.networks": ["model"]},
        {"train.variants": ["dropblock", "nodrop"]},
        {"recipe.learning_rate_decay": 0.5},  # which the linear schedule does not read
        {"data.path": "elsewhere", "data.limit": 100},  # the digest represents the data
    ],
    ids=str,
)
def test_what_does_not_decide_it_leaves_it_alone(changes):
    assert of(**changes) == of()


def test_it_is_the_same_wherever_a_value_stands():
    shared = of(**{"recipe.learning_rate": 0.06})
    own = of(**{"model.learning_rate": 0.06})
    overridden = of(**{"recipe.learning_rate": 0.5, "model.learning_rate": 0.06})
    assert shared == own == overridden
    assert of(**{"model.learning_rate": 1}) == of(**{"model.learning_rate": 1.0})


def test_a_value_that_is_overridden_counts_for_the_others_only():
    baseline = Training("baseline", "dropblock", 0)  # has its own epochs
    assert of(baseline, **{"recipe.epochs": 3}) == of(baseline)
    assert of(**{"recipe.epochs": 3}) != of()


def test_data_network_and_variant_change_it():
    others = [of(data="e"), of(MODEL._replace(variant="nodrop")),
              of(Training("baseline", "dropblock", 0))]  # fmt: skip
    assert len({of(), *others}) == 4


def test_variants_that_come_to_the_same_are_the_same():
    off = {"model.conv_keep_step": 0.0, "model.conv_keep_end": 1.0}
    nodrop = MODEL._replace(variant="nodrop")
    assert of(**off) == of(nodrop, **off) == of(nodrop, **{"model.drop_block_size": 3})


@pytest.mark.parametrize("library", ["tensorflow", "keras"])
def test_another_version_of_a_library_that_computes_changes_it(monkeypatch, library):
    before, version = of(), module.version
    monkeypatch.setattr(module, "version", lambda name: "0.0" if name == library else version(name))
    assert of() != before


@pytest.fixture
def code(tmp_path, monkeypatch):
    """The code that a training depends on, a line a file, in a folder of its own."""
    for path in ("core/recipe.py", "core/words.py", "training/loop.py", "networks/model.py",
                 "networks/baseline.py", "networks/shared/blocks.py", "core/records.py",
                 "settings/trainings.py", "reporting/page.py"):  # fmt: skip
        file = tmp_path / "pipeline" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a = 1\n")
    shutil.copyfile(module.ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    code_digest.cache_clear()
    yield tmp_path / "pipeline"
    code_digest.cache_clear()


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("networks/model.py", True),
        ("networks/shared/blocks.py", True),
        ("training/loop.py", True),
        ("core/recipe.py", True),
        ("networks/baseline.py", False),
        ("core/words.py", False),
        ("reporting/page.py", False),
    ],
)
def test_the_code_of_the_network_and_of_training_changes_it(code, path, changed):
    before = of()
    (code / path).write_text("a = 2\n")
    code_digest.cache_clear()
    assert (of() != before) == changed


def test_what_python_leaves_beside_the_code_does_not(code):
    before = of()
    cache = code / "training/__pycache__"
    cache.mkdir()
    (cache / "loop.pyc").write_bytes(b"1")
    code_digest.cache_clear()
    assert of() == before


def test_the_settings_are_those_that_dvc_declares():
    params = checked()
    settings = settings_of(params.by_section(), MODEL)
    recipe = without_unread(vars(params.recipe("model")))
    assert {key: settings[key] for key in recipe} == recipe
    others = {key.partition(".")[0] for key in settings.keys() - recipe.keys()}
    assert others == {"augment", "train"}
    assert {"train.seeds", "train.networks", "train.variants"}.isdisjoint(settings)


def test_the_settings_of_an_earlier_version_have_what_it_had():
    values = quick_values()
    earlier = {"model": {**values["recipe"], **values["model"]}, "train": {"watch": "test"}}
    assert settings_of(earlier, MODEL) == {
        **without_unread(earlier["model"]), "train.watch": "test",
    }  # fmt: skip


MUON = {"muon_learning_rate", "muon_momentum", "muon_weight_decay", "muon_rescale"}


@pytest.mark.parametrize(
    ("choices", "unread"),
    [
        ({}, {"learning_rate_decay"}),
        ({"optimizer": "adam"}, {"learning_rate_decay", *MUON, "momentum"}),
        ({"optimizer": "sgd"}, {"learning_rate_decay", *MUON}),
        ({"schedule": "exponential"}, {"warmup", "cooldown"}),
        ({"conv_keep_step": 0.0, "conv_keep_end": 1.0},
         {"learning_rate_decay", *DROP_KEYS}),
        ({"batch_norm": False}, {"learning_rate_decay", "batch_norm_momentum",
                                 "batch_norm_epsilon", "logits_norm"}),
        ({"hidden_units": []}, {"learning_rate_decay", "dense_keep"}),
    ],
)  # fmt: skip
def test_keys_that_the_other_choices_make_meaningless_are_left_out(choices, unread):
    params = checked(**{f"model.{key}": value for key, value in choices.items()})
    recipe = vars(params.recipe("model"))
    assert recipe.keys() - without_unread(recipe).keys() == unread


def test_adams_numbers_are_read_by_adam_alone():
    numbers = {"train.adam_beta_1": 0.9, "train.adam_epsilon": 1e-8, "train.clip_norm": 100.0}
    assert without_unread({"optimizer": "adam", **numbers}).keys() >= numbers.keys()
    assert without_unread({"optimizer": "sgd", **numbers}).keys() == {
        "optimizer",
        "train.clip_norm",
    }


def test_each_augmentation_policy_reads_keys_of_its_own():
    policies = {
        "translate": {"translate_pixels": 1, "alternate_flips": True},
        "tutorial": {"crop_pixels": 1, "max_operations": 2, "dropout_fraction": 0.5,
                     "dropout_min_cells": 2},
    }  # fmt: skip
    for policy, other in [("translate", "tutorial"), ("tutorial", "translate")]:
        chosen = {"augment.policy": policy}
        for key, value in policies[policy].items():
            assert of(**chosen, **{f"augment.{key}": value}) != of(**chosen), key
        for key, value in policies[other].items():
            assert of(**chosen, **{f"augment.{key}": value}) == of(**chosen), key
        assert of(**chosen, **{"augment.flip_probability": 0.25}) != of(**chosen)
    alternate = {"augment.policy": "translate", "augment.alternate_flips": True}
    assert of(**alternate, **{"augment.flip_probability": 0.25}) == of(**alternate)


def test_a_network_with_a_block_size_but_no_schedule_is_trained_for_each_size():
    assert without_unread({"drop_block_size": 3}) == {"drop_block_size": 3}
