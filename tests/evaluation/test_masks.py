import numpy as np
import pytest

from pipeline.evaluation.masks import expected_share, measure_drop_blocks
from pipeline.networks.shared.models import build_model


def test_blocks_of_one_unit_drop_just_what_is_asked_for():
    assert expected_share(8, 8, 1, 0.85) == pytest.approx(0.15)


def test_one_block_as_large_as_the_map_drops_all_or_nothing():
    assert expected_share(4, 4, 4, 0.9) == pytest.approx(0.1)


@pytest.mark.parametrize(("side", "block", "keep"), [(32, 5, 0.8), (8, 5, 0.8), (7, 3, 0.5)])
def test_the_expectation_is_that_of_drawing_masks(side, block, keep):
    rng = np.random.default_rng(0)
    places = side - block + 1
    gamma = (1 - keep) * side**2 / block**2 / places**2
    starts = rng.random((40_000, places, places)) < gamma
    mask = np.zeros((40_000, side, side), bool)
    for row in range(block):
        for column in range(block):
            mask[:, row : row + places, column : column + places] |= starts
    assert expected_share(side, side, block, keep) == pytest.approx(mask.mean(), rel=0.01)


def test_the_layers_of_the_resnet_are_measured_one_by_one(params):
    recipe = params.recipe("model").model_copy(update={"width": 0.1})
    rows, masks = measure_drop_blocks(build_model("model", recipe, 10, 32), keep=0.8)
    assert [row["map"] for row in rows] == ["32x32", "16x16", "8x8", "4x4"]
    assert [row["block_size"] for row in rows] == [5, 5, 5, 0]
    for row in rows[:3]:
        assert row["measured"] == pytest.approx(row["expected"], rel=0.05)
        assert row["to_drop"] == pytest.approx(0.2)
    assert rows[3]["measured"] == rows[3]["expected"] == 0
    assert {name: mask.shape for name, mask in masks.items()}["block1_dropblock"] == (32, 32, 4)
    assert set(np.unique(masks["block1_dropblock"])) == {0, 1}


def test_a_network_without_dropblock_has_nothing_to_measure(params):
    recipe = params.recipe("baseline", "nodrop")
    assert measure_drop_blocks(build_model("baseline", recipe, 10, 32), keep=1.0) == ([], {})
