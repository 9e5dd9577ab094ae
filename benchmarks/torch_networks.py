"""Both networks and their training step in PyTorch (channels last), for the benchmarks."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.core.cores import usable_cores
from pipeline.core.recipe import drops_blocks, scaled
from pipeline.core.sections import ConvNetParams, TrainParams
from pipeline.networks.model import ModelParams

NETWORKS = ("baseline", "model")  # those that are built here
HALF = {"mixed_float16": torch.float16, "mixed_bfloat16": torch.bfloat16}


class DropBlock(nn.Module):
    """DropBlock: draws the start of blocks per unit and grows them to squares with a max-pool."""

    def __init__(self, block: int, keep: float) -> None:
        super().__init__()
        self.block, self.keep = block, keep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop blocks in training."""
        count, channels, height, width = x.shape
        block = self.block
        if not self.training or block > min(height, width):
            return x
        rows, columns = height - block + 1, width - block + 1
        gamma = (1 - self.keep) * height * width / (block**2 * rows * columns)
        noise = torch.empty(
            (count, channels, rows, columns), memory_format=torch.channels_last, device=x.device
        ).uniform_()
        dropped = (noise < gamma).to(x.dtype)
        if block > 1:
            dropped = functional.pad(dropped, [block - 1] * 4)
            dropped = functional.max_pool2d(dropped, block, stride=1)
        mask = 1 - dropped
        return x * (mask * (mask.numel() / mask.sum()))


class SamePool(nn.Module):
    """Max-pool with TensorFlow's SAME padding, for even maps and stride 2."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool (n, c, h, w) maps."""
        missing = self.size - 2
        if missing:
            x = functional.pad(x, (0, missing, 0, missing), value=float("-inf"))
        return functional.max_pool2d(x, self.size, stride=2)


class ResidualBlock(nn.Module):
    """h1 = ReLU(conv block), h = ReLU(h1 + conv block of h1)."""

    def __init__(self, before: int, filters: int, kernel: int, norm: Callable) -> None:
        super().__init__()
        self.first = conv_block(before, filters, kernel, norm)
        self.second = conv_block(filters, filters, kernel, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block to (n, c, h, w) maps."""
        h1 = functional.relu(self.first(x))
        return functional.relu(h1 + self.second(h1))


def conv_block(before: int, filters: int, kernel: int, norm: Callable) -> nn.Sequential:
    """Batch norm, ReLU, convolution, twice."""
    layers: list[nn.Module] = []
    for channels in (before, filters):
        layers += [norm(channels), nn.ReLU(), convolution(channels, filters, kernel)]
    return nn.Sequential(*layers)


def convolution(before: int, filters: int, kernel: int) -> nn.Conv2d:
    """A convolution with SAME padding and no bias."""
    return nn.Conv2d(before, filters, kernel, padding="same", bias=False)


def build_network(params: ConvNetParams, classes: int) -> nn.Sequential:
    """Build the network of a resolved recipe."""

    def norm(channels: int, flat: bool = False) -> nn.Module:
        kind = nn.BatchNorm1d if flat else nn.BatchNorm2d
        momentum = 1 - params.batch_norm_momentum
        return kind(channels, eps=params.batch_norm_epsilon, momentum=momentum)

    layers: list[nn.Module] = []
    channels, side = 3, 32
    for filters, kernel in zip(params.filters, params.kernel_sizes, strict=True):
        wide = scaled(filters, params.width)
        drops = drops_blocks(vars(params))
        drop = [DropBlock(params.drop_block_size, params.conv_keep_start)] if drops else []
        pool = SamePool(params.pool_size)
        if isinstance(params, ModelParams):
            layers += [ResidualBlock(channels, wide, kernel, norm), *drop, pool]
        else:
            layers += [norm(channels), convolution(channels, wide, kernel), pool]
            layers += [norm(wide), nn.ReLU(), *drop]
        channels, side = wide, side // 2
    layers.append(nn.Flatten())
    units = channels * side * side
    for hidden in params.hidden_units:
        wide = scaled(hidden, params.width)
        layers += [nn.Linear(units, wide, bias=False), norm(wide, flat=True), nn.ReLU()]
        layers.append(nn.Dropout(1 - params.dense_keep))
        units = wide
    layers.append(nn.Linear(units, classes, bias=not params.logits_norm))
    if params.logits_norm:
        layers.append(norm(classes, flat=True))
    return nn.Sequential(*layers)


def make_step(
    params: ConvNetParams,
    train: TrainParams,
    images: np.ndarray,
    labels: np.ndarray,
    compiled: bool = False,
) -> Callable[[], None]:
    """Return a function that runs one training step on (n, 32, 32, 3) pixels.

    Args:
        compiled: compile the network, and run it on a GPU if there is one.
    """
    torch.set_num_threads(usable_cores())
    device = "cuda" if compiled and torch.cuda.is_available() else "cpu"
    network = build_network(params, 100).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(
        network.parameters(),
        lr=params.learning_rate,
        betas=(train.adam_beta_1, train.adam_beta_2),
        eps=train.adam_epsilon,
    )
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)
    target = torch.from_numpy(labels.astype(np.int64)).to(device)
    forward = torch.compile(network) if compiled else network
    half = HALF.get(train.precision)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, half, enabled=half is not None):
            loss = functional.cross_entropy(forward(pixels / 127.5 - 1), target)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), train.clip_norm)
        optimizer.step()
        loss.item()

    return step


def count_parameters(params: ConvNetParams) -> int:
    """Count the trainable parameters, to compare them with the Keras network's."""
    return sum(p.numel() for p in build_network(params, 100).parameters())
