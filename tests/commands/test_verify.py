import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from scipy import stats

from pipeline.__main__ import main
from pipeline.commands.verify import AGREES, DISAGREES, UNKNOWN, verify
from pipeline.core.errors import UserError
from pipeline.settings.presets import preset_values
from tests.conftest import REPOSITORY, with_values

IMAGES = 1000
SIX = [580, 588, 592, 584, 586, 590]
PARAMS = {
    "data": {"path": "/a"},
    "augment": {"policy": "translate"},
    "model": {
        "epochs": 10,
        "drop_block_size": 5,
        "conv_keep_start": 1.0,
        "conv_keep_step": 0.1,
        "conv_keep_end": 0.9,
    },
    "train": {"seeds": [0], "networks": ["model"], "watch": "none", "variants": ["dropblock"]},
    "report": {"figure_dpi": 110},
}


def summary(right, **changes):
    seeds = {str(seed): count for seed, count in enumerate(right)}
    accuracy = {"right": seeds}
    found = {"content": "c", "scored": "test", "images": IMAGES, "sections": {"resnet": "model"},
             "accuracy": {"resnet": accuracy}}  # fmt: skip
    return found | changes


def write(folder, right, params, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.json").write_text(json.dumps(summary(right, **changes)))
    if params:
        YAML().dump(params, folder / "params.yaml")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Leave the results of a run, and a published report of six seeds."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "reports/published", SIX, PARAMS)

    def make(right, changes=None, **of_summary):
        params = PARAMS | {"data": {"path": "/b"}} | (changes or {})
        stages = {"report": {"cmd": "x", "params": {"params.yaml": params}}}
        YAML().dump({"schema": "2.0", "stages": stages}, tmp_path / "dvc.lock")
        write(tmp_path / "reports", right, None, **of_summary)

    return make


@pytest.mark.parametrize(
    ("published", "preset", "relu"),
    [("digits", "quick", True), ("confirm/laptop", "laptop", False), ("accurate", "accurate", True),
     ("sprint", "sprint", False)],
)  # fmt: skip
def test_a_run_of_a_presets_params_finds_its_published_report(
    tmp_path, monkeypatch, published, preset, relu
):
    monkeypatch.chdir(tmp_path)
    kept = ("comparison.json", "params.yaml")
    for file in [f for name in kept for f in (REPOSITORY / "reports").glob(f"*/**/{name}")]:
        copy = tmp_path / file.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    shutil.copy(REPOSITORY / "reports" / published / "comparison.json", tmp_path / "reports")
    params = with_values(preset_values(preset), {"model.image_relu": relu})
    stages = {"report": {"cmd": "x", "params": {"params.yaml": params}}}
    YAML().dump({"schema": "2.0", "stages": stages}, tmp_path / "dvc.lock")
    table, folder = verify(None)
    assert folder == Path("reports", published)
    assert set(table["agreement"]) == {"identical"}


@pytest.mark.parametrize(
    "right", [[575, 583], [560, 588], [570, 571, 569], [585, 586, 587], [600, 601, 602]]
)
def test_the_verdict_is_that_of_a_two_sample_t_test(run, right):
    run(right)
    table, folder = verify(None)
    differ = stats.ttest_ind(right, SIX).pvalue < 0.05
    assert str(folder) == "reports/published"
    assert table["agreement"].tolist() == [DISAGREES if differ else AGREES]
    mean = 100 * (np.mean(right) - np.mean(SIX)) / IMAGES
    assert float(table["difference, points"][0]) == pytest.approx(mean, abs=0.006)


def test_one_seed_is_held_against_the_spread_of_the_published_ones(run):
    half = stats.t.ppf(0.975, 5) * np.std(SIX, ddof=1) * np.sqrt(1 + 1 / 6)
    for inside, verdict in [(0.95, AGREES), (1.05, DISAGREES)]:
        run([np.mean(SIX) + inside * half])
        table, _ = verify(None)
        assert table["agreement"].tolist() == [verdict]
        assert float(table["seed variation, points"][0]) == pytest.approx(half / 10, abs=0.006)


def test_equal_counts_are_named_and_one_seed_each_says_nothing(run, tmp_path):
    run(SIX)
    assert verify(None)[0]["agreement"].tolist() == ["identical"]
    write(tmp_path / "reports/published", [580], PARAMS)
    run([570])
    assert verify(None)[0]["agreement"].tolist() == [UNKNOWN]


@pytest.mark.parametrize(
    ("changes", "of_summary", "named"),
    [
        ({"model": {"epochs": 12}}, {}, "resnet: epochs: 12 here, 10 published"),
        (
            {"train": PARAMS["train"] | {"variants": ["nodrop"]}},
            {},
            "resnet: drop_block_size: off here",
        ),
        ({}, {"content": "other"}, "data: other training or test images, or other labels"),
        ({"data": {"seed": 16}}, {}, "data: seed: 16 here, None published"),
        ({}, {"scored": "val"}, "scored: val here, test published"),
    ],
)
def test_another_recipe_or_other_data_are_not_compared(run, changes, of_summary, named):
    run([580, 590], changes, **of_summary)
    with pytest.raises(UserError, match=re.escape(named)):
        verify(None)


def test_the_nearest_report_is_taken_and_seeds_and_paths_do_not_count(run, tmp_path):
    write(tmp_path / "reports/another", SIX, PARAMS | {"model": {"epochs": 5}})
    run([580, 590], {"train": PARAMS["train"] | {"seeds": [7, 8]}})
    assert str(verify(None)[1]) == "reports/published"


def test_numbers_that_do_not_decide_do_not_count(run, tmp_path):
    off = {"model": PARAMS["model"] | {"conv_keep_end": 1, "drop_block_size": 5}}
    write(tmp_path / "reports/published", SIX, PARAMS | off)
    run(SIX, {"model": off["model"] | {"drop_block_size": 7}})
    assert verify(None)[0]["agreement"].tolist() == ["identical"]


def test_networks_that_nothing_published_has_are_named(run):
    sections = {"pyramid": "pyramid"}
    run(SIX, sections=sections, accuracy={"pyramid": {"right": {"0": 580}}})
    with pytest.raises(UserError, match=r"no published report has pyramid.* reports/published$"):
        verify(None)
    with pytest.raises(UserError, match=r"^reports/published does not have pyramid"):
        verify(Path("reports/published"))


def test_without_results_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="run `dvc repro`"):
        verify(None)


def test_the_command_ends_with_1_where_a_network_is_off(run, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.versioning.experiments.check_outputs", lambda *_: None)
    run([580, 588, 591])
    assert main(["verify"]) == 0
    assert "published in reports/published" in capsys.readouterr().out
    run([480, 488, 491])
    assert main(["verify", "reports/published"]) == 1
    assert DISAGREES in capsys.readouterr().out
