"""Arithmetic of a network's section that decides a training and that all rooms share."""


def scaled(count: int, width: float) -> int:
    """Return how many filters or units there are of a layer at some width, at least one.

    >>> scaled(64, width=0.25)
    16
    """
    return max(1, round(count * width))


def keep_prob(start: float, step: float, end: float, epoch: int) -> float:
    """Return DropBlock's keep probability in an epoch, counted from 0.

    It falls by a constant step down to its end.

    >>> keep_prob(start=1.0, step=0.25, end=0.4, epoch=2)
    0.5
    """
    return max(end, start - step * epoch)
