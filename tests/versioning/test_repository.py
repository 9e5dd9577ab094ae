import io

import pytest
from ruamel.yaml import YAML

from pipeline.core.errors import UserError
from pipeline.core.git import git
from pipeline.versioning.repository import (
    experiment_ref,
    load_fast,
    parse_lock,
    read_blobs,
    read_lock,
    write_lock,
)

STAGES = {"report": {"cmd": "x", "outs": [{"path": "a", "md5": "0" * 32, "size": 1}]}}


def test_a_lock_comes_back_as_it_was_written_and_is_what_dvc_reads(workspace):
    assert read_lock(workspace) == {}
    write_lock(workspace, STAGES)
    assert read_lock(workspace) == STAGES
    written = YAML(typ="safe").load((workspace / "dvc.lock").read_text())
    assert written == {"schema": "2.0", "stages": STAGES}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"schema: '2.0'\n",
        b"- a\n",
        b"<<<<<<< HEAD\na: 1\n=======\n",
        b"a: [",
        b"\xff",
        b"schema: '2.0'\nstages: {train: {cmd: a, outs: [{path: b, nFiles: 1}]}}\n",
    ],
)
def test_a_damaged_lock_is_named_with_the_way_out(content):
    with pytest.raises(
        UserError, match=r"^lock of x is damaged; restore it with `git checkout dvc.lock`"
    ):
        parse_lock(content, "lock of x")


def test_yaml_is_read_as_ruamel_reads_what_dvc_writes():
    values = {"a": 0.05, "b": [0, 1, -20, "12:30", "1:2.5"], "c": None, "e": True, "f": 1e-05,
              "g": 1e22, "md5": ["1" * 32, "1" * 16 + "e" + "2" * 15, "0e" + "1" * 30]}  # fmt: skip
    stream = io.BytesIO()
    YAML().dump(values, stream)
    assert load_fast(stream.getvalue()) == values
    assert load_fast(b"[yes, No, ON, off, true, False]") == ["yes", "No", "ON", "off", True, False]
    by_hand = b"[1e-05, 1.5e3, -2E+1, .5, 2., 1_000, 0x1F, -.inf, 1.2.3, e5, 1e]"
    assert load_fast(by_hand) == YAML(typ="safe", pure=True).load(by_hand)


def test_git_that_fails_is_a_user_error_unless_told_otherwise(workspace):
    with pytest.raises(UserError, match="git rev-parse HEAD failed in"):
        git(workspace, "rev-parse", "HEAD")
    assert git(workspace, "rev-parse", "--verify", "-q", "HEAD", check=False) == ""


def test_many_files_of_git_are_read_by_one_process(workspace, commit):
    contents = {"a": b"one\n", "b": b"", "c d": "ä\n\n".encode(), "e": b"\0\xff"}
    for name, content in contents.items():
        (workspace / name).write_bytes(content)
    commit()
    asked = [f"HEAD:./{name}" for name in ("a", "missing", "b", "c d", "e", "also missing")]
    found = list(read_blobs(workspace, asked))
    assert found == [contents["a"], None, contents["b"], contents["c d"], contents["e"], None]
    assert list(read_blobs(workspace, [])) == []


def test_the_reference_of_an_experiment_is_dvcs():
    from dvc.repo.experiments.refs import ExpRefInfo

    head = "f00d" * 10
    assert experiment_ref(head, "block-7") == str(ExpRefInfo(head, "block-7"))
