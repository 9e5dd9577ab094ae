import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.core.records import Prepared, save_prepared
from pipeline.data.datasets import load_digits


def test_prepared_splits_come_back_as_they_were_saved(tmp_path):
    records = load_digits().train
    splits = {"train": records[:50], "val": records[50:70], "test": records[70:75]}
    digest = save_prepared(tmp_path, splits, {"params": {"source": "digits"}, "class_names": []})
    prepared = Prepared(tmp_path)
    for name, expected in splits.items():
        np.testing.assert_array_equal(prepared[name], expected)
    assert prepared.metadata["digest"] == digest


def test_the_digest_tells_content_and_splits_apart(tmp_path):
    records = load_digits().train[:30].copy()

    def digest(train, val):
        return save_prepared(tmp_path, {"train": train, "val": val, "test": records[:0]}, {})

    first = digest(records[:20], records[20:])
    assert digest(records[:20], records[20:]) == first
    assert digest(records[:21], records[21:]) != first
    records["image"][3, 0, 0, 0] ^= 1
    assert digest(records[:20], records[20:]) != first


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_missing_or_damaged_prepared_data_says_how_to_make_it(tmp_path, content):
    if content:
        (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(UserError, match="run `dvc repro prepare`"):
        Prepared(tmp_path)
