"""README's numbers follow from the committed results, and the commands that it shows exist."""

import importlib.util
import json
import os
import re
from pathlib import Path

import pytest

from pipeline.__main__ import cli
from pipeline.settings.params import check_params, known_keys
from pipeline.settings.presets import preset_values, shared_presets
from tests.conftest import REPOSITORY, tracked

README = (REPOSITORY / "README.md").read_text()
REPORTS = REPOSITORY / "reports"
FIGURES = json.loads((REPOSITORY / "reports/cifar100/comparison.json").read_text())
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "deploy/README.md",
    "docs/glossary.md",
    "docs/install.md",
    *sorted(f"reports/{file.parent.name}/README.md" for file in REPORTS.glob("*/README.md")),
]
# The table's name of a setting in the report: its network, and what is changed.
SETTINGS = {
    "baseline": ("baseline", ""),
    "resnet": ("resnet", ""),
    "baseline, 2.1 times as wide": ("baseline", "width 0.525"),
    "resnet without skip connections": ("resnet", "skip_connections False"),
}


def contrast(network, label):
    (found,) = [c for c in FIGURES["contrasts"]["found"]
                if (c["network"], c["label"]) == (network, label)]  # fmt: skip
    return found


def lead(changed):
    (found,) = [c for c in FIGURES["contrasts"]["leads"] if c["changed"] == changed]
    return found


def points(said, sign=1):
    low, high = sorted(100 * sign * said[bound] for bound in ("low", "high"))
    return f"{100 * sign * said['mean']:.1f} points", f"{low:.1f} to {high:.1f}"


def test_it_is_short():
    assert len(README.split()) <= 1_000


def test_the_table_follows_from_the_committed_figures():
    from pipeline.networks.shared.models import build_model, count_flops, trainable_parameters

    laptop = check_params(preset_values("laptop"))
    text = README.split("## The answer on CIFAR-100")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("| ")][1:]  # fmt: skip
    assert [row[0] for row in rows] == list(SETTINGS)
    for name, parameters, pflop, accuracy in rows:
        network, changed = SETTINGS[name]
        section = FIGURES["sections"][network]
        mean = FIGURES["accuracy"][network]["mean"]
        mean += contrast(network, changed)["mean"] if changed else 0
        assert accuracy == f"{100 * mean:.1f} %"
        key, _, value = changed.partition(" ")
        change = {key: json.loads(value.lower())} if changed else {}
        recipe = laptop.recipe(section).model_copy(update=change)
        model = build_model(section, recipe, 100, 32)
        assert parameters == f"{trainable_parameters(model) / 1e6:.2f} M"
        # 45,000 images per epoch, in whole batches; the first epochs at 20 pixels.
        seen, ((share, side),) = 45_000 // 128 * 128, recipe.image_sizes
        small = round(share * recipe.epochs)
        flops = small * count_flops(model, side) + (recipe.epochs - small) * count_flops(model)
        assert float(pflop) == pytest.approx(3 * seen * flops / 1e15, abs=5e-4)


def test_the_sentences_follow_from_the_committed_figures():
    text = " ".join(README.split("## The answer on CIFAR-100")[1].split("\n## ")[0].split())
    ahead, interval = points(FIGURES["differences"]["resnet"])
    assert f"The resnet is {ahead.replace(' points', ' points better')}" in text
    assert f"interval {interval})" in text
    ahead, interval = points(lead("baseline: width 0.525"), sign=-1)
    assert f"The wider baseline is {ahead} better than the resnet ({interval})" in text
    confirmed = json.loads((REPORTS / "confirm/comparison.json").read_text())["contrasts"]
    (alike,) = [said for said in confirmed["leads"] if said["reference"] == ["plain"]]
    ahead, interval = points(alike, sign=-1)
    assert len(alike["by_seed"]) == 10
    assert f"#results), by {ahead.removesuffix(' points')} ({interval}, ten fresh seeds)" in text
    lost, interval = points(contrast("resnet", "skip_connections False"), sign=-1)
    assert f"the resnet loses {lost} ({interval}) in this recipe" in text
    (tuned,) = [c for c in confirmed["found"] if "skip_connections False" in c["label"]]
    lost, interval = points(tuned, sign=-1)
    link = f"[{lost.removesuffix(' points')}](reports/confirm/README.md#results)"
    assert f"tuned for itself, {link} ({interval})." in text
    drop = [contrast(n, "without DropBlock") for n in ("baseline", "resnet")]
    gains = [points(said)[0] for said in drop]
    assert f"{gains[0]} for the baseline and {gains[1].split()[0]} for the resnet" in text
    said = [lead("baseline: width 0.525"), contrast("resnet", "skip_connections False"), *drop]
    p_values = [FIGURES["differences"]["resnet"]["p_value"], *(c["adjusted_p"] for c in said)]
    assert {round(p, 3) for p in p_values} == {0.031}
    assert "Each of these differences has p = 0.031, the smallest" in text


def test_the_costs_in_the_sentences_follow_from_the_table():
    text = " ".join(README.split("## The answer on CIFAR-100")[1].split("\n## ")[0].split())
    cost = {
        name: (float(size), float(pflop))
        for name, size, pflop in re.findall(
            r"\| (baseline|resnet|baseline, 2.1 times as wide) \| ([\d.]+) M \| ([\d.]+) \|", text
        )
    }
    resnet, wide = cost["resnet"], cost["baseline, 2.1 times as wide"]
    assert f"takes {resnet[1] / cost['baseline'][1]:.1f} times the compute" in text
    assert f"{100 * (wide[1] / resnet[1] - 1):.1f} % more compute" in text
    assert f"and {wide[0] / resnet[0]:.1f} times the parameters" in text


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
    of_before = {"report"} if document == "reports/cifar100/README.md" else set()  # of its commit
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", text)) <= {*targets, *of_before}
    for module in re.findall(r"python -m (benchmarks\.\w+)", text):
        assert importlib.util.find_spec(module), module
    assert set(re.findall(r"python -m pipeline (\w+)", text)) <= set(cli.commands)


def test_params_named_in_it_exist():
    known = known_keys()
    named = re.findall(r"\b(data|augment|recipe|baseline|model|train|evaluate)\.(\w+)", README)
    for section, key in named:
        assert key in known[section], (section, key)
    assert set(re.findall(r"pipeline preset (\w+)", README)) <= set(shared_presets())
