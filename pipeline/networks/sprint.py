"""A small residual network for little compute: few layers, wide only where the maps are small.

It follows the residual networks of CIFAR speed records (reports/recipe/published.csv).
"""

from typing import Any, Literal

from pydantic import Field

from pipeline.core.sections import ConvNetParams, Count, KeepProbability, Probability, Width
from pipeline.networks import Network


class SprintParams(ConvNetParams):
    """The network's recipe, with defaults for its shape."""

    width: Width = 1.0
    stem_filters: Count = 32  # of the first convolution, 3x3
    activation: Literal["relu", "gelu"] = "gelu"
    filters: list[Count] = Field([96, 192, 384])  # one per stage; each stage halves the feature map
    kernel_sizes: list[Count] = Field([3, 3, 3])
    pool_size: Count = 2
    pool_stride: Count = 2
    hidden_units: list[Count] = Field([])
    logits_norm: bool = False
    drop_block_size: Count = 3
    drop_block_oversize: Literal["skip", "clamp"] = "skip"
    conv_keep_start: KeepProbability = 1.0
    conv_keep_step: Probability = 0.0
    conv_keep_end: KeepProbability = 1.0


def build(params: SprintParams, classes: int, image_size: int) -> Any:
    """Build a stem, stages that halve the maps (one residual block each), and a global average."""
    from keras import layers

    from pipeline.networks.shared import blocks

    def activated(x: Any, name: str) -> Any:
        return layers.Activation(params.activation, name=f"{name}_{params.activation}")(x)

    def normed(x: Any, name: str) -> Any:
        return activated(blocks.batch_norm(x, params, f"{name}_norm"), name)

    inputs, x = blocks.normalised_input(image_size)
    x = normed(blocks.convolution(x, params.stem_filters, 3, params, "stem_conv"), "stem")
    for i, (filters, kernel) in enumerate(zip(params.filters, params.kernel_sizes, strict=True), 1):
        x = blocks.convolution(x, filters, kernel, params, f"stage{i}_conv")
        x = normed(blocks.max_pool(x, params, f"stage{i}_pool"), f"stage{i}")
        branch = blocks.convolution(x, filters, kernel, params, f"stage{i}_branch1_conv")
        branch = normed(branch, f"stage{i}_branch1")
        branch = blocks.convolution(branch, filters, kernel, params, f"stage{i}_branch2_conv")
        branch = blocks.batch_norm(branch, params, f"stage{i}_branch2_norm")
        x = activated(layers.Add(name=f"stage{i}_add")([x, branch]), f"stage{i}_out")
        x = blocks.drop_block(x, params, f"stage{i}_dropblock")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return blocks.classifier(inputs, x, params, classes, name=NETWORK.display_name)


NETWORK = Network("sprint", SprintParams, build)
