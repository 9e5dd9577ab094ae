import errno
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.sweep.ledger import Ledger, Record
from pipeline.versioning.repository import fit_lock
from pipeline.versioning.storage import Storage, local_storage


def record(label="model-dropblock-0", **stages):
    return Record(label, 20.0, stages)


def test_the_first_record_counts(storage):
    ledger = Ledger(storage)
    assert ledger.get("k") is None
    assert ledger.add("k", record("first")) == record("first")
    assert ledger.add("k", record("second")) == record("first")
    assert Ledger(storage).get("k") == record("first")
    ledger.add("other", record("second"))
    assert ledger.get("other").label == "second"


def test_a_result_whose_files_are_gone_can_be_written_again(storage):
    ledger = Ledger(storage)
    ledger.add("k", record("first", train={"outs": [{"md5": "aa11"}]}))
    assert ledger.get("k") is None
    assert ledger.add("k", record("second")).label == "second"


def test_a_disk_that_is_away_costs_no_record(storage, monkeypatch):
    ledger = Ledger(storage)
    written = record("first", train={"outs": [{"md5": "aa11"}]})
    ledger.add("k", written)

    def away(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(type(storage.files), "info", away)
        with pytest.raises(OSError, match="Input/output error"):
            ledger.get("k")
    monkeypatch.setattr(Storage, "missing", lambda *_: [])
    assert ledger.get("k") == written


def test_of_many_at_once_all_get_the_same_record(tmp_path):
    ledger = Ledger(local_storage(tmp_path / "ledger"))
    with ThreadPoolExecutor(16) as pool:
        for key in map(str, range(20)):
            won = list(pool.map(lambda i, k=key: ledger.add(k, record(str(i))), range(16)))
            assert len({each.label for each in won}) == 1
    assert len(list((tmp_path / "ledger/sweep/ledger").iterdir())) == 20  # no partial files


def put(folder, md5, content="x"):
    path = folder / "files/md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_objects_that_are_not_there_are_named_those_of_folders_too(tmp_path):
    stages = {"train": {"outs": [{"md5": "aa11"}, {"md5": "bb22.dir"}]}}
    remote = local_storage(tmp_path)
    assert remote.missing(stages) == ["aa11", "bb22.dir"]
    put(tmp_path, "aa11")
    put(tmp_path, "bb22.dir", json.dumps([{"md5": "cc33", "relpath": "x"}]))
    assert remote.missing(stages) == ["cc33"]
    put(tmp_path, "cc33")
    assert remote.missing(stages) == []


def test_entries_fit_another_experiment_with_the_same_training():
    """Whose network overrides a key of section recipe, and whose data lie elsewhere."""
    stages = {
        "prepare": {"outs": [{"path": "data/prepared", "md5": "old"}]},
        "train@x": {
            "deps": [{"path": "data/prepared", "md5": "old"}, {"path": "pipeline", "md5": "code"}],
            "params": {"params.yaml": {"recipe": {"epochs": 1}, "train.watch": "none"}},
            "outs": [{"path": "outputs/models", "md5": "weights"}],
        },
    }
    data = {"prepare": {"outs": [{"path": "data/prepared", "md5": "new"}]}}
    values = {"recipe": {"epochs": 2}, "train": {"watch": "none"}}
    assert fit_lock(stages, values, data) == {
        **data,
        "train@x": {
            "deps": [{"path": "data/prepared", "md5": "new"}, {"path": "pipeline", "md5": "code"}],
            "params": {"params.yaml": {"recipe": {"epochs": 2}, "train.watch": "none"}},
            "outs": [{"path": "outputs/models", "md5": "weights"}],
        },
    }
