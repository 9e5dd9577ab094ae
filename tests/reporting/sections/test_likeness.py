import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.reporting.sections import likeness
from tests.reporting.conftest import predicting, results_of


def test_the_table_sets_the_same_seeds_with_and_without_dropblock_side_by_side(loaded):
    table = likeness.ablation_table(loaded)
    with_block, without = (loaded.of(v).hits("resnet", [0, 1]).mean() for v in loaded.variants)
    assert table.loc["each its own DropBlock", "resnet"].startswith(f"{100 * with_block:.1f} %")
    added = table.loc["each its own DropBlock, minus without", "resnet"]
    assert added.startswith(f"{100 * (with_block - without):+.1f} points")


def test_the_last_corner_is_how_much_more_a_network_gains_than_the_reference(loaded):
    gained = {
        (name, variant): loaded.of(variant).hits(name, [0, 1]).mean(axis=1)
        for name in ("baseline", "resnet")
        for variant in ("dropblock", "nodrop")
    }
    lead, lead_without = (
        gained["resnet", variant] - gained["baseline", variant] for variant in loaded.variants
    )
    by_seed = 100 * (lead - lead_without)
    half = stats.t.ppf(0.975, 1) * by_seed.std(ddof=1) / 2**0.5
    shown = likeness.ablation_table(loaded).loc[
        "each its own DropBlock, minus without", "resnet minus baseline"
    ]
    mean = by_seed.mean()
    assert shown == f"{mean:+.1f} points ({mean - half:+.1f} to {mean + half:+.1f})"


def test_how_a_network_drops_is_said_in_words(params):
    assert likeness.describe_drops(params.baseline, "dropblock") == (
        "drops single units, keeping 0.95 in all epochs"
    )
    resnet = likeness.describe_drops(params.model, "dropblock")
    assert resnet.startswith("drops blocks of 5x5 (not where a block is larger than the map)")
    # 1 - 5 x 0.01, at least 0.95
    assert resnet.endswith("keeping 1 at first and 0.95 in the last epoch")
    assert likeness.describe_drops(params.model, "nodrop") == "drops nothing"
    off = params.model.model_copy(update={"conv_keep_end": 1.0})
    assert likeness.describe_drops(off, "dropblock") == "drops nothing"
    never = params.model.model_copy(update={"conv_keep_step": 0.0})  # from 1, an end not reached
    assert likeness.describe_drops(never, "dropblock") == "drops nothing"


def curves():
    """The baseline learns fast and ends; the resnet takes four times the compute and time."""
    rows = [
        {"network": name, "seed": seed, "epoch": epoch, "pflop": cost * epoch,
         "elapsed": 60.0 * cost * epoch, "watched_accuracy": accuracy + 0.02 * seed}
        for name, cost, accuracies in [("baseline", 1, [0.3, 0.4, 0.35]),
                                       ("resnet", 4, [0.2, 0.5, 0.6])]
        for seed in (0, 1)
        for epoch, accuracy in enumerate(accuracies, 1)
    ]  # fmt: skip
    keys = [(n, "dropblock", s) for n in ("baseline", "resnet") for s in (0, 1)]
    return results_of(dict.fromkeys(keys, predicting([0])), [0], pd.DataFrame(rows))


@pytest.mark.parametrize("column", ["pflop", "minutes"])
def test_the_best_within_each_budget_is_shown(column):
    table = likeness.budget_table(curves(), column)
    first, last = table.iloc[0], table.iloc[-1]
    assert (first["baseline, %"], first["resnet, %"]) == ("31.0 (30.0 to 32.0)", "too little")
    assert last["baseline, %"] == "41.0 (40.0 to 42.0), ended"
    assert not table["resnet, %"].str.contains("ended").any()  # the last budget is its own end


def test_a_budget_that_one_seed_does_not_reach_is_too_little():
    found = likeness.best_so_far(curves().history)
    found = found[~((found["seed"] == 1) & (found["pflop"] == 4) & (found["network"] == "resnet"))]
    assert likeness.best_within(found, "resnet", "pflop", 5.0).size == 0
    assert likeness.best_within(found, "resnet", "pflop", 8.0) == pytest.approx([0.5, 0.52])


def test_the_figure_never_falls():
    figure = likeness.plot_budgets(curves().history, "validation")
    for axis in figure.axes:
        for line in axis.lines:
            assert (np.diff(line.get_ydata()) >= 0).all()
