"""README's numbers follow from the committed results, and the commands that it shows exist."""

import importlib.util
import json
import os
import re
from pathlib import Path

import pytest

from benchmarks.confirm import ANSWER
from pipeline.__main__ import cli
from pipeline.core.files import read_yaml
from pipeline.settings.params import check_params, known_keys
from pipeline.settings.presets import preset_values, shared_presets
from tests.conftest import REPOSITORY, tracked
from tests.recomputed import prose, table_rows

README = (REPOSITORY / "README.md").read_text()
REPORTS = REPOSITORY / "reports"
CONFIRM = REPORTS / "confirm"
CONTRASTS = json.loads((CONFIRM / "comparison.json").read_text())["contrasts"]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "deploy/README.md",
    "docs/glossary.md",
    "docs/install.md",
    *sorted(f"reports/{file.parent.name}/README.md" for file in REPORTS.glob("*/README.md")),
]


def contrast(kind, experiment):
    names = {"leads": "reference", "found": "experiments"}[kind]
    (found,) = [said for said in CONTRASTS[kind] if experiment in said[names]]
    return found


def points(said, sign=1, digits=1):
    low, high = sorted(100 * sign * said[bound] for bound in ("low", "high"))
    bounds = f"{low:.{digits}f} to {high:.{digits}f}"
    return f"{100 * sign * said['mean']:.1f} points", bounds


def answer():
    return README.split("## The answer on CIFAR-100")[1].split("\n## ")[0]


def test_the_readme_has_at_most_1000_words():
    assert len(README.split()) <= 1_000


def test_the_table_follows_from_the_committed_figures():
    rows = table_rows(answer())[1:]
    assert [row[0] for row in rows] == list(ANSWER)
    for name, *shown in rows:
        experiment, network = ANSWER[name]
        figures = json.loads((CONFIRM / experiment / "comparison.json").read_text())
        cost, accuracy = figures["cost"][network], figures["accuracy"][network]
        assert len(accuracy["right"]) == 10
        expected = f"{cost['parameters'] / 1e6:.2f} M", f"{cost['pflop']:.4f}"
        assert shown == [*expected, f"{100 * accuracy['mean']:.1f} %"]


@pytest.mark.parametrize("network", ["baseline", "resnet"])
def test_the_costs_in_the_table_are_those_of_the_networks(network):
    from pipeline.networks.shared.models import build_model, count_flops, trainable_parameters

    figures = json.loads((CONFIRM / "laptop/comparison.json").read_text())
    section, cost = figures["sections"][network], figures["cost"][network]
    recipe = check_params(preset_values("laptop")).recipe(section)
    model = build_model(section, recipe, 100, 32)
    assert trainable_parameters(model) == cost["parameters"]
    seen, ((share, side),) = 45_187 // 128 * 128, recipe.image_sizes  # images in whole batches
    small = round(share * recipe.epochs)
    flops = small * count_flops(model, side) + (recipe.epochs - small) * count_flops(model)
    assert 3 * seen * flops / 1e15 == pytest.approx(cost["pflop"], rel=1e-3)


def test_the_preset_of_the_answer_has_the_params_of_its_run():
    run = read_yaml(CONFIRM / "laptop/params.yaml")
    mine, theirs = (check_params(values) for values in (preset_values("laptop"), run))
    for section in ("baseline", "model"):
        assert mine.recipe(section) == theirs.recipe(section)
    for shared in ("augment", "evaluate"):
        assert getattr(mine, shared) == getattr(theirs, shared)
    assert mine.data == theirs.data.model_copy(update={"path": None})
    assert mine.train == theirs.train.model_copy(update={"seeds": mine.train.seeds})


def test_the_sentences_follow_from_the_committed_figures():
    text = " ".join(answer().split())
    ahead, plain = contrast("leads", "laptop"), contrast("leads", "plain")
    skipless, nodrop = contrast("found", "skipless"), contrast("found", "nodrop")
    better, interval = points(ahead)
    p = f"p = {ahead['adjusted_p']:.3f}"
    assert f"is {better} better than the baseline (95 % interval {interval}, {p})" in text
    better, interval = points(plain, sign=-1)[0], points(plain, sign=-1, digits=2)[1]
    figures = json.loads((CONFIRM / "plain/comparison.json").read_text())
    found = points({"mean": 0, **figures["differences"]["resnet"]["new_images"]}, sign=-1)[1]
    p = f"p = {plain['adjusted_p']:.3f}; if the test images vary too, {found}"
    assert f"the plain network is {better} better than the resnet ({interval}, {p})" in text
    for sentence, said, sign in [
        ("without skip connections, tuned separately, scores {} less", skipless, -1),
        ("DropBlock of 5x5 blocks lowers the resnet's accuracy by {}", nodrop, 1),
    ]:
        change, interval = points(said, sign)
        p = f"p = {said['adjusted_p']:.3f}"
        assert f"{sentence.format(change)} ({interval}, {p})" in text
    earlier = json.loads((REPORTS / "recipe/earlier/comparison.json").read_text())
    (bare,) = [said for said in earlier["contrasts"]["found"] if "skip" in said["label"]]
    confirmed = prose(REPORTS / "confirm/README.md")
    assert f"of those {points(bare, sign=-1)[0]} probably" in confirmed


def test_the_costs_in_the_sentences_follow_from_the_figures():
    text = " ".join(answer().split())
    laptop, plain = (json.loads((CONFIRM / name / "comparison.json").read_text())["cost"]
                     for name in ("laptop", "plain"))  # fmt: skip
    ratio = laptop["resnet"]["pflop"] / laptop["baseline"]["pflop"]
    assert f"takes {ratio:.1f} times the compute" in text
    assert plain["baseline"]["pflop"] == pytest.approx(plain["resnet"]["pflop"], rel=0.02)
    ratio = plain["baseline"]["parameters"] / plain["resnet"]["parameters"]
    assert f"with {ratio:.1f} times the parameters" in text


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)\)", (REPOSITORY / document).read_text())
    assert links or document != "README.md"
    files = tracked()
    for link in links:
        if "://" not in link:
            place = os.path.normpath(Path(document).parent / link)
            assert any(f"{file}/".startswith(f"{place}/") for file in files), link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_exist(document):
    text = (REPOSITORY / document).read_text()
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", text)) <= set(targets)
    for module in re.findall(r"python -m (benchmarks\.\w+)", text):
        assert importlib.util.find_spec(module), module
    assert set(re.findall(r"python -m pipeline (\w+)", text)) <= set(cli.commands)


def test_params_named_in_it_exist():
    known = known_keys()
    named = re.findall(r"\b(data|augment|recipe|baseline|model|train|evaluate)\.(\w+)", README)
    for section, key in named:
        assert key in known[section], (section, key)
    assert set(re.findall(r"pipeline preset (\w+)", README)) <= set(shared_presets())
