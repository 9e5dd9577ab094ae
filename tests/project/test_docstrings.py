"""The examples in docstrings give the results that they show."""

import doctest
import importlib

import pytest

from tests.conftest import REPOSITORY

MODULES = [
    ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
    for file in sorted((REPOSITORY / "pipeline").rglob("*.py"))
    if ">>> " in file.read_text()
]


def test_there_are_examples_where_a_person_would_try_a_thing():
    assert {
        "pipeline.networks.shared.dropblock",
        "pipeline.networks.shared.models",
        "pipeline.reporting.comparison",
    } <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_right(module, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted
    assert not result.failed
