import hashlib
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.commands import compare as module
from pipeline.core.files import COMPARISON, PREDICTIONS
from pipeline.reporting.audit import Answers, save_answers
from pipeline.versioning.experiments import Experiment
from tests.conftest import quick_values
from tests.made_up_results import DIGEST, write_json
from tests.recomputed import assert_contrasts_follow, right_answers

IMAGES, SEEDS = 300, range(6)
METADATA = {"digest": DIGEST, "params": {"image_size": 32, "split_by_seed": False}}


def answers_of(share, key):
    """Made-up answers of all seeds, each right on about this share of the images."""
    found = {}
    for seed in SEEDS:
        rng = np.random.default_rng([seed, *key.encode()])
        right, scores = rng.random(IMAGES) < share, np.zeros(IMAGES, np.float16)
        found[seed] = Answers(rng.integers(0, 10, IMAGES), right, scores, scores, ~right)
    return found


def summary_of(answers, settings, **changes):
    accuracy = {
        network: {"right": {str(s): int(a.right.sum()) for s, a in of_seed.items()}}
        for network, of_seed in answers.items()
    }
    made = {"headline": "h", "digest": DIGEST, "watched": "val", "scored": "test",
            "images": IMAGES, "reference": "baseline", "settings": settings,
            "sections": {"baseline": "baseline", "resnet": "model"},
            "accuracy": accuracy}  # fmt: skip
    return made | changes


def made_up(name, size, share=0.6, without=(), **changes):
    """An experiment as DVC has it: params, and the files that its report left."""
    answers = {
        "baseline": answers_of(0.5, "baseline"),
        "resnet": answers_of(share, f"resnet {size}"),
    }
    settings = {"baseline": "b" * 16, "resnet": f"{size:016}"}
    summary = summary_of(answers, settings, **changes)
    for key in without:
        del summary[key]
    file = io.BytesIO()
    save_answers(
        file,
        {
            f"this run/{network}/dropblock/{seed}": answer
            for network, of_seed in answers.items()
            for seed, answer in of_seed.items()
        },
    )
    values = quick_values()
    values["model"]["drop_block_size"] = size
    contents = {COMPARISON: json.dumps(summary).encode(), PREDICTIONS: file.getvalue()}
    return name, values, contents


@pytest.fixture
def known(workspace, monkeypatch):
    """The experiments that there are, the workspace first; a list to fill."""
    found = []
    contents = {}

    def listed():
        experiments = []
        for name, values, of_name in found:
            contents[name] = of_name
            revision = "" if name == "workspace" else hashlib.sha1(name.encode()).hexdigest()[:7]
            experiments.append(Experiment(name, revision, values, {}))
        return experiments

    monkeypatch.setattr(module, "list_experiments", listed)
    monkeypatch.setattr(Experiment, "read", lambda self, path: contents[self.name].get(path))
    write_json(workspace / "data/prepared/metadata.json", METADATA)
    return found


def figures(workspace):
    return json.loads((workspace / "reports/experiments/comparison.json").read_text())


def test_all_is_written_into_a_folder_of_its_own_and_follows_from_the_predictions(
    known, workspace, invoke
):
    known += [made_up("workspace", 5), made_up("block-1", 1, 0.4), made_up("block-7", 7, 0.61)]
    code, said = invoke("compare")
    assert code == 0
    folder = workspace / "reports/experiments"
    assert said.endswith("reports/experiments/report.html\n")
    left = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert left == {"report.md", "report.html", "comparison.json", "figures/experiments.svg",
                    "figures/contrasts.svg"}  # fmt: skip
    found = figures(workspace)
    assert said.startswith(found["headline"])
    assert found["headline"] in (folder / "report.md").read_text()
    assert found["contrasts"]["reference"] == "workspace"
    labels = [c["label"] for c in found["contrasts"]["found"]]
    assert labels == ["drop_block_size 1", "drop_block_size 7"]
    assert [lead["changed"] for lead in found["contrasts"]["leads"]] == [
        "", "resnet: drop_block_size 1", "resnet: drop_block_size 7",
    ]  # fmt: skip
    right = {
        training.replace("this run", name): bits
        for name, _, contents in known
        for training, bits in right_answers(io.BytesIO(contents[PREDICTIONS]), IMAGES).items()
    }
    for kind in ("found", "leads"):
        assert_contrasts_follow(found["contrasts"][kind], right)
    shown = pd.Series([c["adjusted_p"] for c in found["contrasts"]["found"]], labels)
    assert shown["drop_block_size 1"] == 0.03125
    assert shown["drop_block_size 7"] > 0.05


