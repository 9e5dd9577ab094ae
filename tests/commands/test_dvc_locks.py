import json
import os
import subprocess
import sys

import pytest
from dvc.repo import Repo

from pipeline.commands.dvc_locks import is_dead, release_dead_locks
from pipeline.core.errors import UserError

DEAD = 999_999_999


@pytest.fixture
def locks(workspace):
    """The file of DVC's locks in a repository without git."""
    (workspace / ".dvc").rmdir()
    Repo.init(str(workspace), no_scm=True).close()
    return workspace / ".dvc/tmp/rwlock"


def holder(pid):
    return {"pid": pid, "cmd": f"dvc repro of {pid}"}


def test_dead_processes_are_taken_out_and_living_ones_stay(locks):
    mine = holder(os.getpid())
    locks.write_text(json.dumps({
        "read": {"a": [holder(DEAD), mine], "b": [holder(DEAD)]},
        "write": {"c": holder(DEAD), "d": mine},
    }))  # fmt: skip
    assert release_dead_locks() == [
        f"released what dead process {DEAD} (dvc repro of {DEAD}) held of DVC's locks"
    ]
    assert json.loads(locks.read_text()) == {"read": {"a": [mine]}, "write": {"d": mine}}
    assert release_dead_locks() == []


def test_a_process_with_the_number_of_a_dead_one_is_known_by_when_it_began(locks):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        locks.write_text(json.dumps({"write": {"a": holder(child.pid)}}))
        assert release_dead_locks() == []
        os.utime(locks, (0, 0))  # written before there was such a process
        assert len(release_dead_locks()) == 1
    finally:
        child.communicate(b"\n")
    assert is_dead(child.pid, 2e9)


def test_without_locks_there_is_nothing_to_do(locks):
    assert release_dead_locks() == []


def test_a_damaged_file_is_named_with_the_way_out(locks):
    locks.write_text("{")
    with pytest.raises(UserError, match=r"DVC's locks cannot be read .* remove .dvc/tmp/rwlock"):
        release_dead_locks()
