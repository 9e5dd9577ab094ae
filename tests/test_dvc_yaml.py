"""dvc.yaml declares exactly what each stage reads."""

import ast
from pathlib import Path

import pytest

from pipeline.params import Params, read_yaml
from tests.conftest import REPOSITORY

STAGES = read_yaml(REPOSITORY / "dvc.yaml")["stages"]


def imports(file: Path) -> set[str]:
    """Return the pipeline modules that a module imports, anywhere in its text."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "pipeline":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline."):
            found.add(node.module.split(".")[1])
    return found


def closure(module: str) -> set[str]:
    todo, seen = {module}, set()
    while todo:
        module = todo.pop()
        seen.add(module)
        todo |= imports(REPOSITORY / f"pipeline/{module}.py") - seen
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_every_module_it_imports_and_no_other(stage):
    declared = {d for d in STAGES[stage]["deps"] if d.startswith("pipeline/") and d[-3:] == ".py"}
    expected = {f"pipeline/{module}.py" for module in closure(stage) | {"__init__"}}
    assert declared == expected


@pytest.mark.parametrize("stage", STAGES)
def test_stages_do_not_import_each_other(stage):
    assert not closure(stage) & (set(STAGES) - {stage})


@pytest.mark.parametrize("stage", ["prepare", "report"])
def test_prepare_and_report_do_without_tensorflow(stage):
    for module in closure(stage):
        text = (REPOSITORY / f"pipeline/{module}.py").read_text()
        names = {
            alias.name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not names & {"tensorflow", "keras", "mlflow"}


@pytest.mark.parametrize("stage", STAGES)
def test_each_declared_param_exists(stage):
    for declared in STAGES[stage]["params"]:
        section, _, key = declared.replace("${item.network}", "model").partition(".")
        assert section in Params.model_fields
        assert not key or key in Params.model_fields[section].annotation.model_fields


def test_training_depends_on_each_training_param_but_the_lists_of_the_matrix():
    declared = {p for p in STAGES["train"]["params"] if p.startswith("train.")}
    expected = {f"train.{key}" for key in Params.model_fields["train"].annotation.model_fields}
    assert declared == expected - {"train.seeds", "train.variants"}
