"""Test the command line, also with all kinds of bad input.

Bad input gives exit code 2, one message with a fix and no traceback; earlier results are kept.
"""

import dataclasses
import json
import os
import pickle
import re
import subprocess
import sys

import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests.conftest import REPOSITORY, Evil, quick_values, start_python, truncate
from tests.made_up_results import write_results


def set_params(folder, **changes):
    values = quick_values()
    for key, value in changes.items():
        section, name = key.split("__")
        values[section][name] = value
    YAML().dump(values, folder / "params.yaml")


@pytest.fixture
def said(workspace, refused):
    """Run a command that must be refused; return its message."""
    set_params(workspace)

    def refuse(command):
        text = refused(*command.split())
        assert text.count("error: ") == 1
        return text

    return refuse


COMMANDS = [
    "prepare", "train", "evaluate", "report", "publish", "preset", "upgrade", "check", "compare",
    "match", "sweep", "tune", "predict", "export", "serve", "ui", "lookup", "verify", "doctor",
]  # fmt: skip
HELP = """
import sys
from pipeline.__main__ import main
for command in sys.argv[1:]:
    assert main([command, "--help"]) == 0
heavy = {"tensorflow", "keras", "mlflow", "dvc", "pandas", "sklearn", "matplotlib"}
sys.exit(f"imported: {heavy & set(sys.modules)}" if heavy & set(sys.modules) else 0)
"""


COLLECTED = """
import atexit, gc, runpy, sys
collections = []
gc.callbacks.append(lambda phase, info: phase == "stop" and collections.append(info["generation"]))
atexit.register(lambda: print(max(collections, default=0), gc.get_freeze_count() > 100_000))
sys.argv = ["pipeline", "report"]
runpy.run_module("pipeline", run_name="__main__")
"""


def test_what_is_loaded_is_not_searched_for_garbage_again_and_again(workspace):
    set_params(workspace)
    write_results(workspace, [0])
    done = start_python(workspace, "-c", COLLECTED)
    said = done.communicate()[0]
    assert (done.returncode, said.splitlines()[-1]) == (0, "1 True")


def test_all_commands_are_listed_in_the_order_in_which_they_run(invoke):
    code, text = invoke()
    assert code == 0
    listed = re.findall(r"^  ([a-z]+)  ", text.split("Commands:")[1], re.MULTILINE)
    assert listed == COMMANDS


def test_help_loads_nothing_heavy():
    process = start_python(REPOSITORY, "-c", HELP, *COMMANDS, errors=True)
    output = process.communicate()[0]
    assert process.returncode == 0, output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("frobnicate", "No such command 'frobnicate'"),
        ("train", "Missing argument 'TRAINING'"),
        ("train a b", "'a' is not a training"),
        ("evaluate ../a", "'../a' is not a training; give network-variant-seed"),
        ("preset enormous", "'enormous' is not one of"),
        ("ui --port x", "'x' is not a valid integer"),
        ("serve --port 99999", "99999 is not in the range 1<=x<=65535"),
        ("ui --prot 1", "No such option"),
        ("predict --top 0 a.png", "0 is not in the range x>=1"),
    ],
)
def test_a_command_that_is_mistyped_gets_one_message(said, command, message):
    text = said(command)
    assert message in text
    assert "Try `python -m pipeline" in text


