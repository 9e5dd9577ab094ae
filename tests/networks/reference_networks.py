"""The networks in float64 NumPy; the tutorial's two follow only its description.

Nothing from pipeline/ is used here: the parity tests compare both implementations.
"""

import numpy as np
from scipy.special import expit

EPSILON = 1e-5


class Weights:
    """Hands out a network's weights in the order in which its layers use them."""

    def __init__(self, kernels, norms):
        self._kernels, self._norms = iter(kernels), iter(norms)

    def kernel(self):
        return next(self._kernels).astype(np.float64)

    def norm(self):
        """gamma, beta, moving mean, moving variance."""
        return [np.asarray(values, np.float64) for values in next(self._norms)]

    def assert_all_used(self):
        assert next(self._kernels, None) is None
        assert next(self._norms, None) is None


class Inference:
    """Batch norm by the moving statistics, no dropout of either kind."""

    def batch_norm(self, x, gamma, beta, mean, variance):
        return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta

    def drop_block(self, x):
        return x

    def dropout(self, x):
        return x


class Training(Inference):
    """Batch norm by the batch's statistics, DropBlock and dropout by given random numbers.

    Args:
        noise: uniform numbers of each DropBlock, (n, h - block + 1, w - block + 1, c), in order.
        kept: of each dropout in order, (n, units) booleans.
    """

    def __init__(self, block, conv_keep, dense_keep, noise, kept):
        self.block, self.conv_keep, self.dense_keep = block, conv_keep, dense_keep
        self.noise, self.kept = iter(noise), iter(kept)

    def batch_norm(self, x, gamma, beta, mean, variance):
        axes = tuple(range(x.ndim - 1))
        return super().batch_norm(x, gamma, beta, x.mean(axis=axes), x.var(axis=axes))

    def drop_block(self, x):
        h, w = x.shape[1:3]
        block = self.block
        if block > min(h, w):
            return x
        gamma = (1 - self.conv_keep) * h * w / block**2 / ((h - block + 1) * (w - block + 1))
        mask = np.ones_like(x)
        for n, row, column, channel in np.argwhere(next(self.noise) < gamma):
            mask[n, row : row + block, column : column + block, channel] = 0
        return x * mask * mask.size / mask.sum()

    def dropout(self, x):
        return x * next(self.kept) / self.dense_keep


def relu(x):
    return np.maximum(x, 0)


def convolve(x, kernel):
    """Stride 1, SAME: zeros around, as many on each side for odd kernels."""
    size = kernel.shape[0]
    before = (size - 1) // 2
    padded = np.pad(x, ((0, 0), (before, size - 1 - before), (before, size - 1 - before), (0, 0)))
    h, w = x.shape[1:3]
    return sum(
        padded[:, i : i + h, j : j + w] @ kernel[i, j] for i in range(size) for j in range(size)
    )


def max_pool(x, size):
    """Stride 2, SAME: what is missing is added at the end first, and never is the maximum."""
    h, w = x.shape[1:3]
    out_h, out_w = -(-h // 2), -(-w // 2)
    missing = max((out_h - 1) * 2 + size - h, 0), max((out_w - 1) * 2 + size - w, 0)
    pads = [(m // 2, m - m // 2) for m in missing]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf)
    shifted = [
        padded[:, i : i + 2 * out_h - 1 : 2, j : j + 2 * out_w - 1 : 2]
        for i in range(size)
        for j in range(size)
    ]
    return np.max(shifted, axis=0)


def classifier(x, weights, mode):
    x = x.reshape(len(x), -1)
    for _ in range(2):
        x = relu(mode.batch_norm(x @ weights.kernel(), *weights.norm()))
        x = mode.dropout(x)
    return mode.batch_norm(x @ weights.kernel(), *weights.norm())


def baseline(images, weights, mode):
    """Part 6: (n, 32, 32, 3) pixels to (n, classes) logits."""
    x = (images.astype(np.float64) - 127.5) / 127.5
    for _ in range(4):
        x = mode.batch_norm(x, *weights.norm())
        x = max_pool(convolve(x, weights.kernel()), 2)
        x = relu(mode.batch_norm(x, *weights.norm()))
        x = mode.drop_block(x)
    return classifier(x, weights, mode)


def resnet(images, weights, mode, image_relu=True):
    """Part 7; image_relu: whether the image goes through a ReLU too."""

    def conv_block(x, first=relu):
        for activation in (first, relu):
            x = convolve(activation(mode.batch_norm(x, *weights.norm())), weights.kernel())
        return x

    x = (images.astype(np.float64) - 127.5) / 127.5
    for i in range(4):
        h1 = relu(conv_block(x, relu if i or image_relu else lambda image: image))
        h2 = conv_block(h1)
        x = max_pool(mode.drop_block(relu(h1 + h2)), 3)
    return classifier(x, weights, mode)


def silu(x):
    """x times its logistic function."""
    return x * expit(x)


def sprint(images, weights, mode):
    """A stem, three stages with a branch each, the map's maximum and mean, logits."""
    x = (images.astype(np.float64) - 127.5) / 127.5
    stem = weights.kernel()
    x = silu(convolve(x, stem)[:, :-1, :-1])  # without padding, the last row and column fall away
    for _ in range(3):
        x = convolve(x, weights.kernel())
        even = x.shape[1] // 2 * 2  # pooling without padding leaves an odd end out
        x = max_pool(x[:, :even, :even], 2)
        x = silu(mode.batch_norm(x, *weights.norm()))
        branch = silu(mode.batch_norm(convolve(x, weights.kernel()), *weights.norm()))
        x = x + silu(mode.batch_norm(convolve(branch, weights.kernel()), *weights.norm()))
    return (x.max(axis=(1, 2)) + x.mean(axis=(1, 2))) @ weights.kernel()
