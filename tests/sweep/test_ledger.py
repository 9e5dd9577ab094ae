import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.sweep.ledger import Ledger, Objects, Record, merge
from pipeline.versioning.repository import read_lock, write_lock
from pipeline.versioning.storage import Storage, local_storage


def record(run_id="r", label="model-dropblock-0", **stages):
    return Record(label, run_id, 1.5, 20.0, stages)


@pytest.fixture(params=["folder", "object store"])
def storage(request, tmp_path):
    """A folder, and fsspec's store in memory as an object store that has no links."""
    if request.param == "folder":
        return local_storage(tmp_path / "ledger")
    return Storage(MemoryFileSystem(), str(tmp_path))


def test_the_first_record_counts(storage):
    ledger = Ledger(storage)
    assert ledger.get("k") is None
    assert ledger.add("k", record("first")) == record("first")
    assert ledger.add("k", record("second")) == record("first")
    assert Ledger(storage).get("k") == record("first")
    ledger.add("other", record("second"))
    assert ledger.get("other").run_id == "second"


def test_a_result_that_was_removed_can_be_written_again(storage):
    ledger = Ledger(storage)
    ledger.add("k", record("first"))
    ledger.remove("k")
    assert ledger.add("k", record("second")).run_id == "second"


def test_of_many_at_once_all_get_the_same_record(tmp_path):
    ledger = Ledger(local_storage(tmp_path / "ledger"))
    with ThreadPoolExecutor(16) as pool:
        for key in map(str, range(20)):
            won = list(pool.map(lambda i, k=key: ledger.add(k, record(str(i))), range(16)))
            assert len({each.run_id for each in won}) == 1
    assert len(list((tmp_path / "ledger").iterdir())) == 20  # no partial files


def put(folder, md5, content="x"):
    path = folder / "files/md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_objects_that_are_not_there_are_named_those_of_folders_too(tmp_path):
    stages = {"train": {"outs": [{"md5": "aa11"}, {"md5": "bb22.dir"}]}}
    objects = Objects(local_storage(tmp_path))
    assert objects.missing(stages) == ["aa11", "bb22.dir"]
    put(tmp_path, "aa11")
    put(tmp_path, "bb22.dir", json.dumps([{"md5": "cc33", "relpath": "x"}]))
    assert objects.missing(stages) == ["cc33"]
    put(tmp_path, "cc33")
    assert objects.missing(stages) == []


def test_the_entries_of_records_make_a_dvc_lock(tmp_path):
    assert read_lock(tmp_path) == {}
    write_lock(tmp_path, merge([record(prepare={"cmd": "p"}, a={"cmd": "a"}), record(b={})]))
    assert read_lock(tmp_path) == {"prepare": {"cmd": "p"}, "a": {"cmd": "a"}, "b": {}}
