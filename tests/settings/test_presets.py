import itertools
import shutil
import subprocess

import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.core.files import parse_yaml, read_yaml
from pipeline.settings import presets
from pipeline.settings.edits import apply, leaves
from pipeline.settings.params import PARAMS_FILE, check_params, load_params
from tests.conftest import REPOSITORY, quick_params, quick_values

TEXT = quick_params()
NAMES = presets.shared_presets()


@pytest.fixture
def project(workspace):
    (workspace / "params.yaml").write_text(TEXT)
    return workspace


def test_quick_is_the_committed_params_file():
    git = ["git", "show", "HEAD:params.yaml"]
    committed = subprocess.run(git, cwd=REPOSITORY, capture_output=True, check=True).stdout
    assert (presets.FOLDER / "quick.yaml").read_bytes() == committed
    assert committed.decode() == TEXT
    assert len(TEXT.splitlines()) <= 110


@pytest.mark.parametrize("name", NAMES)
def test_each_preset_is_short_and_valid_and_says_what_it_is_for(name):
    text = (presets.FOLDER / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    assert name == presets.DEFAULT or len(text.splitlines()) <= 45
    check_params(presets.preset_values(name))


@pytest.mark.parametrize(("one", "other"), itertools.pairwise([*NAMES, NAMES[0]]))
def test_a_preset_leaves_nothing_of_another_behind(one, other):
    first = parse_yaml(presets.preset_text(one, {}), PARAMS_FILE)
    assert presets.preset_text(other, first) == presets.preset_text(other, {})


def test_a_preset_is_the_default_with_its_differences():
    values, default = presets.preset_values("laptop"), quick_values()
    for key, value in leaves(read_yaml(presets.FOLDER / "laptop.yaml")):
        section, name = key.split(".")
        assert values[section][name] == value
        default[section][name] = value
    assert values == default


@pytest.fixture
def own_presets(project, monkeypatch):
    """A copy of the presets, to change them."""
    folder = shutil.copytree(presets.FOLDER, project / "presets")
    monkeypatch.setattr(presets, "FOLDER", folder)
    return folder


@pytest.mark.parametrize("tuned", [False, True])
def test_what_is_yours_stays(project, own_presets, invoke, tuned):
    (own_presets / "sprint.yaml").unlink()
    own = {"width": 0.5, "logits_scale": 0.2}
    (project / "params.yaml").write_text(
        apply(TEXT, {"data.path": "/data", "model.width": 0.9,
                             **{f"sprint.{key}": value for key, value in own.items()}})
    )  # fmt: skip
    if tuned:
        presets.save_preset(presets.TUNED, read_yaml(PARAMS_FILE), "# Test.")
    assert invoke("preset", "tutorial")[0] == 0
    values = read_yaml(project / "params.yaml")
    assert values.pop("sprint") == own
    assert values["data"].pop("path") == "/data"
    expected = presets.preset_values("tutorial")
    del expected["data"]["path"]
    assert values == expected


def test_a_tuning_of_your_own_network_applies_again(project, own_presets):
    (own_presets / "sprint.yaml").unlink()
    (project / "params.yaml").write_text(apply(TEXT, {"sprint.learning_rate": 0.1}))
    values = {**read_yaml(PARAMS_FILE), "sprint": {"learning_rate": 0.02}}
    presets.save_preset(presets.TUNED, values, "# Test.")
    presets.write_preset(presets.TUNED, [])
    assert read_yaml(project / "params.yaml")["sprint"] == {"learning_rate": 0.02}


def test_there_and_back_leaves_every_byte_in_place(project, invoke):
    _, printed = invoke("preset", "tutorial", "data.path=/data/cifar")
    assert 'data.path: null -> "/data/cifar"\n' in printed
    assert "model.width: 0.125 -> 1.0\n" in printed
    assert (project / "params.yaml").read_text().count("#") == TEXT.count("#")
    invoke("preset", "quick", "data.path=null")
    assert (project / "params.yaml").read_text() == TEXT
    assert invoke("preset", "quick") == (0, "no value changed\n")


def test_a_missing_params_file_is_written(workspace, invoke):
    assert invoke("preset", "quick")[0] == 0
    assert (workspace / "params.yaml").read_text() == TEXT


def test_the_way_back_from_what_dvc_has_written(project, invoke):
    """`dvc exp run -S` breaks up lists and takes `null` away."""
    apply_overrides("params.yaml", ["model.drop_block_size=7", "train.seeds=[0,1]",
                                    "++model.learning_rate=0.1"])  # fmt: skip
    broken_up = (project / "params.yaml").read_text()
    assert "filters:      " in broken_up
    code, printed = invoke("preset", "laptop", "data.pth=/data")
    assert (code, printed.count("\n")) == (2, 1)
    assert (project / "params.yaml").read_text() == broken_up
    assert load_params().recipe("model").learning_rate == 0.1
    _, printed = invoke("preset", "quick", "data.path=null")
    assert (project / "params.yaml").read_text() == TEXT
    assert "train.seeds: [0, 1] -> [0]\n" in printed
    assert "model.learning_rate: 0.1 -> not set\n" in printed


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.wdth=1", "model.wdth is not a known key"),
        ("width=1", "width is not a known key; did you mean model.width?"),
        ("model.width", "write overrides as key=value"),
        ("model.width=0", "model.width = 0: input should be greater than 0"),
        ("data.path=[", "data.path=[: [ is not valid YAML"),
        ("data.path=2024-13-45", "data.path=2024-13-45: 2024-13-45 is not valid YAML"),
    ],
)
def test_wrong_overrides_are_refused_and_change_nothing(project, refused, override, message):
    assert message in refused("preset", "quick", override)
    assert (project / "params.yaml").read_text() == TEXT


def test_a_saved_preset_gives_back_what_was_inherited(own_presets):
    values = quick_values()
    assert values["baseline"].pop("epochs") == 8  # so that it inherits 6
    presets.save_preset(presets.TUNED, values, "# Test.")
    assert check_params(presets.preset_values("tuned")).recipe("baseline").epochs == 6


@pytest.mark.parametrize(
    "content",
    [
        "data: [",
        "",
        "model: 3\n",
        "data: 3\n",
        "- 1\n",
        "train: null\n",
        "data: {limit: 2024-01-01}\n",
    ],
)
@pytest.mark.parametrize(
    ("command", "accepted"),
    [(["preset", "quick"], {"", "model: 3\n", "data: 3\n", "train: null\n",
                            "data: {limit: 2024-01-01}\n"}),
     (["upgrade"], {"train: null\n"})],
)  # fmt: skip
def test_a_broken_params_file_is_no_traceback(workspace, invoke, content, command, accepted):
    (workspace / "params.yaml").write_text(content)
    code, said = invoke(*command)
    assert (code == 0) == (content in accepted), said
    assert code == 0 or (code == 2 and said.startswith("error: params.yaml"))
