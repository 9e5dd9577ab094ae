"""Convolution of small maps as matrix products.

On a map of 2x2 pixels only 16 of the 36 products of a 3x3 kernel meet a pixel; the others meet
padding, and the kernels of TensorFlow's CPU library compute them too. Here each pixel of the output
is one matrix product of the pixels that it sees, side by side, and their taps of the kernel, one
above the other. A training step of `sprint` is 1.4 to 2.6 times as fast with it
(reports/benchmarks/small_maps.md).
"""

import math
from typing import Any

import keras
from keras import ops

from pipeline.networks.shared.devices import has_gpu

Tensor = Any
# Measured: for larger maps or fewer channels, TensorFlow's convolution is at least as fast.
LARGEST = 5  # side in pixels
CHANNELS_PER_PIXEL = 64  # needed for each pixel of the side


@keras.saving.register_keras_serializable("pipeline")
class Convolution(keras.layers.Conv2D):
    """Keras' layer, which computes small maps faster on a CPU if its padding is SAME.

    Input: (batch, height, width, channels). Output: (batch, height, width, filters).
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolve, without bias and activation."""
        same = self.padding == "same" and self.groups == 1
        dense = self.strides == self.dilation_rate == (1, 1)
        if same and dense and not has_gpu() and is_small(inputs.shape[1:3], kernel):
            return convolve_small(inputs, kernel)
        return super().convolution_op(inputs, kernel)


def is_small(sides: tuple[int, int], kernel: Tensor) -> bool:
    """Whether maps are convolved faster by `convolve_small`."""
    channels = math.sqrt(kernel.shape[-2] * kernel.shape[-1])
    return max(sides) <= LARGEST and channels >= CHANNELS_PER_PIXEL * max(sides)


def convolve_small(maps: Tensor, kernel: Tensor) -> Tensor:
    """Convolve (n, h, w, c) maps with an (i, j, c, d) kernel, stride 1, SAME padding.

    Maps and kernel are taken apart once and not sliced for each output: the gradients are then sums
    of small tensors, and not of as many padded ones of full size.
    """
    (height, width, channels), (rows, columns, _, filters) = maps.shape[1:], kernel.shape
    pixels = ops.unstack(ops.reshape(maps, (-1, height * width, channels)), height * width, axis=1)
    taps = ops.unstack(ops.reshape(kernel, (-1, channels, filters)), rows * columns)
    outputs = []
    for top in _seen(height, rows):
        for left in _seen(width, columns):
            pairs = [(i * width + j, k * columns + m) for i, k in top for j, m in left]
            seen = ops.concatenate([pixels[pixel] for pixel, _ in pairs], axis=1)
            weights = ops.concatenate([taps[tap] for _, tap in pairs], axis=0)
            outputs.append(ops.matmul(seen, weights))
    return ops.reshape(ops.stack(outputs, axis=1), (-1, height, width, filters))


def _seen(size: int, taps: int) -> list[list[tuple[int, int]]]:
    """Return, for each place of a line of outputs, the (input, tap) pairs that meet there."""
    before = (taps - 1) // 2  # padding; SAME adds an odd one at the end
    return [
        [(place + tap - before, tap) for tap in range(taps) if 0 <= place + tap - before < size]
        for place in range(size)
    ]
