import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.reporting import comparison
from pipeline.reporting.intervals import crossed_interval, interval
from pipeline.reporting.p_values import mcnemar
from tests.recomputed import two_way_parts


def answers(seeds, images, accuracy, seed=0):
    """Random (seeds, images) booleans of correct answers."""
    return np.random.default_rng(seed).random((seeds, images)) < accuracy


@pytest.mark.parametrize("seeds", [2, 3, 6, 10])
def test_the_interval_over_seeds_is_that_of_the_paired_t_test(seeds):
    reference, other = answers(seeds, 400, 0.4), answers(seeds, 400, 0.5, seed=1)
    found = comparison.compare(reference, other, list(range(seeds))).difference
    paired = stats.ttest_rel(other.mean(axis=1), reference.mean(axis=1)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((paired.low, paired.high))
    assert found.mean == pytest.approx(other.mean() - reference.mean())


def test_one_seeds_interval_is_over_its_images_and_none_is_given_for_other_seeds():
    reference, other = answers(1, 10_000, 0.6), answers(1, 10_000, 0.7, seed=1)
    found = comparison.compare(reference, other, [0])
    paired = stats.ttest_rel(other[0].astype(float), reference[0].astype(float))
    bounds = paired.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((bounds.low, bounds.high))
    assert found.new_images is None
    assert found.p_value == 1


def test_where_all_images_are_alike_the_seeds_interval_is_that_for_other_images_too():
    by_seed = np.array([[0.01], [0.03], [0.02]]).repeat(50, axis=1)
    found, over_seeds = crossed_interval(by_seed), interval(by_seed)
    assert (found.low, found.high) == pytest.approx((over_seeds.low, over_seeds.high))


def test_it_is_named_where_the_images_are_the_larger_part():
    images = answers(1, 500, 0.5)
    other = np.repeat(images, 4, axis=0)  # every seed has the same images right
    other[0, :3] ^= True
    found = comparison.compare(np.repeat(~images, 4, axis=0), other, list(range(4)))
    assert found.images_dominate
    differences = other.astype(float) - ~images
    assert found.image_error**2 == pytest.approx(two_way_parts(differences)[1], rel=1e-4)
    assert found.new_images.high > found.difference.high


def test_where_both_networks_agree_on_every_image_there_is_no_spread_at_all():
    hits = np.repeat(answers(1, 500, 0.5), 6, axis=0)
    result = comparison.compare(hits, hits, list(range(6)))
    assert (result.difference.low, result.difference.high, result.p_value) == (0, 0, 1)
    assert not result.significant


@pytest.mark.parametrize("images", range(6))
def test_seeds_with_the_same_difference_have_no_spread(images):
    reference, other = np.zeros((6, 1_000), bool), np.zeros((6, 1_000), bool)
    other[:, :images] = True
    result = comparison.compare(reference, other, list(range(6)))
    assert result.spread == 0
    assert result.difference.low == result.difference.high == images / 1_000


def test_differences_that_add_up_to_zero_have_the_mean_zero():
    reference, other = np.zeros((3, 360), bool), np.zeros((3, 360), bool)
    other[0, :36] = other[1, :72] = reference[2, :108] = True
    assert comparison.compare(reference, other, [0, 1, 2]).difference.mean == 0


@pytest.mark.parametrize(
    ("seeds", "accuracies", "significant"),
    [
        (6, (0.5, 0.7), True),
        (6, (0.7, 0.5), True),
        (6, (0.6, 0.6), False),
        (5, (0.3, 0.9), False),  # too few seeds, however clear the difference
        (1, (0.3, 0.9), False),
    ],
)
def test_evidence_takes_six_seeds_and_a_clear_difference(seeds, accuracies, significant):
    hits = [answers(seeds, 2_000, a, seed=i) for i, a in enumerate(accuracies)]
    result = comparison.compare(*hits, list(range(seeds)))
    assert result.significant is significant
    assert result.difference.mean == pytest.approx(hits[1].mean() - hits[0].mean())
    assert list(result.by_seed) == list(range(seeds))


def test_classes_are_compared_with_their_own_images():
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 3])
    baseline = np.array([[1, 0, 0, 1, 1, 1, 1, 0], [1, 0, 0, 1, 1, 1, 0, 0]], bool)
    resnet = np.array([[1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1, 1, 1]], bool)
    table = comparison.compare_classes(baseline, resnet, labels, ["a", "b", "c", "d"])
    table = table.set_index("class")
    assert list(table.index) == ["b", "a", "d"]  # by difference; c has no test images
    assert table.loc["a", "difference"] == pytest.approx(50)
    assert table.loc["b", "p"] == 1.0
    assert table.loc["a", "p"] == 0.5  # two images better, none worse: 2 / 2^2
    assert not table["significant"].any()


