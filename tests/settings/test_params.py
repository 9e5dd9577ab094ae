import pytest
from ruamel.yaml import YAML

from pipeline.core.errors import UserError
from pipeline.networks import network_names
from pipeline.settings.params import check_params, known_keys, load_params
from tests.conftest import checked, quick_values, with_values

NAN, INFINITY = float("nan"), float("inf")


def error_after(**changes):
    """Return what is said of the quick preset with other values, by dotted key."""
    with pytest.raises(UserError) as caught:
        checked(**changes)
    return str(caught.value)


def without(*keys):
    """Return the quick preset's values without some keys or sections."""
    values = quick_values()
    for key in keys:
        section, _, name = key.partition(".")
        del (values[section] if name else values)[name or section]
    return values


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("model.drop_block_size", 0, "= 0: input should be greater than or equal to 1"),
        (
            "model.drop_block_size",
            "abc",
            "= 'abc': input should be a valid integer (YAML reads this",
        ),
        ("model.drop_block_size", 7.0, "= 7.0: input should be a valid integer"),
        ("model.drop_block_size", True, "= True: input should be a valid integer"),
        ("model.drop_block_size", None, "= None: input should be a valid integer"),
        ("model.conv_keep_start", 1.2, "= 1.2: input should be less than or equal to 1"),
        ("recipe.dense_keep", 0.0, "= 0.0: input should be greater than 0"),
        ("model.width", 0, "= 0: input should be greater than 0"),
        ("recipe.learning_rate", NAN, "= nan: input should be a finite number"),
        ("model.learning_rate", INFINITY, "= inf: input should be a finite number"),
        ("recipe.learning_rate", "1e-3", "YAML reads this as text; write numbers without quotes"),
        ("recipe.initializer", "xavier", "input should be 'glorot_uniform', "),
        ("baseline.filters", [8, 0, 8, 8], "baseline.filters[1] = 0: "),
        ("train.seeds", [], "= []: list should have at least 1 item"),
        ("train.seeds", [-1], "train.seeds[0] = -1: "),
        ("train.jit_compile", "no", "= 'no': input should be a valid boolean"),
        ("data.validation_fraction", 1.0, "= 1.0: input should be less than 1"),
        ("augment.flip_probability", -0.1, "= -0.1: "),
        ("recipe.image_sizes", [0.5, 20], ": give pairs [end, side], like"),
        ("recipe.image_sizes", [[0.5, 7]], "a side at least 8"),
        ("recipe.image_sizes", [[1.0, 20]], ": give pairs"),
        ("recipe.image_sizes", [[0.5, 20], [0.4, 24]], "both must rise"),
        ("recipe.image_sizes", [[0.4, 24], [0.5, 20]], "both must rise"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_the_allowed_range(key, value, shown):
    message = error_after(**{key: value})
    assert message.startswith(f"params.yaml:\n  {key}")
    assert shown in message
    assert message.count("\n") == 1  # once, though two networks inherit it


NO_TEST = {"evaluate.test": False, "train.watch": "none"}
FRACTION, BY_SEED = "data.validation_fraction", {"data.split_by_seed": True}
RISING = {"recipe.stop_after_rising": 3}


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"train.seeds": [1, 1]}, "train.seeds: no value may be listed twice"),
        ({"model.filters": [8, 8]}, "model: filters and kernel_sizes need the same number"),
        ({"baseline.conv_keep_end": 0.96}, "baseline: conv_keep_end must not be above"),
        ({"model.cooldown": 0.9}, "model: warmup and cooldown together must not be above 1"),
        ({"recipe.cooldown": 0.9}, "recipe: warmup and cooldown together must not be above 1"),
        ({"augment.dropout_grid_min": 0.5}, "augment: dropout_grid_min must not be above"),
        ({"data.source": "digit"}, "data.source: 'digit' is not a source; known: cifar10, "),
        ({"augment.crop_pixels": 16}, "augment.crop_pixels = 16: at most 15 with data."),
        ({"augment.translate_pixels": 40}, "augment.translate_pixels = 40: at most 15 with"),
        ({"augment.dropout_min_cells": 33}, "augment.dropout_min_cells = 33: at most 32 with"),
        ({"recipe.image_sizes": [[0.2, 20], [0.5, 33]]},
         "baseline.image_sizes = 33: at most 32 with data.im"),
        ({"recipe.epochs": 10**12}, "recipe.epochs = 1000000000000"),
        ({FRACTION: 0.0}, "train.watch: validation needs data.validation_fraction above 0"),
        ({**BY_SEED, FRACTION: 0.0}, "data: split_by_seed needs a validation_fraction above 0"),
        ({**BY_SEED, FRACTION: 0.6}, "data: split_by_seed needs a validation_fraction above 0"),
        ({"train.watch": "none", **RISING}, "baseline.stop_after_rising = 3 needs a loss to watch, "
         "but train.watch is none; set it to null"),
        ({**NO_TEST, FRACTION: 0.0}, "evaluate.test: false needs data.validation_fraction above 0"),
        ({**NO_TEST, "train.watch": "test"}, "evaluate.test: false must not read the test images, "
         "but train.watch: test scores them after each epoch"),
        ({**NO_TEST, **BY_SEED, "train.seeds": [0, 1]}, "evaluate.test: false compares on the "
         "validation images, but data.split_by_seed: true gives each seed different ones"),
        ({"train.networks": ["resnet"]}, "train.networks: 'resnet' is not a network; known: "
         "baseline, model (the resnet), sprint"),
        ({"train.networks": ["shared"]}, "train.networks: 'shared' is not a network"),
        ({"train.networks": []}, "train.networks = []: list should have at least 1 item"),
        ({"train.networks": ["model", "model"]}, "train.networks: no value may be listed twice"),
        ({"train.networks": "model"}, "train.networks = 'model': input should be a valid list"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_in_one_line(changes, shown):
    message = error_after(**changes)
    assert message.startswith(f"params.yaml:\n  {shown}")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("model.drop_blok_size", "model.drop_block_size"),
        ("recipe.epohcs", "recipe.epochs"),
        ("models.width", "model"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one_and_the_way_it_came_in(key, meant):
    first, unknown, way_out = error_after(**{key: 5}).splitlines()
    wrong = key if meant.count(".") else key.partition(".")[0]
    assert (first, unknown) == (
        "params.yaml:",
        f"  {wrong} is not a known key; did you mean {meant}?",
    )
    assert "remove unknown keys in the file" in way_out


def test_small_images_are_at_most_as_large_as_the_images():
    small = {"recipe.image_sizes": [[0.2, 20], [0.5, 33]]}
    assert checked(**small, **{"data.image_size": 64}).data.image_size == 64
    assert checked(**{"recipe.image_sizes": [[0.5, 32]]})
    assert checked(**{"train.networks": ["baseline"], "model.image_sizes": [[0.5, 33]]})


@pytest.mark.parametrize(("key", "value"), [("conv_keep_end", 1.0), ("optimizer", "adam")])
def test_what_comes_close_to_breaking_one_is_taken(key, value):
    assert getattr(checked(**{f"model.{key}": value}).recipe("model"), key) == value


def test_a_recipe_is_the_shared_one_with_what_is_the_networks_own():
    params = checked(**{"recipe.learning_rate": 0.2, "model.learning_rate": 0.3})
    recipes = {name: params.recipe(name) for name in ("baseline", "model")}
    assert [recipe.learning_rate for recipe in recipes.values()] == [0.2, 0.3]
    assert [recipe.epochs for recipe in recipes.values()] == [8, 6]
    assert params.recipe("model", "nodrop").keep_prob(5) == 1
    assert params.by_section()["model"] == vars(recipes["model"])


def test_of_the_shared_keys_a_network_has_those_of_its_type_only(monkeypatch):
    from pipeline.core.sections import Recipe
    from pipeline.networks import Network, find_network

    plain = Network("plain", Recipe, lambda *_: None)
    monkeypatch.setattr(
        "pipeline.settings.params.find_network",
        lambda name: plain if name == "sprint" else find_network(name),
    )
    recipe = checked(**{"sprint.epochs": 3}).recipe("sprint")
    assert recipe.epochs == 3
    assert not hasattr(recipe, "dense_keep")
    assert "sprint.dense_keep is not a known key" in error_after(**{"sprint.dense_keep": 0.5})


def test_the_defaults_of_a_networks_file_hold_where_params_have_none():
    values = {**quick_values(), "sprint": {}}
    values["train"]["networks"] = ["sprint"]
    recipe = check_params(values).recipe("sprint")
    assert (recipe.width, recipe.filters, recipe.logits_scale) == (1.0, [64, 256, 768], 0.14)
    assert recipe.learning_rate == values["recipe"]["learning_rate"]
    assert check_params({**values, "sprint": None}).recipe("sprint") == recipe
    assert check_params({**values, "sprint": {"width": 0.5}}).recipe("sprint").width == 0.5


def test_a_network_that_is_trained_needs_its_section_and_another_does_not():
    values = without("baseline")
    with pytest.raises(UserError, match=r"baseline has no section; .*`baseline: \{\}`"):
        check_params(values)
    values["train"]["networks"] = ["model"]
    params = check_params(values)
    assert [training.label for training in params.trainings] == ["model-dropblock-0"]
    with pytest.raises(UserError, match=r"has no section `baseline`; .*`baseline: \{\}`"):
        params.recipe("baseline")


def test_two_networks_with_one_name_for_people_are_refused(monkeypatch):
    monkeypatch.setattr("pipeline.settings.params.display_name", lambda name: "resnet")
    assert "two networks have the same display name" in error_after()


def test_all_wrong_keys_are_named_at_once():
    values = {**without("recipe.momentum", "model.pool_size"), 1: {}, "recipes": {}}
    wrong = {"train.seeds": ["x"], "evaluate.top_k": 0, "recipe.warmup": -1,
             "recipe.wrmup": 0.1, "baseline.width": 0, "model.width": 0}  # fmt: skip
    with pytest.raises(UserError) as caught:
        check_params(with_values(values, wrong))
    for said in ("train.seeds[0] = 'x'", "evaluate.top_k = 0", "recipe.warmup = -1",
                 "recipe.wrmup is not", "baseline.width = 0", "model.width = 0", "1 is not a",
                 "recipes is not", "model.pool_size", "recipe.momentum"):  # fmt: skip
        assert str(caught.value).count(f"{said}") == 1, said


@pytest.mark.parametrize("section", ["recipe", "model", "data"])
@pytest.mark.parametrize("content", [3, [1], "text"])
def test_a_value_in_place_of_a_section_is_named(section, content):
    with pytest.raises(UserError, match=rf"\n  {section} = .*"):
        check_params({**quick_values(), section: content})


@pytest.mark.parametrize("section", ["recipe", "data", "evaluate"])
def test_a_missing_section_is_named_with_the_way_out(section):
    with pytest.raises(UserError, match=rf"  {section} is missing\n.*`python -m pipeline upgrade`"):
        check_params(without(section))


def test_a_file_is_read_and_checked(tmp_path):
    file = tmp_path / "other.yaml"
    YAML().dump(quick_values(), file)
    assert load_params(file) == checked()
    YAML().dump({**quick_values(), "evaluate": None}, file)
    with pytest.raises(UserError, match=r"other.yaml:\n  evaluate = None"):
        load_params(file)


def test_every_key_of_a_network_may_be_shared():
    known = known_keys()
    assert list(known) == [
        "data",
        "augment",
        "train",
        "evaluate",
        "report",
        "recipe",
        *network_names(),
    ]
    for network in network_names():
        assert set(known[network]) <= set(known["recipe"])
