"""What the README shows is what the pipeline wrote, and what it tells people to type exists."""

import importlib.util
import json
import re

import pytest

from pipeline.__main__ import cli
from pipeline.settings.params import load_params
from pipeline.settings.presets import PRESETS
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
REPORT = (REPOSITORY / "reports/cifar100/report.md").read_text()
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "deploy/README.md",
    "reports/cifar100/README.md",
    "reports/digits/README.md",
]


def test_it_is_short():
    assert len(README.splitlines()) <= 150


def test_headline_and_table_are_the_reports_own():
    answer = README.split("## The answer")[1].split("\n## ")[0]
    headline = re.search(r"^> \*\*(.+?)\*\*$", answer, re.DOTALL | re.MULTILINE)[1]
    assert " ".join(headline.replace("\n> ", "\n").split()) == REPORT.splitlines()[2].strip("*")
    rows = [line for line in answer.splitlines() if line.startswith("|")]
    assert len(rows) >= 4
    assert set(rows) <= set(REPORT.splitlines())


def test_the_difference_and_its_interval_are_those_of_the_committed_figures():
    figures = json.loads((REPOSITORY / "reports/cifar100/comparison.json").read_text())
    said = figures["differences"]["resnet"]
    quoted = re.search(r"^> \*\*(.+?)\*\*$", README, re.DOTALL | re.MULTILINE)[1]
    headline = " ".join(quoted.replace("\n> ", "\n").split())
    assert f"ahead by {100 * abs(said['mean']):.1f} points" in headline
    low, high = sorted(100 * said[bound] for bound in ("low", "high"))
    assert re.search(rf"interval \+?{low:.1f} to \+?{high:.1f}\b", headline)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    file = REPOSITORY / document
    links = re.findall(r"\]\(([^)#]+)\)", file.read_text())
    assert links or document != "README.md"
    for link in links:
        assert "://" in link or (file.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_exist(document):
    text = (REPOSITORY / document).read_text()
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", text)) <= set(targets)
    for module in re.findall(r"python -m (benchmarks\.\w+)", text):
        assert importlib.util.find_spec(module), module
    assert set(re.findall(r"python -m pipeline (\w+)", text)) <= set(cli.commands)
    assert "python -m pipeline." not in text or document.startswith("reports/")  # of its commit


def test_params_named_in_it_exist():
    params = load_params(REPOSITORY / "params.yaml").model_dump()
    named = re.findall(r"\b(data|augment|baseline|model|train|evaluate|report)\.(\w+)", README)
    for section, key in named:
        if key not in ("md", "html"):
            assert key in params[section], (section, key)
    for preset in re.findall(r"pipeline preset (\w+)", README):
        assert (REPOSITORY / PRESETS / f"{preset}.yaml").exists()
