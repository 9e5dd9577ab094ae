"""The width at which a plain network costs as many FLOPs as another, counted from its section."""

from pipeline.core.arithmetic import scaled
from pipeline.core.declarations import WIDEST, ConvNetParams, Recipe
from pipeline.core.records import IMAGE_SHAPE

WIDTH_STEP = 0.005


def plain_flops(params: ConvNetParams, width: float, classes: int) -> int:
    """Count the operations of one image's forward pass through networks/baseline.py.

    One convolution a block, then max-pooling; a multiply-add as two operations, as count_flops of
    the built network counts them (which takes Keras).
    """
    side, channels = IMAGE_SHAPE[0], IMAGE_SHAPE[2]
    flops = 0
    for filters, kernel in zip(params.filters, params.kernel_sizes, strict=True):
        wide = scaled(filters, width)
        flops += 2 * kernel**2 * channels * wide * side**2
        side, channels = -(-side // params.pool_stride), wide
    units = channels * side**2
    for hidden in [*(scaled(h, width) for h in params.hidden_units), classes]:
        flops += 2 * units * hidden
        units = hidden
    return flops


def matching_width(params: Recipe, own: float, flops: float, classes: int) -> float | None:
    """Return the width, in steps of 0.005, at which a plain network costs `flops` an image.

    Args:
        own: what it costs at its present width, as counted when it was trained.

    Returns:
        None for a network whose own cost is not that of a plain one, or where no width fits.
    """
    if not isinstance(params, ConvNetParams) or plain_flops(params, params.width, classes) != own:
        return None
    widths = [round(WIDTH_STEP * i, 3) for i in range(1, round(WIDEST / WIDTH_STEP) + 1)]
    best = min(widths, key=lambda width: abs(plain_flops(params, width, classes) - flops))
    close = abs(plain_flops(params, best, classes) / flops - 1) < 0.1
    return best if close else None
