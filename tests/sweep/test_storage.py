import subprocess

import pytest

from pipeline.core.errors import UserError
from pipeline.sweep.command import dvc, user_environment
from pipeline.versioning.storage import local_storage, remote_errors, remote_storage


def run_dvc(folder, *arguments):
    subprocess.run(
        dvc(*arguments), cwd=folder, env=user_environment(), check=True, capture_output=True
    )


def test_dvcs_default_remote_is_the_storage(project, tmp_path):
    run_dvc(project, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    storage = remote_storage(project)
    assert storage.root == str(tmp_path / "remote")
    assert storage.within("a", "b").root == f"{tmp_path}/remote/a/b"
    assert type(storage.files) is type(local_storage(tmp_path).files)


def test_others_can_read_what_one_wrote_into_a_shared_folder(tmp_path):
    local_storage(tmp_path).create("result", b"0.5")
    assert (tmp_path / "result").stat().st_mode & 0o777 == 0o644


def test_without_a_remote_the_way_out_is_named(project):
    with pytest.raises(UserError, match="`dvc remote add --default store s3://"):
        remote_storage(project)


def test_a_remote_without_credentials_is_named_with_the_way_out():
    said = pytest.raises(UserError, match=r"remote bucket cannot be read \(no keys\); check")
    with said, remote_errors(local_storage("bucket")):
        raise LookupError("no keys")  # botocore's errors are no OSError either
