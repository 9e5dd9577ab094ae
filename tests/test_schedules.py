import pytest

from pipeline import schedules


@pytest.fixture
def resnet(params):
    """The published recipe of part 7."""
    published = {"learning_rate": 5e-4, "learning_rate_decay": 0.98, "conv_keep_step": 0.005}
    return params.model.model_copy(update=published)


def test_the_learning_rate_falls_by_a_factor_after_each_epoch(resnet):
    expected = [5e-4, 4.9e-4, 4.802e-4, 4.70596e-4]
    assert [schedules.learning_rate(resnet, e) for e in range(4)] == pytest.approx(expected)
    assert schedules.learning_rate(resnet, 74) == pytest.approx(5e-4 * 0.2242, rel=1e-3)


def test_the_keep_probability_falls_by_a_step_down_to_its_end(resnet):
    expected = [1.0, 0.995, 0.99, 0.985]
    assert [schedules.keep_prob(resnet, e) for e in range(4)] == pytest.approx(expected)
    assert [schedules.keep_prob(resnet, e) for e in (39, 40, 41, 74)] == pytest.approx(
        [0.805, 0.8, 0.8, 0.8]
    )


def test_the_baseline_keeps_its_keep_probability(params):
    assert {schedules.keep_prob(params.baseline, e) for e in range(100)} == {0.85}


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
