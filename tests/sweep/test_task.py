import shutil
import threading

import pytest

from pipeline.sweep.scratch import process_lock, scratch_folder
from pipeline.sweep.task import thread_limits
from pipeline.versioning import storage
from pipeline.versioning.storage import with_retries


def test_a_scratch_folder_is_gone_afterwards_and_those_of_the_killed_with_it(tmp_path):
    with scratch_folder(tmp_path) as killed:
        (killed / "clone").mkdir()
        left = shutil.copytree(killed, killed.with_name("left"))
        left.with_name("left.lock").touch()
        with scratch_folder(tmp_path) as other:
            assert other != killed
            assert killed.is_dir()  # its process lives
            assert not left.exists()
    assert list((tmp_path / ".dvc/tmp/sweep").iterdir()) == []


def test_on_a_cluster_scratch_folders_are_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder(None) as folder:
        assert folder.parent.parent == tmp_path
    assert not folder.exists()


def test_of_two_sweeps_one_waits_for_the_others_training(tmp_path):
    order, waiting = [], threading.Event()

    def say(line):
        order.append(line)
        waiting.set()

    def second():
        with process_lock(tmp_path, "key", say):
            order.append("second")

    with process_lock(tmp_path, "key", say), process_lock(tmp_path, "another", say):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(300)
        order.append("first")
    thread.join()
    assert order == ["waiting for another sweep of this repository, which does the same",
                     "first", "second"]  # fmt: skip


def test_threads_are_limited():
    assert set(thread_limits(3).values()) == {"3"}
    assert "TF_NUM_INTRAOP_THREADS" in thread_limits(3)


def test_a_storage_that_comes_back_in_time_loses_nothing(monkeypatch):
    monkeypatch.setattr(storage, "PAUSES", (0.0, 0.0))
    answers = iter([OSError("gone"), OSError("gone"), "there"])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert with_retries(ask) == "there"
    answers = iter([OSError(str(i)) for i in range(3)])
    with pytest.raises(OSError, match="2"):
        with_retries(ask)
