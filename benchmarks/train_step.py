"""Time the training step of both networks against plain Keras, PyTorch and the convolutions alone.

Measures images/s at batch 250 on pixels in memory. *keras* is the same network of Keras' own layers
with a textbook DropBlock; *torch* the same in PyTorch, channels last; *bound* only TensorFlow's
convolutions and matrix products, forward and backward, timed in the same run (no bound where the
project computes small maps faster).
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import tensorflow as tf
from keras import ops
from matplotlib.figure import Figure

from benchmarks import torch_networks
from benchmarks.measure import make_parser, measure_case, save
from benchmarks.steps import BATCH, images_per_second, keras_step, make_batch, timed_recipe
from pipeline.core.sections import Recipe, TrainParams
from pipeline.evaluation.export import KERAS_LAYERS
from pipeline.networks.shared.dropblock import DropBlock2D
from pipeline.networks.shared.models import trainable_parameters
from pipeline.settings.params import load_params
from pipeline.training.compiling import compile_model, new_model
from pipeline.training.machine import configure_backend

# Settings under which the peers, which use the tutorial's optimizer, loss and network, are equal.
AS_THE_PEERS = {
    "optimizer": "adam", "weight_decay": 0.0, "label_smoothing": 0.0, "logits_norm": True,
    "image_relu": True, "skip_connections": True,
}  # fmt: skip


class PlainDropBlock(keras.layers.Layer):
    """A straightforward DropBlock: one random number per unit, blocks by max-pooling."""

    def __init__(self, keep: float, block: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep, self.block = keep, block

    def call(self, x: Any, training: bool = False) -> Any:
        """Drop blocks in training."""
        _, height, width, channels = x.shape
        if not training or self.block > min(height, width):
            return x
        rows, columns = height - self.block + 1, width - self.block + 1
        gamma = (1 - self.keep) * height * width / (self.block**2 * rows * columns)
        noise = keras.random.uniform((ops.shape(x)[0], rows, columns, channels))
        border = self.block - 1
        dropped = ops.pad(
            ops.cast(noise < gamma, x.dtype), [[0, 0], [border, border], [border, border], [0, 0]]
        )
        mask = 1 - ops.max_pool(dropped, self.block, strides=1)
        return x * mask * (ops.cast(ops.size(mask), x.dtype) / ops.sum(mask))


def plain_copy(model: keras.Model) -> keras.Model:
    """Return the same network made of Keras' own layers and a textbook DropBlock."""

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, DropBlock2D):
            return PlainDropBlock(layer.initial_keep_prob, layer.block_size, name=layer.name)
        kind = KERAS_LAYERS.get(type(layer), type(layer))
        return kind.from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=replace)


def products_alone(model: keras.Model) -> Callable[[], None]:
    """Return a function that runs each convolution and matrix product forward and backward."""
    steps = [
        _product_step(layer)
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
    ]

    def run() -> None:
        for step in steps:
            step()

    return run


def _product_step(layer: keras.layers.Layer) -> Callable[[], Any]:
    shape = (BATCH, *layer.input.shape[1:])
    x, kernel = tf.random.normal(shape), tf.convert_to_tensor(layer.kernel)
    upstream = tf.random.normal((BATCH, *layer.output.shape[1:]))

    @tf.function
    def convolve() -> tuple[Any, ...]:
        options = {"strides": 1, "padding": "SAME"}
        return (
            tf.nn.conv2d(x, kernel, **options),
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=x.shape, filter=kernel, out_backprop=upstream,
                strides=[1, 1, 1, 1], padding="SAME",
            ),
            tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=upstream,
                strides=[1, 1, 1, 1], padding="SAME",
            ),
        )  # fmt: skip

    @tf.function
    def multiply() -> tuple[Any, ...]:
        return (
            tf.matmul(x, kernel),
            tf.matmul(upstream, kernel, transpose_b=True),
            tf.matmul(x, upstream, transpose_a=True),
        )

    return convolve if isinstance(layer, keras.layers.Conv2D) else multiply


def contenders(
    network: str, recipe: Recipe, train: TrainParams, names: list[str]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name and the step of the project and of each other contender."""
    batch = make_batch(BATCH)
    configure_backend(train, 0)
    recipe = recipe.model_copy(update=AS_THE_PEERS)
    model = new_model(network, recipe, train, 100, 32)
    yield "project", keras_step(model, batch)
    if "keras" in names:
        yield "keras", keras_step(compile_model(plain_copy(model), recipe, train), batch)
    if "torch" in names:
        parameters = torch_networks.count_parameters(recipe)
        if parameters != trainable_parameters(model):
            raise AssertionError("PyTorch's network has a different number of parameters")
        yield "torch", torch_networks.make_step(recipe, train, *batch)
    if "bound" in names:
        yield "bound", products_alone(model)


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    names = ["keras", "torch", "bound"]
    parser.add_argument("--widths", type=float, nargs="+", default=[0.125, 0.25, 1.0])
    parser.add_argument(
        "--networks", nargs="+", choices=torch_networks.NETWORKS, default=torch_networks.NETWORKS
    )
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement, about")
    arguments = parser.parse_args()
    params, tables = load_params(), []
    for network in arguments.networks:
        for width in arguments.widths:
            recipe = timed_recipe(params, network, width, BATCH)
            steps = dict(contenders(network, recipe, params.train, arguments.contenders))
            timed = {n: images_per_second(s, BATCH, arguments.seconds) for n, s in steps.items()}
            case = {"network": network, "width": width}
            table = measure_case(timed, arguments.rounds, "project", **case)
            table["project's ratio to it"] = 1 / table.pop("ratio to project")
            tables.append(table)
            keras.backend.clear_session()
    table = pd.concat(tables, ignore_index=True)
    versions = {"tensorflow": tf.__version__, "torch": torch_networks.torch.__version__}
    facts = {"rounds": arguments.rounds, "unit": "images/s", "batch": BATCH, **versions}
    save("train_step", table, plot, **facts)


def plot(rows: pd.DataFrame) -> Figure:
    """Plot all contenders' speed relative to the project's, one panel per network."""
    relative = rows.assign(speed=1 / rows["project's ratio to it"])
    grid = sns.catplot(
        relative, kind="bar", x="width", y="speed", hue="contender", col="network", height=3.6,
        errorbar=("pi", 100),
    )  # fmt: skip
    grid.set(ylabel="training images/s, project = 1")
    grid.refline(y=1)
    plt.close(grid.figure)
    return grid.figure


if __name__ == "__main__":
    main()
