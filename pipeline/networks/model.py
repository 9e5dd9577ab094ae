"""The tutorial's part 7: a residual network with DropBlock (the resnet)."""

from typing import Any

from pipeline.core.sections import ConvNetParams
from pipeline.networks import Network


class ModelParams(ConvNetParams):
    """The resnet's recipe."""

    skip_connections: bool
    image_relu: bool


def build(recipe: ModelParams, classes: int, image_size: int) -> Any:
    """Build residual blocks, each followed by DropBlock and max-pool."""
    from pipeline.networks.shared import blocks

    inputs, x = blocks.normalised_input(image_size)
    for i, (filters, kernel) in enumerate(zip(recipe.filters, recipe.kernel_sizes, strict=True), 1):
        x = blocks.residual_block(
            x,
            filters,
            kernel,
            recipe,
            f"block{i}",
            skip=recipe.skip_connections,
            first_relu=i > 1 or recipe.image_relu,
        )
        x = blocks.drop_block(x, recipe, f"block{i}_dropblock")
        x = blocks.max_pool(x, recipe, f"block{i}_pool")
    return blocks.classifier(inputs, x, recipe, classes, name=NETWORK.display_name)


NETWORK = Network("resnet", ModelParams, build)
