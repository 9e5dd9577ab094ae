"""Time the training step in 16 bits and in float32: what should `train.precision: auto` pick?

`mixed_bfloat16` is Keras' policy; `oneDNN bfloat16` leaves the network in float32 and lets oneDNN
compute its convolutions in 16 bits (TF_SET_ONEDNN_FPMATH_MODE). PyTorch's bfloat16 is its
autocast. All train with Adam. As TensorFlow reads that variable when it is loaded, each contender
has its own process; they are measured in turn.
"""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.measure import make_parser, measure_case, save

PEER = "float32"
# The precision, and the environment variables that it needs.
CONTENDERS: dict[str, tuple[str, dict[str, str]]] = {
    PEER: ("float32", {}),
    "mixed_bfloat16": ("mixed_bfloat16", {}),
    "oneDNN bfloat16": ("float32", {"TF_SET_ONEDNN_FPMATH_MODE": "BF16"}),
    "PyTorch float32": ("float32", {}),
    "PyTorch bfloat16": ("mixed_bfloat16", {}),
    "PyTorch bfloat16 compiled": ("mixed_bfloat16", {}),
}


def work(
    pipe: Connection, name: str, network: str, width: float, batch_size: int, seconds: float
) -> None:
    """Build one contender's step, then measure it each time the parent asks."""
    precision, environment = CONTENDERS[name]
    os.environ |= environment
    from benchmarks.steps import images_per_second, keras_step, make_batch, timed_recipe
    from benchmarks.torch_networks import make_step
    from benchmarks.train_step import AS_THE_PEERS
    from pipeline.settings.params import load_params
    from pipeline.training.compiling import new_model
    from pipeline.training.machine import configure_backend

    params, batch = load_params(), make_batch(batch_size)
    train = params.train.model_copy(update={"precision": precision})
    recipe = timed_recipe(params, network, width, batch_size).model_copy(update=AS_THE_PEERS)
    if name.startswith("PyTorch"):
        step = make_step(recipe, train, *batch, compiled=name.endswith("compiled"))
    else:
        configure_backend(train, 0)
        step = keras_step(new_model(network, recipe, train, 100, 32), batch)
    measure = images_per_second(step, batch_size, seconds)
    pipe.send(None)
    while pipe.recv():
        pipe.send(measure())


def start(name: str, *options: object) -> tuple[Connection, Callable[[], float]]:
    """Start a contender's process; return its pipe and a function that measures it once."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=work, args=(theirs, name, *options), daemon=True).start()
    theirs.close()  # so that the wait ends if the process fails
    ours.recv()

    def measure() -> float:
        ours.send(True)
        return ours.recv()

    return ours, measure


def plot(rows: pd.DataFrame) -> Figure:
    """Plot each contender's images/s against float32's, one panel per processor."""
    rows = rows.assign(case=rows["network"] + ", width " + rows["width"].astype(str))
    grid = sns.catplot(
        rows, kind="bar", y="case", x="ratio to float32", hue="contender", col="processor",
        height=4, errorbar=None,
    )  # fmt: skip
    grid.set(xlabel="images/s, ratio to float32", ylabel="").set_titles("{col_name}", size=9)
    grid.refline(x=1)
    plt.close(grid.figure)
    return grid.figure


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    parser.add_argument("--networks", nargs="+", default=["baseline", "model"])
    parser.add_argument("--widths", type=float, nargs="+", default=[0.125, 0.25])
    names = [name for name in CONTENDERS if name != PEER]
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of a measurement")
    arguments = parser.parse_args()
    tables = []
    for network in arguments.networks:
        for width in arguments.widths:
            options = (network, width, arguments.batch_size, arguments.seconds)
            started = {name: start(name, *options) for name in (PEER, *arguments.contenders)}
            measures = {name: measure for name, (_, measure) in started.items()}
            case = {"network": network, "width": width}
            tables.append(measure_case(measures, arguments.rounds, PEER, **case))
            for pipe, _ in started.values():
                pipe.send(False)
    save("precision", pd.concat(tables, ignore_index=True), plot, batch_size=arguments.batch_size)


if __name__ == "__main__":
    main()
