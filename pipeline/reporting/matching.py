"""How wide a plain network has to be to cost so much: its FLOPs, counted from its section."""

from pipeline.core.declarations import ConvNetParams, Recipe
from pipeline.core.records import IMAGE_SHAPE

WIDTH_STEP = 0.005
WIDEST = 16.0  # what params.yaml admits


def plain_flops(params: ConvNetParams, classes: int) -> int:
    """Count the operations of one image's forward pass through networks/baseline.py.

    One convolution a block, then max-pooling; a multiply-add as two operations, as count_flops of
    the built network counts them (which takes Keras).
    """
    side, channels = IMAGE_SHAPE[0], IMAGE_SHAPE[2]
    flops = 0
    for filters, kernel in zip(params.filters, params.kernel_sizes, strict=True):
        wide = params.scaled(filters)
        flops += 2 * kernel**2 * channels * wide * side**2
        side, channels = -(-side // params.pool_stride), wide
    units = channels * side**2
    for hidden in [*(params.scaled(h) for h in params.hidden_units), classes]:
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
    if not isinstance(params, ConvNetParams) or plain_flops(params, classes) != own:
        return None
    widths = [round(WIDTH_STEP * i, 3) for i in range(1, round(WIDEST / WIDTH_STEP) + 1)]

    def misses_by(width: float) -> float:
        return abs(plain_flops(params.model_copy(update={"width": width}), classes) / flops - 1)

    best = min(widths, key=misses_by)
    return best if misses_by(best) < 0.1 else None
