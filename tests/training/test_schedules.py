import pytest

from pipeline.training import schedules

# Computed by hand: after e epochs 0.0005 x 0.98^e, and 1 - 0.005 e but not below 0.8.
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
    (rate, keep), recipe = RESNET_TABLE[epoch], published.recipe("model")
    assert schedules.learning_rate(recipe, epoch) == pytest.approx(rate, rel=1e-5)
    assert recipe.keep_prob(epoch) == pytest.approx(keep)


@pytest.mark.parametrize("epoch", BASELINE_TABLE)
def test_part_6_follows_the_table(published, epoch):
    recipe = published.recipe("baseline")
    rate = schedules.learning_rate(recipe, epoch)
    assert rate == pytest.approx(BASELINE_TABLE[epoch], rel=1e-5)
    assert recipe.keep_prob(epoch) == 0.85


# 4 epochs of 5 steps, 20 steps: 20 % rising, the last half falling. Computed by hand.
LINEAR = {0: 0.04, 1: 0.28, 2: 0.52, 4: 1.0, 9: 1.0, 10: 1.0, 15: 0.5, 19: 0.1}


def test_the_learning_rate_of_each_step_follows_the_table(published):
    update = {
        "schedule": "linear", "epochs": 4, "warmup": 0.2, "cooldown": 0.5, "learning_rate": 2.0
    }  # fmt: skip
    recipe = published.recipe("model").model_copy(update=update)
    for step, share in LINEAR.items():
        rate = schedules.learning_rate(recipe, step // 5, step % 5, 5)
        assert rate == pytest.approx(2 * share, rel=1e-5), step


@pytest.mark.parametrize(
    ("sizes", "epochs", "expected"),
    [
        ([], 2, [32, 32]),
        ([[0.5, 24]], 5, [24, 24, 32, 32, 32]),
        ([[0.6, 20]], 10, [20] * 6 + [32] * 4),
        ([[0.99, 24]], 3, [24, 24, 32]),
        ([[0.15, 20], [0.5, 24]], 8, [20, 24, 24, 24, 32, 32, 32, 32]),
        ([[0.5, 20], [0.6, 24]], 2, [20, 32]),
    ],
)
def test_images_grow_and_are_full_at_the_end(published, sizes, epochs, expected):
    update = {"image_sizes": sizes, "epochs": epochs}
    recipe = published.recipe("model").model_copy(update=update)
    assert [schedules.image_size(recipe, epoch, 32) for epoch in range(epochs)] == expected
