"""The tutorial's part 7: a residual network with DropBlock (the resnet)."""

from typing import Any

from pipeline.core.sections import ConvNetParams
from pipeline.networks import Network


class ModelParams(ConvNetParams):
    """The resnet's recipe."""

    skip_connections: bool
    image_relu: bool


def build(params: ModelParams, classes: int, image_size: int) -> Any:
    """Build residual blocks, each followed by DropBlock and max-pool."""
    from pipeline.networks.shared import blocks

    inputs, x = blocks.normalised_input(image_size)
    for i, (filters, kernel) in enumerate(zip(params.filters, params.kernel_sizes, strict=True), 1):
        x = blocks.residual_block(
            x,
            filters,
            kernel,
            params,
            f"block{i}",
            skip=params.skip_connections,
            first_relu=i > 1 or params.image_relu,
        )
        x = blocks.drop_block(x, params, f"block{i}_dropblock")
        x = blocks.max_pool(x, params, f"block{i}_pool")
    return blocks.classifier(inputs, x, params, classes, name=NETWORK.display_name)


NETWORK = Network("resnet", ModelParams, build)
