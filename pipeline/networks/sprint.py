"""A small residual network for little compute: narrow where the maps are large, wide where small.

Its parts follow the networks of CIFAR speed records (reports/recipe/published.csv): a stem that
whitens small patches of the image (Jordan, arXiv 2404.00498), identity initialisation with
`initializer: dirac`, and logits that are scaled down.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from pipeline.core.sections import Count, LayerParams, Width, rule
from pipeline.networks import Network

PATCH = 2  # side of the patches that the stem whitens, in pixels
MOST_PIXELS = 2**21  # of the images whose patches it measures
SMALLEST_VARIANCE = 5e-4  # added to the variance of each direction before dividing by its root


class SprintParams(LayerParams):
    """The network's recipe, with defaults for its shape. All lists have one entry per stage."""

    width: Width = 1.0
    filters: list[Count] = Field([64, 256, 768])
    kernel_sizes: list[Count] = Field([3, 3, 2])  # of each stage's first convolution
    branch_filters: list[Count] = Field([64, 192, 512])  # between the branch's two convolutions
    branch_kernel_sizes: list[list[Count]] = Field([[1, 1], [3, 1], [3, 3]])  # of these two
    logits_scale: Annotated[float, Field(gt=0, le=10)] = 0.14

    @model_validator(mode="after")
    def _stages_match(self) -> "SprintParams":
        pairs = self.branch_kernel_sizes
        lengths = {len(values) for values in (self.filters, self.kernel_sizes, self.branch_filters)}
        if lengths != {len(pairs)} or any(len(pair) != 2 for pair in pairs):
            raise rule(
                "filters, kernel_sizes, branch_filters and branch_kernel_sizes need the same "
                "number of entries, one per stage, and branch_kernel_sizes needs pairs"
            )
        return self


def build(recipe: SprintParams, classes: int, image_size: int) -> Any:
    """Build the stem, stages that halve the maps, and logits of the maps' maximum plus mean."""
    from keras import Model, layers

    from pipeline.networks.shared import blocks

    def normed(x: Any, name: str) -> Any:
        x = blocks.batch_norm(x, recipe, f"{name}_norm")
        return layers.Activation("silu", name=f"{name}_silu")(x)

    inputs, x = blocks.normalised_input(image_size)
    directions = PATCH * PATCH * inputs.shape[-1]
    x = layers.Conv2D(2 * directions, PATCH, trainable=False, name="stem_conv")(x)
    x = layers.Activation("silu", name="stem_silu")(x)
    shape = (recipe.filters, recipe.kernel_sizes, recipe.branch_filters, recipe.branch_kernel_sizes)
    for i, (filters, kernel, inner, (first, second)) in enumerate(zip(*shape, strict=True), 1):
        x = blocks.convolution(x, filters, kernel, recipe, f"stage{i}_conv")
        x = normed(layers.MaxPooling2D(name=f"stage{i}_pool")(x), f"stage{i}")
        branch = blocks.convolution(x, inner, first, recipe, f"stage{i}_branch1_conv")
        branch = normed(branch, f"stage{i}_branch1")
        branch = blocks.convolution(branch, filters, second, recipe, f"stage{i}_branch2_conv")
        branch = normed(branch, f"stage{i}_branch2")
        x = layers.Add(name=f"stage{i}_add")([x, branch])
    x = layers.Add(name="features")(
        [layers.GlobalMaxPooling2D(name="max")(x), layers.GlobalAveragePooling2D(name="mean")(x)]
    )
    initial = blocks.initializer(recipe)
    x = layers.Dense(classes, use_bias=False, kernel_initializer=initial, name="logits_dense")(x)
    logits = layers.Rescaling(recipe.logits_scale, dtype="float32", name="logits")(x)
    return Model(inputs, logits, name=NETWORK.display_name)


def adapt(model: Any, images: np.ndarray) -> None:
    """Set the stem's weights from (n, h, w, 3) training images 0..255."""
    images = images[: MOST_PIXELS // images[0, :, :, 0].size]
    pixels = np.asarray(model.get_layer("normalise")(images.astype(np.float32)))
    model.get_layer("stem_conv").set_weights(whitening(pixels))


def whitening(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and bias of a convolution that whitens patches.

    The first half of its outputs are uncorrelated: the filters are the eigenvectors of the patches'
    covariance (channels normalised to mean 0 and variance 1), divided by the standard deviation
    along them. The second half are their negatives, so that the activation loses neither sign.

    Args:
        pixels: (n, h, w, c).

    Returns:
        The (side, side, c, 2 * side * side * c) kernel and the bias for pixels as given.
    """
    mean, deviation = (moment((0, 1, 2), np.float64) for moment in (pixels.mean, pixels.std))
    deviation[deviation == 0] = 1  # a channel without any content
    normal = ((pixels - mean) / deviation).astype(np.float32)
    height, width, channels = normal.shape[1:]
    shifts = [(i, j) for i in range(PATCH) for j in range(PATCH)]
    patches = np.concatenate(
        [normal[:, i : height - PATCH + 1 + i, j : width - PATCH + 1 + j] for i, j in shifts], -1
    )
    variances, directions = np.linalg.eigh(np.cov(patches.reshape(-1, patches.shape[-1]).T))
    half = directions / np.sqrt(variances + SMALLEST_VARIANCE)
    filters = np.concatenate([half, -half], axis=1).reshape(PATCH, PATCH, channels, -1)
    kernel = filters / deviation[:, np.newaxis]
    return kernel, -np.einsum("ijcf,c->f", kernel, mean)


NETWORK = Network("sprint", SprintParams, build, adapt)
