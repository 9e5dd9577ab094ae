"""Train `sprint` with its recipe in PyTorch, to see whether the pipeline loses accuracy.

Network, augmentation, Muon, loss and training loop are written a second time, in PyTorch's terms.
Params, prepared images, the learning rate and image size of each step and the stem's whitening are
those here. The accuracies are listed with those of a published report.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional

from benchmarks.measure import make_parser, save
from pipeline.core.cores import usable_cores
from pipeline.core.files import COMPARISON, PREPARED, read_json
from pipeline.core.recipe import scaled
from pipeline.core.records import Images, Prepared
from pipeline.core.sections import AugmentParams
from pipeline.networks.shared.models import ADAPTED_ON
from pipeline.networks.sprint import PATCH, SprintParams, whitening
from pipeline.settings.params import PARAMS_FILE, load_params
from pipeline.training import schedules
from pipeline.training.machine import resolve_precision
from pipeline.training.optimizers import NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS


def convolution(before: int, filters: int, kernel: int) -> nn.Conv2d:
    """Make a convolution whose first filters pass the channels on."""
    layer = nn.Conv2d(before, filters, kernel, padding="same", bias=False)
    nn.init.xavier_uniform_(layer.weight)
    count, middle = min(before, filters), (kernel - 1) // 2
    with torch.no_grad():
        layer.weight[:count] = 0
        layer.weight[range(count), range(count), middle, middle] = 1
    return layer


class Normed(nn.Sequential):
    """Batch norm and SiLU."""

    def __init__(self, channels: int, recipe: SprintParams) -> None:
        share = 1 - recipe.batch_norm_momentum  # of a new batch; Keras says that of the old average
        norm = nn.BatchNorm2d(channels, eps=recipe.batch_norm_epsilon, momentum=share)
        super().__init__(norm, nn.SiLU())


class Stage(nn.Module):
    """Convolution and max-pool, to whose output a branch of two convolutions is added."""

    def __init__(self, before: int, number: int, recipe: SprintParams) -> None:
        super().__init__()
        filters, inner = (
            scaled(values[number], recipe.width)
            for values in (recipe.filters, recipe.branch_filters)
        )
        first, second = recipe.branch_kernel_sizes[number]
        self.start = nn.Sequential(
            convolution(before, filters, recipe.kernel_sizes[number]),
            nn.MaxPool2d(2),
            Normed(filters, recipe),
        )
        self.branch = nn.Sequential(
            convolution(filters, inner, first),
            Normed(inner, recipe),
            convolution(inner, filters, second),
            Normed(filters, recipe),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Halve (n, c, h, w) maps."""
        x = self.start(x)
        return x + self.branch(x)


class Sprint(nn.Module):
    """The network, for (n, 3, side, side) pixels from -1 to 1.

    Args:
        stem: kernel and bias of the first convolution, as in Keras.
    """

    def __init__(self, recipe: SprintParams, classes: int, stem: tuple[Any, Any]) -> None:
        super().__init__()
        kernel, bias = (torch.from_numpy(np.asarray(values, np.float32)) for values in stem)
        self.stem = nn.Conv2d(3, len(bias), PATCH).requires_grad_(False)
        self.stem.load_state_dict({"weight": kernel.permute(3, 2, 0, 1), "bias": bias})
        widths = [len(bias), *(scaled(filters, recipe.width) for filters in recipe.filters)]
        self.stages = nn.Sequential(*(Stage(n, i, recipe) for i, n in enumerate(widths[:-1])))
        self.logits = nn.Linear(widths[-1], classes, bias=False)
        nn.init.xavier_uniform_(self.logits.weight)
        self.scale = recipe.logits_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the (n, classes) logits."""
        x = self.stages(functional.silu(self.stem(x)))
        return self.scale * self.logits(x.amax((2, 3)) + x.mean((2, 3)))


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose update of a convolution is nearly orthogonal, after rescaling."""

    def __init__(
        self, kernels: list[nn.Parameter], recipe: SprintParams, dtype: torch.dtype
    ) -> None:
        super().__init__(kernels, {"lr": recipe.muon_learning_rate})
        self.dtype = dtype  # of the Newton-Schulz steps
        self.momentum, self.decay = recipe.muon_momentum, recipe.muon_weight_decay
        self.rescale = recipe.muon_rescale

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update all kernels."""
        for group in self.param_groups:
            for kernel in group["params"]:
                if self.rescale:
                    kernel.mul_(len(kernel) ** 0.5 / kernel.norm())
                velocity = self.state[kernel].setdefault("velocity", torch.zeros_like(kernel))
                velocity.mul_(self.momentum).add_(kernel.grad)
                update = (kernel.grad + self.momentum * velocity).flatten(1)
                update = orthogonal(update, self.dtype)
                kernel.sub_(group["lr"] * (update.view_as(kernel) + self.decay * kernel))


def orthogonal(matrix: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a nearly orthogonal matrix close to this one, by Newton-Schulz steps in a type."""
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    x = (wide / (wide.norm() + 1e-7)).to(dtype)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide is matrix else x.T).float()


def pixels(images: Images) -> torch.Tensor:
    """Return all images as (n, 3, side, side) from -1 to 1."""
    channels_first = torch.from_numpy(images["image"]).permute(0, 3, 1, 2)
    return channels_first.float() / 127.5 - 1


