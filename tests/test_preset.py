import shlex

import pytest

from pipeline import preset
from pipeline.errors import UserError
from pipeline.params import check_params, read_yaml
from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "params.yaml").read_text()
PRESETS = sorted((REPOSITORY / "presets").glob("*.yaml"))


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["preset", *arguments])
    preset.main()


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(TEXT)
    (tmp_path / "presets").symlink_to(REPOSITORY / "presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_quick_is_the_committed_params_file():
    changes = dict(preset.leaves(read_yaml(REPOSITORY / "presets/quick.yaml")))
    assert preset.apply(TEXT, changes) == TEXT


def test_each_preset_sets_the_same_keys_so_that_no_trace_of_another_stays():
    keys = [set(dict(preset.leaves(read_yaml(file)))) for file in PRESETS]
    assert len(keys) >= 2
    assert all(other == keys[0] for other in keys)


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_each_preset_gives_valid_params(file):
    changes = dict(preset.leaves(read_yaml(file)))
    values = preset.YAML(typ="safe").load(preset.apply(TEXT, changes))
    values["data"]["path"] = values["data"]["path"] or "somewhere"
    check_params(values)


def test_there_and_back_leaves_every_byte_in_place(project, monkeypatch, capsys):
    run(monkeypatch, "tutorial", "data.path=/data/cifar")
    changed = (project / "params.yaml").read_text()
    printed = capsys.readouterr().out
    assert "+  path: /data/cifar " in printed
    assert "-  width: 0.125 " in printed
    assert changed.count("#") == TEXT.count("#")
    run(monkeypatch, "quick", "data.path=null")
    assert (project / "params.yaml").read_text() == TEXT
    run(monkeypatch, "quick")
    assert capsys.readouterr().out.endswith("no change\n")


def test_flags_are_what_dvc_takes_and_leave_the_file_alone(project, monkeypatch, capsys):
    run(monkeypatch, "tutorial", "train.seeds=[0, 1]", "data.limit=null", "--flags")
    flags = shlex.split(capsys.readouterr().out)
    assert flags[::2] == ["-S"] * (len(flags) // 2)
    assert "model.width=1.0" in flags
    assert "train.seeds=[0,1]" in flags
    assert "data.limit=null" in flags
    assert (project / "params.yaml").read_text() == TEXT


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.wdth=1", "model.wdth is not a key of params.yaml"),
        ("width=1", "width is not a key"),
        ("model.width", "give overrides as key=value"),
        ("model.width=0", "model.width = 0: must be a number above 0"),
    ],
)
def test_wrong_overrides_are_refused_and_change_nothing(
    project, monkeypatch, capsys, override, message
):
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, "quick", override)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert (project / "params.yaml").read_text() == TEXT


def test_an_override_is_read_as_yaml():
    assert preset.parse_override("train.seeds=[1,2]") == ("train.seeds", [1, 2])
    assert preset.parse_override("data.path=a=b") == ("data.path", "a=b")
    with pytest.raises(UserError):
        preset.parse_override("data.path")
