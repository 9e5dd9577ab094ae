import pytest

from pipeline.training import schedules

# Worked out by hand: 0.0005 x 0.98^e and 1 - 0.005 e, not below 0.8, after e epochs.
RESNET_TABLE = {
    0: (5.0e-4, 1.0),
    1: (4.9e-4, 0.995),
    2: (4.802e-4, 0.99),
    10: (4.08536e-4, 0.95),
    25: (3.01732e-4, 0.875),
    39: (2.27398e-4, 0.805),
    40: (2.22850e-4, 0.8),
    41: (2.18393e-4, 0.8),
    74: (1.12124e-4, 0.8),
}
# 0.0005 x 0.99^e, and 0.85 throughout.
BASELINE_TABLE = {0: 5.0e-4, 1: 4.95e-4, 10: 4.52191e-4, 50: 3.02503e-4, 99: 1.84865e-4}


@pytest.mark.parametrize("epoch", RESNET_TABLE)
def test_part_7_follows_the_table(published, epoch):
    rate, keep = RESNET_TABLE[epoch]
    assert schedules.learning_rate(published.model, epoch) == pytest.approx(rate, rel=1e-5)
    assert schedules.keep_prob(published.model, epoch) == pytest.approx(keep)


@pytest.mark.parametrize("epoch", BASELINE_TABLE)
def test_part_6_follows_the_table(published, epoch):
    expected = pytest.approx(BASELINE_TABLE[epoch], rel=1e-5)
    assert schedules.learning_rate(published.baseline, epoch) == expected
    assert schedules.keep_prob(published.baseline, epoch) == 0.85


@pytest.mark.parametrize(
    ("losses", "stops"),
    [
        ([1, 2, 3, 4], True),
        ([5, 1, 2, 3, 4], True),
        ([2, 3, 4], False),  # three losses rise only twice
        ([1, 2, 3, 3], False),  # equal is not rising
        ([1, 2, 3, 4, 3], False),
        ([1, 2, 1, 2, 3], False),
        ([], False),
    ],
)
def test_training_stops_after_strictly_rising_losses_in_a_row(losses, stops):
    assert schedules.should_stop(losses, 3) is stops


def test_unitdrop_drops_the_same_way_in_every_network_and_all_epochs(params):
    recipes = [schedules.of_variant(r, "unitdrop") for r in (params.baseline, params.model)]
    for epoch in (0, 5, 50):
        assert {schedules.keep_prob(recipe, epoch) for recipe in recipes} == {0.85}
    assert {recipe.drop_block_size for recipe in recipes} == {1}
    kept = {"drop_block_size", "conv_keep_start", "conv_keep_step", "conv_keep_end"}
    assert recipes[1].model_dump(exclude=kept) == params.model.model_dump(exclude=kept)


def test_without_dropblock_nothing_is_dropped(params):
    assert params.model.drops
    assert not schedules.of_variant(params.model, "nodrop").drops
