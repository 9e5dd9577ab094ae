import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

LOAD = """
import os, sys
from pipeline.core.loading import quiet_loading
with quiet_loading():
    {}
print("after", file=sys.stderr)
"""
SAY = "os.write(2, b'{}\\n')"


def said(inside, **environment):
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(inside)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, env=environment or None,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.slow
def test_keras_is_loaded_without_a_word_and_without_packages_that_it_does_not_need():
    code = (
        "import sys; from pipeline.core.loading import load_keras; load_keras(); "
        "assert {'keras', 'tensorflow'} <= sys.modules.keys(); "
        "assert not {'sklearn', 'matplotlib'} & sys.modules.keys(); "
        "import sklearn, matplotlib.pyplot"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "line", ["E0000 00:00 a.cc:1] broken", "F0000 no AVX", "Traceback", "I see"]
)
def test_errors_and_what_is_no_log_line_stay(line):
    assert said(SAY.format(line)) == (0, f"{line}\nafter\n")


@pytest.mark.parametrize("line", ["I0000 00:00 port.cc:153] oneDNN", "W0000 00:00 a.cc:1] slow"])
def test_lower_levels_are_left_out(line):
    assert said(SAY.format(line)) == (0, "after\n")


def test_the_last_words_of_a_load_that_crashes_arrive():
    code, text = said(f"{SAY.format('F0000 this processor is too old')}; os.abort()")
    assert code < 0
    assert "this processor is too old" in text


def test_an_error_while_loading_ends_the_filter():
    code, text = said("raise ImportError('no such library')")
    assert code == 1
    assert "ImportError: no such library" in text


def test_without_grep_nothing_is_left_out(tmp_path):
    code, text = said(SAY.format("I0000 hello"), PATH=str(tmp_path))
    assert (code, text) == (0, "I0000 hello\nafter\n")
