"""The tutorial's part 6: a plain convolutional network with DropBlock (the baseline)."""

from typing import Any

from pipeline.core.sections import ConvNetParams
from pipeline.networks import Network


def build(recipe: ConvNetParams, classes: int, image_size: int) -> Any:
    """Build conv blocks: batch norm, convolution, max-pool, batch norm, ReLU, DropBlock."""
    from pipeline.networks.shared import blocks

    inputs, x = blocks.normalised_input(image_size)
    for i, (filters, kernel) in enumerate(zip(recipe.filters, recipe.kernel_sizes, strict=True), 1):
        x = blocks.batch_norm(x, recipe, f"block{i}_in_norm")
        x = blocks.convolution(x, filters, kernel, recipe, f"block{i}_conv")
        x = blocks.max_pool(x, recipe, f"block{i}_pool")
        x = blocks.batch_norm(x, recipe, f"block{i}_out_norm")
        x = blocks.relu(x, f"block{i}_relu")
        x = blocks.drop_block(x, recipe, f"block{i}_dropblock")
    return blocks.classifier(inputs, x, recipe, classes, name=NETWORK.display_name)


NETWORK = Network("baseline", ConvNetParams, build)
