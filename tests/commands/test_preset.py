import itertools
import re
import shlex
import subprocess

import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.commands import preset
from pipeline.core.errors import UserError
from pipeline.core.files import read_yaml
from pipeline.networks import network_names
from pipeline.settings.params import check_params, known_keys
from tests.conftest import REPOSITORY, quick_params

TEXT = quick_params()
PRESETS = sorted((REPOSITORY / "presets").glob("*.yaml"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(TEXT)
    (tmp_path / "presets").symlink_to(REPOSITORY / "presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_quick_is_the_committed_params_file():
    git = ["git", "show", "HEAD:params.yaml"]
    committed = subprocess.run(git, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    changes = dict(preset.leaves(read_yaml(REPOSITORY / "presets/quick.yaml")))
    assert preset.apply(committed.stdout, changes) == committed.stdout


@pytest.mark.parametrize(("one", "other"), itertools.permutations(PRESETS, 2), ids=str)
def test_a_preset_leaves_nothing_of_another_behind(one, other):
    first, second = (dict(preset.leaves(read_yaml(file))) for file in (one, other))
    assert preset.apply(preset.apply(TEXT, first), second) == preset.apply(TEXT, second)


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_a_preset_decides_every_key_but_the_place_of_the_data(file):
    chosen = set(dict(preset.leaves(read_yaml(file))))
    known = known_keys()
    for network in set(network_names()) - {"baseline", "model", "sprint"}:
        if not any(key.startswith(f"{network}.") for key in chosen):
            del known[network]  # a user's own, which presets may leave alone
    keys = {f"{section}.{key}" for section, names in known.items() for key in names}
    assert keys - chosen == {"data.path"}


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_each_preset_gives_valid_params(file):
    changes = dict(preset.leaves(read_yaml(file)))
    values = preset.YAML(typ="safe").load(preset.apply(TEXT, changes))
    values["data"]["path"] = values["data"]["path"] or "somewhere"
    check_params(values)


def test_there_and_back_leaves_every_byte_in_place(project, invoke):
    _, printed = invoke("preset", "tutorial", "data.path=/data/cifar")
    changed = (project / "params.yaml").read_text()
    assert "+  path: /data/cifar " in printed
    assert "-  width: 0.125 " in printed
    assert changed.count("#") == TEXT.count("#")
    invoke("preset", "quick", "data.path=null")
    assert (project / "params.yaml").read_text() == TEXT
    assert invoke("preset", "quick") == (0, "no change\n")


def test_the_way_back_from_what_dvc_has_written(project, invoke):
    """`dvc exp run -S` breaks up lists and takes `null` away."""
    apply_overrides("params.yaml", ["model.drop_block_size=7", "train.seeds=[0,1]"])
    broken_up = (project / "params.yaml").read_text()
    assert "filters:      " in broken_up
    code, printed = invoke("preset", "laptop", "data.pth=/data")
    assert (code, printed.count("\n")) == (2, 1)
    assert (project / "params.yaml").read_text() == broken_up
    _, printed = invoke("preset", "quick", "data.path=null")
    assert (project / "params.yaml").read_text() == TEXT
    shown = [line.split("#")[0].split() for line in printed.splitlines()]
    assert shown == [
        ["-", "drop_block_size:", "7"],
        ["+", "drop_block_size:", "5"],
        ["-", "seeds:", "[0,", "1]"],
        ["+", "seeds:", "[0]"],
    ]


def test_flags_are_what_dvc_takes_and_leave_the_file_alone(project, invoke):
    _, printed = invoke("preset", "tutorial", "train.seeds=[0, 1]", "data.limit=null", "--flags")
    flags = shlex.split(printed)
    assert flags[::2] == ["-S"] * (len(flags) // 2)
    assert "model.width=1.0" in flags
    assert "train.seeds=[0,1]" in flags
    assert "data.limit=null" in flags
    assert (project / "params.yaml").read_text() == TEXT


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.wdth=1", "model.wdth is not a key of params.yaml"),
        ("width=1", "width is not a key of params.yaml; did you mean model.width?"),
        ("model.width", "give overrides as key=value"),
        ("model.width=0", "model.width = 0: must be a number above 0"),
        ("data.path=[", "data.path=[: [ is no value in YAML"),
    ],
)
def test_wrong_overrides_are_refused_and_change_nothing(project, invoke, override, message):
    code, said = invoke("preset", "quick", override)
    assert code == 2
    assert message in said
    assert (project / "params.yaml").read_text() == TEXT


def test_an_override_is_read_as_yaml():
    assert preset.parse_override("train.seeds=[1,2]") == ("train.seeds", [1, 2])
    assert preset.parse_override("data.path=a=b") == ("data.path", "a=b")
    with pytest.raises(UserError):
        preset.parse_override("data.path")


def test_an_older_params_file_is_named_as_a_whole_and_brought_up_to_date(project, invoke):
    old = re.sub(r"  networks: \[baseline, model\] *#", "  # no networks yet #", TEXT)
    old = old.replace("  deterministic: false", "  determinism: true").replace(
        "  top_k: 5", "  topk: 3"
    )
    old = old.replace("  clip_norm: 100.0", "  momentum: 0.9\n  clip_norm: 50.0")
    (project / "params.yaml").write_text(old)
    code, said = invoke("prepare")
    assert code == 2
    assert "train.networks, train.deterministic, evaluate.top_k are missing" in said
    assert "evaluate.topk is not a key of params.yaml; did you mean evaluate.top_k?" in said
    assert "`python -m pipeline preset quick --upgrade`" in said
    assert invoke("preset", "quick", "--upgrade")[0] == 0
    values = read_yaml(project / "params.yaml")
    check_params(values)
    assert values["train"]["networks"] == ["baseline", "model"]
    assert values["train"]["deterministic"] is True  # renamed: its value is kept
    assert values["train"]["clip_norm"] == 50.0
    assert values["evaluate"]["top_k"] == 3
    assert "momentum" not in values["train"]


def test_a_section_that_is_missing_or_gone_is_mended_too(project, invoke):
    head, tail = TEXT.split("augment:")
    (project / "params.yaml").write_text(
        f"{head}gone:\n  a: 1\nevaluate:{tail.split('evaluate:')[1]}"
    )
    assert invoke("prepare")[0] == 2
    assert invoke("preset", "quick", "--upgrade")[0] == 0
    check_params(read_yaml(project / "params.yaml"))


def test_an_override_goes_on_top_of_an_upgrade_too(project, invoke):
    old = "".join(line for line in TEXT.splitlines(True) if "top_k" not in line)
    (project / "params.yaml").write_text(old)
    code, _ = invoke("preset", "quick", "--upgrade", "data.limit=300")
    assert code == 0
    values = read_yaml(project / "params.yaml")
    assert (values["evaluate"]["top_k"], values["data"]["limit"]) == (5, 300)
    code, said = invoke("preset", "quick", "--upgrade", "model.epohcs=3")
    assert code == 2
    assert "model.epohcs is not a key" in said


def test_an_older_file_and_a_preset_without_the_upgrade_name_the_way_out(project, invoke):
    old = "".join(line for line in TEXT.splitlines(True) if "  resize:" not in line)
    (project / "params.yaml").write_text(old)
    code, said = invoke("preset", "quick")
    assert code == 2
    assert "augment.resize is missing in params.yaml" in said
    assert "--upgrade" in said


def test_an_upgrade_keeps_order_layout_and_comments(project, invoke):
    lines = TEXT.splitlines(True)
    old = "".join(line for line in lines if "  resize:" not in line and "  seeds:" not in line)
    (project / "params.yaml").write_text(old.replace("  clip_norm:", "  clipnorm:"))
    assert invoke("preset", "quick", "--upgrade")[0] == 0
    new = (project / "params.yaml").read_text().splitlines()
    kept = [line.split("#")[0].rstrip() for line in TEXT.splitlines()]
    assert [line.split("#")[0].rstrip() for line in new] == kept
    assert "# global gradient norm" in next(line for line in new if "clip_norm:" in line)


@pytest.mark.parametrize("content", ["data: [", "", "data:\n", "- 1\n"])
@pytest.mark.parametrize("flag", [[], ["--upgrade"]])
def test_a_broken_params_file_is_no_traceback(project, invoke, content, flag):
    (project / "params.yaml").write_text(content)
    code, said = invoke("preset", "quick", *flag)
    assert code == (0 if content == "data:\n" and flag else 2)
    assert "Traceback" not in said


def test_flags_and_upgrade_do_not_go_together(project, invoke):
    code, said = invoke("preset", "quick", "--flags", "--upgrade")
    assert code == 2
    assert "do not go together" in said