def test_another_reference_and_another_axis_can_be_named(known, workspace, invoke, refused):
    known += [made_up("workspace", 5), made_up("block-1", 1)]
    code, said = invoke("compare", "--reference", "block-1", "--x", "width")
    assert code == 0
    assert "--x width: " in said
    found = figures(workspace)["contrasts"]
    assert found["reference"] == "block-1"
    assert [c["label"] for c in found["found"]] == ["drop_block_size 5"]
    text = (workspace / "reports/experiments/report.md").read_text()
    assert "against drop_block_size" in text  # the width does not vary
    known[1][1]["model"] |= {"width": 0.25, "drop_block_size": 5}
    for x in ("width", "model.width"):
        assert "--x" not in invoke("compare", "--x", x)[1]
        assert "against width" in (workspace / "reports/experiments/report.md").read_text()
    known[1][1]["model"] |= {"width": known[0][1]["model"]["width"]}
    known[1][1]["augment"] |= {"crop_pixels": 3}
    assert "--x" not in invoke("compare", "--x", "augment.crop_pixels")[1]
    text = (workspace / "reports/experiments/report.md").read_text()
    assert "against augment.crop_pixels" in text
    said = refused("compare", "--reference", "block-2")
    assert "--reference block-2: there is no such experiment on this data; known" in said
    assert "workspace, block-1" in said


@pytest.mark.parametrize(
    "other",
    [
        made_up("other", 1, digest="e" * 64),
        made_up("other", 1, scored="val"),
        made_up("other", 1, without=["settings"]),  # of an earlier version
        ("other", quick_values(), {}),  # not in a local cache
        ("other", quick_values(), {COMPARISON: b"{"}),
        ("other", quick_values(), {COMPARISON: b"[]"}),
    ],
    ids=["other data", "other split", "no settings", "no cache", "damaged", "no object"],
)
def test_what_cannot_be_compared_is_left_out(known, workspace, invoke, other):
    known += [made_up("workspace", 5), other, made_up("block-7", 7)]
    code, said = invoke("compare")
    assert code == 0
    unlike = "left out: other; workspace was scored on test images, these were not"
    assert (unlike in said) == (b'"scored": "val"' in other[2].get(COMPARISON, b""))
    (found,) = figures(workspace)["contrasts"]["found"]
    assert found["experiments"] == ["block-7"]
    assert "other" not in (workspace / "reports/experiments/report.md").read_text().split()


def test_a_commit_or_an_experiment_with_this_runs_results_is_this_run(known, workspace, invoke):
    known += [made_up("workspace", 5), made_up("commit 1234567", 5), made_up("block-7", 7)]
    known.append(made_up("repro-1234567", 5))
    assert invoke("compare")[0] == 0
    text = (workspace / "reports/experiments/report.md").read_text()
    assert "repro-1234567" not in text
    assert "commit 1234567" not in text


def test_where_the_workspace_has_other_data_the_experiments_are_compared(known, workspace, invoke):
    known += [made_up("workspace", 5, digest="e" * 64), made_up("block-1", 1),
              made_up("block-7", 7)]  # fmt: skip
    assert invoke("compare")[0] == 0
    assert figures(workspace)["contrasts"]["reference"] == "block-1"


def test_alone_the_page_says_how_to_make_others(known, workspace, invoke):
    known += [made_up("workspace", 5)]
    code, said = invoke("compare")
    assert code == 0
    assert said.startswith("There is nothing to compare yet")


def test_without_results_the_way_out_is_named(known, refused):
    assert "no results on the prepared data yet; run `dvc repro`" in refused("compare")


def test_without_prepared_data_the_newest_experiments_are_compared(known, workspace, invoke):
    shutil.rmtree(workspace / "data/prepared")
    known += [made_up("old", 3, digest="other"), made_up("a", 5), made_up("b", 7)]
    assert invoke("compare")[0] == 0
    assert {s for c in figures(workspace)["contrasts"]["found"] for s in c["experiments"]} == {"b"}


def test_the_reference_may_be_the_experiment_that_this_run_was_kept_as(known):
    known += [made_up("workspace", 5), made_up("repro-1", 5), made_up("block-7", 7, 0.3)]
    assert "differ from the same network in repro-1" in module.compare("repro-1", "drop_block_size")
