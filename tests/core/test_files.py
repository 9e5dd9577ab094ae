import hashlib

import pytest

from pipeline.core.errors import UserError
from pipeline.core.files import (
    hash_file,
    project_root,
    read_json,
    read_yaml,
    work_folder,
    write_json,
)


def test_the_main_repository_is_found_from_a_folder_in_it_and_named_by_dvc(workspace, monkeypatch):
    below = workspace / "a/b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert project_root() == workspace
    assert work_folder() == workspace / ".training"
    monkeypatch.setenv("DVC_ROOT", str(below))
    assert project_root() == below


def test_json_comes_back_as_it_was_written(tmp_path):
    values = {"a": [1, 2.5, None], "b": {"c": "d"}}
    write_json(tmp_path / "folder/values.json", values)
    assert read_json(tmp_path / "folder/values.json") == values


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "3"])
def test_json_that_is_missing_or_damaged_is_named_with_the_way_out(tmp_path, content):
    file = tmp_path / "values.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=r"values.json cannot be read \(.*run `dvc repro`"):
        read_json(file)


def test_a_files_digest_is_that_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 9_000  # more than is read at once
    (tmp_path / "a").write_bytes(content)
    assert hash_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    assert hash_file(tmp_path / "a", "md5") == hashlib.md5(content).hexdigest()


def test_yaml_is_read_with_its_types_and_without_a_mark_of_byte_order(tmp_path):
    (tmp_path / "a.yaml").write_text("\ufeffmodel:\n  width: 1e-3\n  on: no\n  list: [1, null]\n")
    assert read_yaml(tmp_path / "a.yaml") == {
        "model": {"width": 1e-3, "on": "no", "list": [1, None]}
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("model:\n  width: 1\n  width: 2\n", "is not valid YAML: line 3"),
        ("model:\n\twidth: 1\n", "is not valid YAML: line 2"),
        ("model: [", "is not valid YAML"),
        ("data:\n  path: 2024-13-45\n", "is not valid YAML"),
        ("data:\n  path: !!bool maybe\n", "is not valid YAML"),
        ("- 1\n", "must hold sections"),
        ("", "must hold sections"),
        (b"\xff\xfe\x00\x01", "cannot be read"),
    ],
)
def test_what_is_no_yaml_of_sections_is_refused(tmp_path, text, shown):
    file = tmp_path / "params.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=f"params.yaml {shown}"):
        read_yaml(file)


def test_a_folder_and_nothing_in_place_of_a_yaml_file_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"params.yaml not found; .*`git checkout .*params.yaml`"):
        read_yaml(tmp_path / "params.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path)