def test_a_class_is_significant_only_if_images_and_mean_agree():
    other = np.zeros((6, 20), bool)
    reference = np.zeros((6, 20), bool)
    other[0, :17] = True  # better in one seed
    reference[:, 17:] = True  # worse in all six
    for wrong in (0, 1):
        (found,) = comparison.compare_classes(
            reference, other, np.zeros(20, int), ["a"]
        ).itertuples()
        assert (found.better, found.worse, found.p < 0.05) == (17, 3, True)
        assert found.significant == bool(wrong)
        assert (found.difference > 0) == bool(wrong)
        reference[3:, 17:] = False


def test_classes_without_any_difference_or_error_are_no_problem():
    labels = np.repeat([0, 1], 20)
    right = np.ones((3, 40), bool)
    table = comparison.compare_classes(right, right, labels, ["a", "b"])
    assert table["p"].tolist() == [1.0, 1.0]
    assert table["difference"].tolist() == [0.0, 0.0]


def test_the_false_discovery_rate_is_held_over_all_classes():
    labels = np.repeat(np.arange(100), 100)
    better = answers(1, 10_000, 0.6, seed=50) | (labels == 7)
    names = [str(i) for i in range(100)]
    table = comparison.compare_classes(answers(1, 10_000, 0.6), better, labels, names)
    assert (table["p"] < 0.05).sum() > 1  # without the correction others would be called
    assert table.loc[table["significant"], "class"].tolist() == ["7"]


@st.composite
def pairs_of_answers(draw):
    """Two networks' correct answers, (seeds, images) booleans each."""
    shape = draw(st.integers(1, 7)), draw(st.integers(5, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    shares = draw(st.floats(0, 1)), draw(st.floats(0, 1))
    return [rng.random(shape) < share for share in shares]


@given(pairs_of_answers())
@settings(max_examples=40, deadline=None)
def test_swapping_the_networks_flips_the_sign_and_no_more(pair):
    seeds = list(range(len(pair[0])))
    one, other = (comparison.compare(*p, seeds) for p in (pair, pair[::-1]))
    assert one.difference.mean == pytest.approx(-other.difference.mean)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.by_seed == pytest.approx({seed: -d for seed, d in other.by_seed.items()})
    only_one, only_other, p_value = mcnemar(pair[0][0], pair[1][0])
    assert mcnemar(pair[1][0], pair[0][0]) == (only_other, only_one, p_value)


@given(pairs_of_answers(), st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_seeds_changes_nothing(pair, random):
    seeds = list(range(len(pair[0])))
    shuffled = random.sample(seeds, len(seeds))
    one = comparison.compare(*pair, seeds)
    other = comparison.compare(*(hits[shuffled] for hits in pair), shuffled)
    assert one.difference.mean == pytest.approx(other.difference.mean)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.by_seed == pytest.approx(other.by_seed)
    assert one.difference.low <= one.difference.mean + 1e-9
    assert one.difference.high >= one.difference.mean - 1e-9


def test_flips_that_tie_count_whatever_the_order_of_the_seeds():
    """One image of 29 each way: in fractions the sums of some flips differ in the last bit."""
    counts = np.array([1, -2, 3, 2, -4, 1])
    reference, other = np.zeros((6, 29), bool), np.zeros((6, 29), bool)
    for seed, count in enumerate(counts):
        (other if count > 0 else reference)[seed, : abs(count)] = True
    orders = [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 0, 5, 1, 4, 3]]
    flips = np.array(list(itertools.product([-1, 1], repeat=6))) @ counts
    expected = min(1, 2 * min(np.mean(flips >= counts.sum()), np.mean(flips <= counts.sum())))
    for order in orders:
        found = comparison.compare(reference[order], other[order], order)
        assert found.p_value == expected