def epoch_batches(
    images: torch.Tensor, batch: int, size: int, flipped: torch.Tensor, augment: AugmentParams
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the shifted, flipped and shrunk batches of an epoch, and their images' numbers."""
    most, side = augment.translate_pixels, images.shape[-1]
    order = torch.randperm(len(images))
    for chosen in order[: len(order) // batch * batch].split(batch):
        padded = functional.pad(images[chosen], [most] * 4, mode="reflect")
        tops, lefts = torch.randint(0, 2 * most + 1, (2, batch)).tolist()
        cut = torch.stack(
            [
                image[:, top : top + side, left : left + side]
                for image, top, left in zip(padded, tops, lefts, strict=True)
            ]
        )
        cut = torch.where(flipped[chosen, None, None, None], cut.flip(3), cut)
        if size != side:
            cut = functional.interpolate(cut, size=(size, size), mode="bilinear", antialias=True)
        yield cut.contiguous(memory_format=torch.channels_last), chosen


def train(
    network: Sprint,
    images: torch.Tensor,
    labels: torch.Tensor,
    recipe: SprintParams,
    augment: AugmentParams,
    bfloat16: bool,
) -> None:
    """Train a network; in 16 bits, with weights and loss in 32, if `bfloat16`."""
    trained = [weights for weights in network.parameters() if weights.requires_grad]
    kernels = [weights for weights in trained if weights.ndim == 4]
    head = network.logits.weight
    rest = [weights for weights in trained if weights.ndim == 1]
    # Here the decay passes through the momentum, which multiplies it.
    decay = recipe.weight_decay * (1 - recipe.momentum)
    sgd = torch.optim.SGD(
        [{"params": [head], "weight_decay": decay}, {"params": rest}],
        lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True,
    )  # fmt: skip
    muon = Muon(kernels, recipe, torch.bfloat16 if bfloat16 else torch.float32)
    factor = recipe.muon_learning_rate / recipe.learning_rate
    rates = iter(schedules.all_rates(recipe, len(images) // recipe.batch_size))
    flipped = torch.rand(len(images)) < 0.5
    network.train()
    for epoch in range(recipe.epochs):
        size, losses = schedules.image_size(recipe, epoch, images.shape[-1]), []
        for batch, chosen in epoch_batches(
            images, recipe.batch_size, size, flipped ^ (epoch % 2 == 1), augment
        ):
            rate = next(rates)
            for group in sgd.param_groups:
                group["lr"] = rate
            muon.param_groups[0]["lr"] = factor * rate
            network.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = network(batch)
            loss = functional.cross_entropy(
                logits.float(), labels[chosen], label_smoothing=recipe.label_smoothing
            )
            loss.backward()
            sgd.step()
            muon.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {recipe.epochs}: loss {np.mean(losses):.3f}", flush=True)


def published_trainings(summary: dict[str, Any]) -> pd.DataFrame:
    """Return a row for each published training of sprint.

    Args:
        summary: the report's comparison.json.
    """
    cost, right = summary["cost"]["sprint"], summary["accuracy"]["sprint"]["right"]
    rows = [
        {
            "contender": f"sprint here, {cost['pflop']:.2f} PFLOP",
            "seed": int(seed),
            "parameters": int(cost["parameters"]),
            "pflop": cost["pflop"],
            "accuracy": count / summary["images"],
            "minutes": cost["training_seconds"] / 60,
        }
        for seed, count in right.items()
    ]
    return pd.DataFrame(rows)


@torch.no_grad()
def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images classified correctly, in one pass."""
    network.eval()
    answers = torch.cat([network(batch).argmax(1) for batch in images.split(500)])
    return (answers == labels).float().mean().item()


def plot(rows: pd.DataFrame) -> Figure:
    """Plot each training's accuracy."""
    figure, axis = plt.subplots(figsize=(7, 2.6), layout="constrained")
    sns.stripplot(rows.assign(percent=100 * rows["accuracy"]), x="percent", y="contender", ax=axis)
    axis.set(xlabel="test accuracy, %", ylabel="")
    return figure


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "report", type=Path, help="folder of a published report, like reports/sprint"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=usable_cores())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    summary = read_json(arguments.report / COMPARISON.name)
    params, prepared = load_params(arguments.report / PARAMS_FILE), Prepared(PREPARED)
    if prepared.digest != summary["digest"]:
        raise SystemExit(
            f"{PREPARED} holds other images than {arguments.report} was trained on: "
            f"`cp {arguments.report}/{PARAMS_FILE} .`, then `dvc repro prepare`"
        )
    ours, split = published_trainings(summary), summary["scored"]
    precision = resolve_precision(params.train.precision)
    recipe: Any = params.recipe("sprint")
    images, scored = (pixels(prepared[name]) for name in ("train", split))
    labels, answers = (
        torch.from_numpy(prepared[name]["label"].astype(np.int64)) for name in ("train", split)
    )
    # As in the network here, the stem is learnt from the first images; `whitening` takes fewer if
    # they are large.
    stem = whitening(images[:ADAPTED_ON].permute(0, 2, 3, 1).numpy())
    rows = []
    for seed in arguments.seeds:
        torch.manual_seed(seed)
        network = Sprint(recipe, len(prepared.class_names), stem)
        network.to(memory_format=torch.channels_last)
        start = time.perf_counter()
        train(network, images, labels, recipe, params.augment, "bfloat16" in precision)
        pflop = ours["pflop"].mean()
        rows.append(
            {
                "contender": f"sprint in PyTorch, {pflop:.2f} PFLOP",
                "seed": seed,
                "parameters": sum(w.numel() for w in network.parameters() if w.requires_grad),
                "pflop": pflop,
                "accuracy": accuracy(network, scored, answers),
                "minutes": (time.perf_counter() - start) / 60,
            }
        )
        print(rows[-1], flush=True)
    table = pd.concat([ours, pd.DataFrame(rows)], ignore_index=True)
    save(
        "torch_sprint", table, plot,
        scored=split, width=recipe.width, epochs=recipe.epochs, precision=precision,
        torch=torch.__version__,
    )  # fmt: skip


if __name__ == "__main__":
    main()
