"""Time how much each part of the recipe adds to a training step, compared with plain SGD.

Measures images/s of the laptop preset's resnet in whole steps of `fit`, on pixels in memory.
"""

from typing import Any

import keras
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.measure import make_parser, measure_case, save
from benchmarks.steps import images_per_second, keras_step, make_batch, timed_recipe
from pipeline.networks.shared.models import build_model
from pipeline.settings.params import check_params
from pipeline.settings.presets import preset_values
from pipeline.training.compiling import compile_model
from pipeline.training.machine import configure_backend

PLAIN: dict[str, Any] = {
    "optimizer": "sgd",
    "weight_decay": 0.0,
    "muon_weight_decay": 0.0,
    "label_smoothing": 0.0,
}
PEER = "SGD"
CONTENDERS: dict[str, dict[str, Any]] = {  # what each adds to PLAIN
    PEER: {},
    "SGD, weight decay": {"weight_decay": 0.005},
    "SGD, label smoothing": {"label_smoothing": 0.1},
    "Adam": {"optimizer": "adam", "learning_rate": 0.002},
    "Muon": {"optimizer": "muon"},
}


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 32], help="of the images")
    parser.add_argument("--widths", type=float, nargs="+", default=[0.125, 0.25])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement, about")
    arguments = parser.parse_args()
    params = check_params(preset_values("laptop"))
    batch_size, tables = params.recipe("model").batch_size, []
    images, labels = make_batch(batch_size)
    configure_backend(params.train, 0)
    for width in arguments.widths:
        recipe = timed_recipe(params, "model", width, batch_size)
        for size in arguments.sizes:
            timed = {}
            plain = {name: PLAIN | changes for name, changes in CONTENDERS.items()}
            for name, changes in {**plain, "the preset": {}}.items():
                changed = recipe.model_copy(update=changes)
                model = build_model("model", changed, 100, size)
                step = keras_step(
                    compile_model(model, changed, params.train), (images[:, :size, :size], labels)
                )
                timed[name] = images_per_second(step, batch_size, arguments.seconds)
            table = measure_case(timed, arguments.rounds, PEER, width=width, size=size)
            table["time, ratio to SGD"] = 1 / table.pop(f"ratio to {PEER}")
            tables.append(table)
            keras.backend.clear_session()
    facts = {"rounds": arguments.rounds, "unit": "images/s", "batch": batch_size}
    save("recipe_step", pd.concat(tables, ignore_index=True), plot, **facts)


def plot(rows: pd.DataFrame) -> Figure:
    """Plot each contender's time per step, relative to SGD's."""
    figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
    case = "width " + rows["width"].astype(str) + ", " + rows["size"].astype(str) + " px"
    sns.barplot(
        rows.assign(case=case), y="contender", x="time, ratio to SGD", hue="case", errorbar=None,
        ax=axis,
    )  # fmt: skip
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set(ylabel="", xlim=(0.9, None))
    return figure


if __name__ == "__main__":
    main()
