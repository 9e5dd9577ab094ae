"""Train a known small residual network with its own recipe in PyTorch, to compare with the resnet.

ResNet-9 (Page 2018, How to train your ResNet) at a quarter of its width, with its hyper-parameters:
SGD with Nesterov momentum 0.9, batch 512, a learning rate that rises to 0.4 in the first fifth and
falls to 0, weight decay 5e-4, crops after padding by 4 pixels, flips, cutout of 8 pixels. It gets
the same prepared images and the same training compute as the resnet of the last `dvc repro` here,
whose accuracies are listed with it.
"""

import argparse
import os
import time
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional

from benchmarks.measure import save
from pipeline.core.files import OUTPUTS, PREPARED, read_json
from pipeline.core.records import Images, Prepared

BATCH, PEAK, WARMUP = 512, 0.4, 0.2
DECAY, MOMENTUM = 5e-4, 0.9
PADDING, CUTOUT = 4, 8
LOGITS_SCALE = 0.125


class Block(nn.Sequential):
    """Convolution, batch norm, ReLU, and a max-pool if the map is to be halved."""

    def __init__(self, before: int, filters: int, pooled: bool = False) -> None:
        pool = [nn.MaxPool2d(2)] if pooled else []
        convolution = nn.Conv2d(before, filters, 3, padding=1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(filters), nn.ReLU(), *pool)


class Residual(nn.Module):
    """A block, to whose output two further blocks add a residual."""

    def __init__(self, before: int, filters: int) -> None:
        super().__init__()
        self.block = Block(before, filters, pooled=True)
        self.branch = nn.Sequential(Block(filters, filters), Block(filters, filters))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it to (n, c, h, w) maps."""
        x = self.block(x)
        return x + self.branch(x)


def resnet_9(width: float, classes: int) -> nn.Sequential:
    """Build the network for (n, 3, 32, 32) images."""
    stem, first, second, third = (round(c * width) for c in (64, 128, 256, 512))
    return nn.Sequential(
        Block(3, stem),
        Residual(stem, first),
        Block(first, second, pooled=True),
        Residual(second, third),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(third, classes, bias=False),
    )


def count_flops(network: nn.Module) -> int:
    """Count the operations of an image's forward pass as the project does: two per multiply-add."""
    counted = 0

    def count(module: nn.Module, _: tuple, output: torch.Tensor) -> None:
        nonlocal counted
        counted += 2 * module.weight.numel() * output[0, 0].numel()

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    network.eval()
    network(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return counted


def batches(images: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple]:
    """Yield an epoch's augmented batches."""
    padded = functional.pad(images, [PADDING] * 4, mode="reflect")
    order = torch.randperm(len(images))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        chosen = order[start : start + BATCH]
        batch = torch.stack([augment(padded[index]) for index in chosen])
        yield batch.contiguous(memory_format=torch.channels_last), labels[chosen]


def augment(image: torch.Tensor) -> torch.Tensor:
    """Crop, flip and cut a hole into a padded (3, 40, 40) image."""
    top, left = torch.randint(0, 2 * PADDING + 1, (2,)).tolist()
    image = image[:, top : top + 32, left : left + 32].clone()
    if torch.rand(()) < 0.5:
        image = image.flip(2)
    row, column = torch.randint(0, 32 - CUTOUT + 1, (2,)).tolist()
    image[:, row : row + CUTOUT, column : column + CUTOUT] = 0
    return image


def train(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """Train a network."""
    optimizer = torch.optim.SGD(
        network.parameters(), lr=PEAK, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY
    )
    steps = epochs * (len(images) // BATCH)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: float(np.interp(t / steps, [0, WARMUP, 1], [0, 1, 0]))
    )
    network.train()
    for epoch in range(epochs):
        losses = []
        for batch, target in batches(images, labels):
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(LOGITS_SCALE * network(batch), target)
            loss.backward()
            optimizer.step()
            rates.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.3f}", flush=True)


@torch.no_grad()
def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images classified correctly, in one pass."""
    network.eval()
    answers = torch.cat([network(batch).argmax(1) for batch in images.split(500)])
    return (answers == labels).float().mean().item()


def standardised(images: Images, mean: np.ndarray, spread: np.ndarray) -> torch.Tensor:
    """Return (n, 3, 32, 32) images, standardised per channel by the training images' statistics."""
    pixels = ((images["image"] - mean) / spread).astype(np.float32)
    return (
        torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    )


def the_resnets() -> pd.DataFrame:
    """Return seed, pflop, accuracy and minutes of the resnets trained here."""
    found = [read_json(file) for file in sorted(OUTPUTS.glob("evaluation/model-*/metrics.json"))]
    rows = [
        (
            "the resnet here",
            facts["seed"],
            facts["pflop"],
            facts["scores"]["last"]["test"]["accuracy"],
            facts["training_seconds"] / 60,
        )
        for facts in found
    ]
    return pd.DataFrame(rows, columns=["contender", "seed", "pflop", "accuracy", "minutes"])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torch_recipe", description=__doc__)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ours = the_resnets()
    prepared = Prepared(PREPARED)
    pixels = prepared["train"]["image"][::10]
    mean, spread = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    images, test = (standardised(prepared[split], mean, spread) for split in ("train", "test"))
    labels, answers = (
        torch.from_numpy(prepared[split]["label"].astype(np.int64)) for split in ("train", "test")
    )
    per_epoch = 3 * count_flops(resnet_9(arguments.width, 100)) * len(images) / 1e15
    epochs = round(ours["pflop"].mean() / per_epoch)
    rows = []
    for seed in arguments.seeds:
        torch.manual_seed(seed)
        network = resnet_9(arguments.width, 100).to(memory_format=torch.channels_last)
        start = time.perf_counter()
        train(network, images, labels, epochs)
        minutes = (time.perf_counter() - start) / 60
        rows.append(
            (
                "ResNet-9, PyTorch",
                seed,
                epochs * per_epoch,
                accuracy(network, test, answers),
                minutes,
            )
        )
        print(rows[-1], flush=True)
    table = pd.concat([ours, pd.DataFrame(rows, columns=ours.columns)], ignore_index=True)
    save("torch_recipe", table, plot, width=arguments.width, epochs=epochs, torch=torch.__version__)


def plot(rows: pd.DataFrame) -> Figure:
    """Plot each training's accuracy."""
    figure, axis = plt.subplots(figsize=(7, 2.6), layout="constrained")
    sns.stripplot(rows.assign(percent=100 * rows["accuracy"]), x="percent", y="contender", ax=axis)
    axis.set(xlabel="test accuracy, %", ylabel="")
    return figure


if __name__ == "__main__":
    main()
