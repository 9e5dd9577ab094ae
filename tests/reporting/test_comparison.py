import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.reporting import comparison


def answers(seeds, images, accuracy, seed=0):
    """Random (seeds, images) booleans of correct answers."""
    return np.random.default_rng(seed).random((seeds, images)) < accuracy


@pytest.mark.parametrize("count", [2, 3, 5, 6, 8])
def test_the_p_value_counts_the_sign_flips_at_least_as_extreme(count):
    differences = np.random.default_rng(count).normal(0.4, 1, count)
    flips = np.array(list(itertools.product([-1, 1], repeat=count)))
    means = (flips * differences).mean(axis=1)
    observed = differences.mean()
    share = np.mean(means >= observed - 1e-12), np.mean(means <= observed + 1e-12)
    assert comparison.sign_flip_p_value(differences) == pytest.approx(min(1, 2 * min(share)))


@pytest.mark.parametrize(("seeds", "smallest"), [(1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125)])
def test_fewer_than_six_seeds_cannot_fall_below_5_percent(seeds, smallest):
    always_better = np.linspace(0.01, 0.02, seeds)
    assert comparison.sign_flip_p_value(always_better) == smallest
    assert (smallest < 0.05) == (seeds >= comparison.SEEDS_NEEDED)


def naive_bootstrap(values, samples, rng):
    """Seeds, then images, drawn one sample at a time by their indices."""
    seeds, images = values.shape
    return np.array(
        [
            values[rng.integers(seeds, size=seeds)][:, rng.integers(images, size=images)].mean()
            for _ in range(samples)
        ]
    )


def test_the_bootstrap_has_the_distribution_of_drawing_seeds_and_images_by_index():
    values = answers(4, 50, 0.6).astype(float) - answers(4, 50, 0.4, seed=1)
    values += np.array([[-0.2], [0], [0.1], [0.3]])  # the seeds differ too
    fast = comparison.hierarchical_bootstrap(values, 20_000)
    slow = naive_bootstrap(values, 20_000, np.random.default_rng(5))
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.005)
    assert fast.std() == pytest.approx(slow.std(), rel=0.03)
    assert stats.ks_2samp(fast, slow).statistic < 0.02


def test_one_seed_gives_the_binomial_interval_of_the_images():
    hits = answers(1, 10_000, 0.7).astype(float)
    found = comparison.interval(hits, 10_000)
    error = stats.norm.ppf(0.975) * np.sqrt(hits.mean() * (1 - hits.mean()) / 10_000)
    assert found.mean == hits.mean()
    assert found.low == pytest.approx(hits.mean() - error, abs=0.0006)
    assert found.high == pytest.approx(hits.mean() + error, abs=0.0006)


def test_images_are_drawn_jointly_for_all_seeds_and_both_networks():
    """Where both networks agree on every image, the difference has no spread at all."""
    hits = np.repeat(answers(1, 500, 0.5), 6, axis=0)
    result = comparison.compare(hits, hits, list(range(6)), 1_000)
    assert (result.difference.low, result.difference.high, result.p_value) == (0, 0, 1)
    assert not result.significant


@pytest.mark.parametrize(
    ("seeds", "accuracies", "significant"),
    [
        (6, (0.5, 0.7), True),
        (6, (0.7, 0.5), True),
        (6, (0.6, 0.6), False),
        (5, (0.3, 0.9), False),  # however clear: too few seeds
        (1, (0.3, 0.9), False),
    ],
)
def test_evidence_takes_six_seeds_and_a_clear_difference(seeds, accuracies, significant):
    hits = [answers(seeds, 2_000, a, seed=i) for i, a in enumerate(accuracies)]
    result = comparison.compare(*hits, list(range(seeds)), 2_000)
    assert result.significant is significant
    assert result.difference.mean == pytest.approx(hits[1].mean() - hits[0].mean())
    assert list(result.by_seed) == list(range(seeds))


