import keras
import numpy as np
import pytest

from pipeline.training.losses import SmoothedCrossentropy, make_loss


def test_smoothed_cross_entropy_is_that_of_smoothed_labels(rng):
    logits = rng.normal(size=(6, 4)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 0, 1])
    smooth = 0.7 * np.eye(4)[labels] + 0.3 / 4
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    expected = -(smooth * log_p).sum(axis=1).mean()
    assert float(SmoothedCrossentropy(0.3)(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_hard_labels_is_keras_own_of_logits(rng):
    logits = rng.normal(size=(6, 4)).astype(np.float32)
    labels = np.array([0, 1, 2, 3, 0, 1])
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    loss = make_loss(0.0)
    assert type(loss) is keras.losses.SparseCategoricalCrossentropy
    assert float(loss(labels, logits)) == pytest.approx(-log_p[range(6), labels].mean(), rel=1e-5)