def test_ctrl_c_exits_with_130(invoke, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.commands.lookup.lookup", interrupt)
    assert invoke("lookup") == (130, "\ninterrupted\n")


def test_the_shell_can_complete_it():
    words = {"COMP_WORDS": "pipeline re", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline"],
        env={**os.environ, **words, "_PIPELINE_COMPLETE": "bash_complete"},
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["plain,report"]


def damage_metrics(folder):
    write_results(folder, seeds=[0])
    (folder / "outputs/evaluation/model-dropblock-0/metrics.json").write_text("{")


def damage_prepared(folder):
    truncate(folder / "data/prepared/images.npy", 100)


# One case of each kind; each package's own tests have the rest. Whether data is prepared before,
# what is done to the folder, the command, and the expected message.
BAD_INPUT = {
    "no params file": (
        False, lambda w: (w / "params.yaml").unlink(), "prepare", "params.yaml not found; run this",
    ),
    "a wrong value": (
        False, lambda w: set_params(w, data__limit=-1), "prepare",
        "data.limit = -1: input should be greater than or equal to 1",
    ),
    "no data there": (
        False, lambda w: set_params(w, data__source="cifar100", data__path="nowhere"), "prepare",
        "not found; give a folder or archive of CIFAR-100",
    ),
    "a split that cannot be made": (
        False, lambda w: set_params(w, data__validation_fraction=0.001), "prepare",
        "data.validation_fraction = 0.001",
    ),
    "a file in the way": (
        False, lambda w: (w / "data").write_text(""), "prepare",
        "check its permissions",
    ),
    "no prepared data": (
        False, lambda w: None, "train model-dropblock-0", "metadata.json cannot be read",
    ),
    "prepared data cut off": (
        True, damage_prepared, "train model-dropblock-0", "prepared cannot be read",
    ),
    "a batch larger than the data": (
        True, lambda w: set_params(w, data__limit=120, model__batch_size=200),
        "train model-dropblock-0", "model.batch_size = 200: there are only",
    ),
    "a batch larger than the data can be": (
        False, lambda w: set_params(w, recipe__batch_size=2000), "check",
        "baseline.batch_size = 2000: there are only 1437",
    ),
    "nothing trained": (True, lambda w: None, "evaluate model-dropblock-0", "cannot be read"),
    "no results": (True, lambda w: None, "report", "no results for baseline-dropblock-0"),
    "damaged results": (False, damage_metrics, "report", "metrics.json cannot be read"),
    "a picture that is none": (
        True, lambda w: (w / "a.png").write_text("hello"), "predict a.png",
        "a.png is not a PNG, JPEG or WebP image",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_message_and_loses_nothing(said, workspace, invoke, case):
    prepared, damage, command, message = BAD_INPUT[case]
    if prepared:
        set_params(workspace, data__limit=120)
        assert invoke("prepare")[0] == 0
    damage(workspace)
    (workspace / "reports").mkdir(exist_ok=True)
    (workspace / "reports/report.md").write_text("the report of before")
    assert message in said(command)
    assert (workspace / "reports/report.md").read_text() == "the report of before"
    assert not (workspace / "mlflow.db").exists()


def test_a_network_that_breaks_its_contract_leaves_no_run(said, workspace, invoke, monkeypatch):
    from pipeline.networks import model

    set_params(workspace, data__limit=120)
    assert invoke("prepare")[0] == 0
    monkeypatch.setattr(model, "NETWORK", dataclasses.replace(model.NETWORK, build=lambda *_: 3))
    text = said("train model-dropblock-0")
    assert text.startswith(f"error: {model.__file__}: build must return a keras.Model")
    assert text.endswith("it returned int\n")
    assert not (workspace / "mlflow.db").exists()
    assert not (workspace / "outputs").exists()


def test_a_training_of_a_network_without_a_section_is_refused(said, workspace, invoke):
    set_params(workspace, data__limit=120)
    assert invoke("prepare")[0] == 0
    text = said("train sprint-dropblock-0")
    assert "params.yaml has no section `sprint`; add one; `sprint: {}` is enough" in text


def test_params_that_are_fine_are_said_to_be(workspace, invoke):
    set_params(workspace, train__seeds=[0, 3])
    (workspace / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    code, text = invoke("check")
    assert code == 0
    trainings = "baseline-dropblock-0, baseline-dropblock-3, resnet-dropblock-0, resnet-dropblock-3"
    assert text == f"params.yaml is valid; its trainings are {trainings}\n"


def test_a_folder_without_git_is_told_what_it_lacks(said, workspace, invoke):
    assert "is not a git repository, which DVC needs for experiments" in said("check")
    (workspace / ".git").mkdir()
    assert invoke("check")[0] == 0


def test_it_works_in_the_folders_inside_the_project(workspace, refused, monkeypatch):
    set_params(workspace)
    (workspace / "dvc.yaml").write_text("stages: {}\n")
    (workspace / "inside").mkdir()
    monkeypatch.chdir(workspace / "inside")
    said = refused("export", "a.onnx")
    assert f"{workspace / 'inside/a.onnx'} does not end with .tflite" in said


@pytest.mark.usefixtures("cifar100_folder")
def test_a_malicious_pickle_is_not_run(said, workspace):
    folder = workspace / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test", "meta"):
        (folder / name).write_bytes(pickle.dumps(Evil()))
    set_params(workspace, data__source="cifar100", data__path=str(folder))
    text = said("prepare")
    assert "train" in text
    assert "owned" not in text


@pytest.mark.slow
def test_pictures_are_classified_by_a_training_of_this_folder(workspace, invoke, tiny_params):
    from pipeline.networks.shared.models import build_model

    set_params(workspace, data__limit=120)
    assert invoke("prepare")[0] == 0
    folder = workspace / "outputs/models/model-dropblock-0"
    folder.mkdir(parents=True)
    build_model("model", tiny_params.recipe("model"), 10, 32).save(folder / "best.keras")
    digest = json.loads((workspace / "data/prepared/metadata.json").read_text())["digest"]
    facts = {"digest": digest, "training": "", "watched": "val", "name": ""}
    (workspace / "outputs/facts").mkdir()
    (workspace / "outputs/facts/model-dropblock-0.json").write_text(json.dumps(facts))
    for mode, name in [("CMYK", "a.jpg"), ("L", "b.png")]:
        Image.new(mode, (50, 40)).save(workspace / name)
    code, text = invoke("predict", "--model", "model-dropblock-0", "--top", 3, "a.jpg", "b.png")
    assert code == 0
    fitted, *others = [line for line in text.splitlines() if "%" not in line]
    assert fitted == "Each picture was cropped to its central square and resized to 32x32 pixels."
    pictures = [line for line in others if not line.startswith(" ")]
    assert pictures == ["a.jpg", "b.png"]
    white = "unlike the data: brightness 255 (in the data "
    assert text.count(white) == 1
    assert text.count("%") == 6