@pytest.mark.slow
def test_the_interval_covers_the_true_difference_about_as_often_as_it_says():
    """Twelve seeds of spread 0.02 around a true difference of 0.1, 400 images."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(150):
        shift = rng.normal(0.1, 0.02, (12, 1))
        difficulty = rng.random(400)
        baseline, resnet = (rng.random((12, 400)) < difficulty * 0.8 + s for s in (0, shift))
        found = comparison.compare(baseline, resnet, list(range(12)), 1_000).difference
        truth = np.clip(difficulty * 0.8 + 0.1, 0, 1).mean() - (difficulty * 0.8).mean()
        covered += found.low <= truth <= found.high
    assert covered / 150 > 0.88


def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_images():
    baseline = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 1], bool)
    resnet = np.array([1, 1, 0, 1, 1, 1, 1, 1, 0, 1], bool)
    # One against five: 2 x (C(6,0) + C(6,1)) / 2^6 = 14 / 64.
    assert comparison.mcnemar(baseline, resnet) == (1, 5, pytest.approx(14 / 64))
    assert comparison.mcnemar(baseline, baseline) == (0, 0, 1.0)


def test_classes_are_compared_with_their_own_images():
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 3])
    baseline = np.array([[1, 0, 0, 1, 1, 1, 1, 0], [1, 0, 0, 1, 1, 1, 0, 0]], bool)
    resnet = np.array([[1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1, 1, 1]], bool)
    table = comparison.compare_classes(baseline, resnet, labels, ["a", "b", "c", "d"])
    table = table.set_index("class")
    assert list(table.index) == ["b", "a", "d"]  # by difference; c has no test images
    assert table.loc["a", "reference"] == pytest.approx(100 / 3)
    assert table.loc["a", "difference"] == pytest.approx(50)
    assert table.loc["b", "p"] == 1.0
    assert table.loc["a", "p"] == 0.5  # two images better, none worse: 2 / 2^2
    assert not table["significant"].any()


def test_classes_without_any_difference_or_error_are_no_problem():
    labels = np.repeat([0, 1], 20)
    right = np.ones((3, 40), bool)
    table = comparison.compare_classes(right, right, labels, ["a", "b"])
    assert table["p"].tolist() == [1.0, 1.0]
    assert table["difference"].tolist() == [0.0, 0.0]


def test_the_false_discovery_rate_is_held_over_all_classes():
    """Of 100 classes without a true difference hardly ever one is called significant."""
    labels = np.repeat(np.arange(100), 100)
    names = [str(i) for i in range(100)]
    called = 0
    for seed in range(10):
        pair = [answers(1, 10_000, 0.6, seed=2 * seed + i) for i in range(2)]
        table = comparison.compare_classes(*pair, labels, names)
        assert (table["p"] < 0.05).sum() > 0 or seed  # without the correction some would be
        called += table["significant"].any()
    assert called <= 2
    better = answers(1, 10_000, 0.6, seed=50) | (labels == 7)
    table = comparison.compare_classes(answers(1, 10_000, 0.6), better, labels, names)
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
    one, other = (comparison.compare(*p, seeds, 1_000) for p in (pair, pair[::-1]))
    assert one.difference.mean == pytest.approx(-other.difference.mean)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.by_seed == pytest.approx({seed: -d for seed, d in other.by_seed.items()})
    only_one, only_other, p_value = comparison.mcnemar(pair[0][0], pair[1][0])
    assert comparison.mcnemar(pair[1][0], pair[0][0]) == (only_other, only_one, p_value)


@given(pairs_of_answers(), st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_seeds_changes_nothing(pair, random):
    seeds = list(range(len(pair[0])))
    shuffled = random.sample(seeds, len(seeds))
    one = comparison.compare(*pair, seeds, 1_000)
    other = comparison.compare(*(hits[shuffled] for hits in pair), shuffled, 1_000)
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
        found = comparison.compare(reference[order], other[order], order, 1_000)
        assert found.p_value == expected
