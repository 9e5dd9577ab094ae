import pytest

from pipeline.core.recipe import CHANGES, DROP_KEYS, VARIANTS, keep_prob, resolve, scaled

DROPS = {
    "drop_block_size": 5,
    "drop_block_oversize": "clamp",
    "conv_keep_start": 1.0,
    "conv_keep_step": 0.1,
    "conv_keep_end": 0.75,
}
VALUES = {
    "recipe": {"epochs": 8, "momentum": 0.9},
    "model": {"epochs": 6, "width": 0.5, **DROPS},
    "plain": {"momentum": 0.8},
    "empty": None,
}


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("model", {"epochs": 6, "momentum": 0.9, "width": 0.5, **DROPS}),
        ("plain", {"epochs": 8, "momentum": 0.8}),
        ("empty", {"epochs": 8, "momentum": 0.9}),
        ("absent", {"epochs": 8, "momentum": 0.9}),
    ],
)
def test_a_networks_own_section_overrides_the_shared_one(network, expected):
    assert resolve(VALUES, network) == expected


def test_values_without_a_shared_section_are_the_networks_own():
    assert resolve({"model": {"epochs": 6}}, "model") == {"epochs": 6}
    assert resolve({"recipe": None, "model": {"epochs": 6}}, "model") == {"epochs": 6}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_changes_how_a_network_drops_and_nothing_else(variant):
    plain, changed = resolve(VALUES, "model"), resolve(VALUES, "model", variant)
    differing = {key for key in plain if plain[key] != changed[key]}
    assert plain.keys() == changed.keys()
    assert differing <= set(CHANGES[variant]) <= set(DROP_KEYS)
    assert resolve(VALUES, "plain", variant) == resolve(VALUES, "plain")  # it has no DropBlock


def test_unitdrop_drops_the_same_way_in_every_network_and_all_epochs():
    other = {**VALUES, "model": {**DROPS, "drop_block_size": 1, "conv_keep_start": 0.95}}
    recipes = [resolve(values, "model", "unitdrop") for values in (VALUES, other)]
    assert {recipe["drop_block_size"] for recipe in recipes} == {1}
    assert {keep_prob(recipe, epoch) for recipe in recipes for epoch in (0, 5, 50)} == {0.85}


def test_nodrop_keeps_everything():
    assert keep_prob(resolve(VALUES, "model"), 1) < 1
    assert keep_prob(resolve(VALUES, "model", "nodrop"), 50) == 1


@pytest.mark.parametrize(("epoch", "keep"), [(0, 1.0), (1, 0.9), (2, 0.8), (3, 0.75), (9, 0.75)])
def test_the_keep_probability_falls_by_a_constant_step_to_its_end(epoch, keep):
    assert keep_prob(DROPS, epoch) == pytest.approx(keep)
    assert keep_prob({"epochs": 8}, epoch) == 1


@pytest.mark.parametrize(
    ("count", "width", "expected"), [(64, 1.0, 64), (64, 0.125, 8), (10, 0.25, 2), (3, 0.01, 1)]
)
def test_a_layer_has_at_least_one_filter(count, width, expected):
    assert scaled(count, width) == expected
