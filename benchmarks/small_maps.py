"""Time training steps with small maps as matrix products, and with TensorFlow's convolutions.

Each network takes steps on random images of the sizes that its preset trains with, with the
preset's recipe but with DropBlock always active.
"""

from unittest.mock import patch

import keras
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.measure import make_parser, measure_case, save
from benchmarks.steps import Step, images_per_second, keras_step, make_batch, timed_recipe
from pipeline.networks.shared import convolution
from pipeline.networks.shared.models import build_model
from pipeline.settings.params import check_params
from pipeline.settings.presets import preset_values
from pipeline.training.compiling import compile_model
from pipeline.training.machine import configure_backend

CASES = [
    ("laptop", "model", 20), ("laptop", "model", 32), ("laptop", "baseline", 20),
    ("sprint", "sprint", 20), ("sprint", "sprint", 24), ("sprint", "sprint", 32),
]  # fmt: skip
PEER, PRODUCTS = "TensorFlow's convolution", "matrix products"


def step_of(preset: str, network: str, side: int, precision: str) -> tuple[Step, int]:
    """Return a network's training step on images of a side, and its batch size."""
    params = check_params(preset_values(preset))
    train = params.train.model_copy(update={"precision": precision})
    configure_backend(train, 0)
    recipe = params.recipe(network)
    recipe = timed_recipe(params, network, recipe.width, recipe.batch_size)
    model = build_model(network, recipe, 100, side)
    images, labels = make_batch(recipe.batch_size)
    batch = images[:, :side, :side], labels
    return keras_step(compile_model(model, recipe, train), batch), recipe.batch_size


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement, about")
    arguments = parser.parse_args()
    tables = []
    for precision in arguments.precisions:
        for preset, network, side in CASES:
            step, batch_size = step_of(preset, network, side, precision)
            timed = {PRODUCTS: images_per_second(step, batch_size, arguments.seconds)}
            with patch.object(convolution, "is_small", lambda *_: False):
                step, _ = step_of(preset, network, side, precision)
                timed[PEER] = images_per_second(step, batch_size, arguments.seconds)
            case = {"case": f"{network}, {side} px", "precision": precision}
            tables.append(measure_case(timed, arguments.rounds, PEER, **case))
            keras.backend.clear_session()
    facts = {"rounds": arguments.rounds, "unit": "images/s"}
    save("small_maps", pd.concat(tables, ignore_index=True), plot, **facts)


def plot(rows: pd.DataFrame) -> Figure:
    """Plot how many times as fast matrix products are, by network and image size."""
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    rows = rows[rows["contender"] == PRODUCTS]
    sns.barplot(rows, x="case", y=f"ratio to {PEER}", hue="precision", errorbar=None, ax=axis)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set(xlabel="", ylabel=f"images/s, ratio to {PEER}")
    return figure


if __name__ == "__main__":
    main()
