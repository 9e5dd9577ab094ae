import os
import pickle

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.data.safe_pickle import load_pickle


class Evil:
    """Unpickling it the usual way runs a command that leaves a file."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_a_command_is_refused_and_the_command_not_run(tmp_path, protocol):
    proof = tmp_path / "proof"
    content = pickle.dumps({b"data": Evil(os.system, f"touch {proof}")}, protocol)
    with pytest.raises(UserError, match=r"train is refused: it refers to (posix|os)\.system"):
        load_pickle(content, "train")
    assert not proof.exists()
    pickle.loads(content)  # the attack is a real one
    assert proof.exists()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (eval, ("1",)),
        (getattr, (1, "real")),
        (np.load, ("/etc/passwd",)),
        (np.frombuffer, (b"1",)),
        (pickle.loads, (b"N.",)),
        (open, ("/etc/passwd",)),
    ],
)
def test_functions_that_look_harmless_are_refused_too(function, arguments):
    with pytest.raises(UserError, match="is refused: it refers to"):
        load_pickle(pickle.dumps(Evil(function, *arguments)), "meta")


def test_an_attribute_behind_an_admitted_name_is_refused():
    """Protocol 4 can spell `numpy.ndarray.tofile` as one name with dots."""
    content = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    with pytest.raises(UserError, match=r"refers to numpy.ndarray.tofile"):
        load_pickle(content, "meta")


def test_only_latin1_byte_strings_are_decoded():
    content = b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR."
    with pytest.raises(UserError, match="encoding 'rot13'"):
        load_pickle(content, "meta")


@pytest.mark.parametrize("protocol", range(6))
def test_what_cifar100_consists_of_comes_back(protocol):
    content = {
        b"data": np.arange(12, dtype=np.uint8).reshape(3, 4),
        b"labels": [1, 2, 3],
        b"names": [b"caf\xe9.png"],
    }
    loaded = load_pickle(pickle.dumps(content, protocol), "train")
    np.testing.assert_array_equal(loaded.pop(b"data"), content.pop(b"data"))
    assert loaded == content


@pytest.mark.parametrize("content", [b"", b"\x80", b"no pickle", b"\x80\x02}q\x00(U\x04data", b"0"])
def test_a_damaged_pickle_is_refused(content):
    with pytest.raises(UserError, match=r"train is (refused|not a complete pickle)"):
        load_pickle(content, "train")


def test_an_array_larger_than_any_memory_is_refused():
    empty = pickle.dumps(np.empty(0, np.uint8), 2)
    bomb = empty.replace(b"K\x00\x85", b"\x8a\x08" + (2**62).to_bytes(8, "little") + b"\x85", 1)
    assert bomb != empty
    with pytest.raises(UserError, match="not a complete pickle"):
        load_pickle(bomb, "train")
