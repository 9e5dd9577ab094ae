"""Batch normalisation (arXiv 1502.03167) with accurate float32 statistics on a CPU.

TensorFlow's CPU kernels sum a batch one number after another. Over the 256,000 pixels of a batch
of 250 maps of 32x32 this makes the variance wrong in the fourth digit and the resnet's logits in
the third (tests/networks/test_parity.py). Summing groups of pixels first and then the groups gives
five correct digits. It also allows the fused kernel, which takes a third of the time of Keras'
layer. It takes 16-bit maps as they are and computes in float32, but is slow unless the number of
channels is a multiple of 16.
"""

import math
from typing import Any

import keras
import tensorflow as tf

from pipeline.networks.shared.devices import has_gpu

Tensor = Any
REGISTER = 16  # channels
LANES = 1024  # channels times groups: how many sums the kernel keeps at once


@keras.saving.register_keras_serializable("pipeline")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' layer, with different arithmetic when it is trained on a CPU; has scale and offset.

    Input and output: (batch, channels) or (batch, height, width, channels). At inference, and on a
    GPU, whose kernels sum in a tree, it is Keras' layer.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        """Normalise; in training by the batch's statistics, which also update the moving ones."""
        if not training or not self.trainable or has_gpu():
            return super().call(inputs, training=training, mask=mask)
        maps = inputs if len(inputs.shape) == 4 else inputs[:, tf.newaxis, tf.newaxis, :]
        if maps.shape[-1] % REGISTER:
            maps = tf.cast(maps, tf.float32)
        mean, variance = batch_statistics(tf.stop_gradient(maps))
        outputs = normalise(maps, self.gamma, self.beta, mean, variance, self.epsilon)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return tf.cast(tf.reshape(outputs, tf.shape(inputs)), self.compute_dtype)


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the float32 mean and (biased) variance of each channel, (c,), of (n, h, w, c) maps.

    Uses the fused kernel with each group of pixels as a separate channel. The total variance is
    the mean of the groups' variances plus the variance of the groups' means.
    """
    pixels, channels = x.shape[1] * x.shape[2], x.shape[3]
    groups = math.gcd(pixels, 2 ** max(0, int(math.log2(LANES / channels))))
    grouped = tf.reshape(x, (-1, pixels // groups, 1, groups * channels))
    found = tf.raw_ops.FusedBatchNormV3(
        x=grouped,
        scale=tf.ones(groups * channels),
        offset=tf.zeros(groups * channels),
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        is_training=True,
    )
    # What it keeps for the gradient; the variance that it returns is the unbiased one.
    kept = (found.reserve_space_1, found.reserve_space_2)
    means, variances = (tf.reshape(each, (groups, channels)) for each in kept)
    mean = tf.reduce_mean(means, axis=0)
    return mean, tf.reduce_mean(variances + tf.math.squared_difference(means, mean), axis=0)


def normalise(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, epsilon: float
) -> Tensor:
    """Return gamma * (x - mean) / sqrt(variance + epsilon) + beta for (n, h, w, c) maps.

    `mean` and `variance` must be the batch's own: the gradient passes through them to x.
    """

    @tf.custom_gradient
    def apply(x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Any]:
        y, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=mean,
            variance=variance,
            epsilon=epsilon,
            is_training=False,
        )

        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream,
                x=x,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.zeros(0),
                epsilon=epsilon,
                is_training=True,
            )[:3]

        return y, gradient

    return apply(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))
