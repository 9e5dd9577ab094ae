import sys
from pathlib import Path

import pytest

from pipeline.core import declarations
from pipeline.core.errors import UserError


def test_the_networks_are_the_files_of_their_folder():
    files = Path(declarations.__file__).parents[1].glob("networks/[!_]*.py")
    assert list(declarations.network_names()) == sorted(file.stem for file in files)
    assert {"baseline", "model", "sprint"} <= set(declarations.network_names())
    assert declarations.display_name("model") == "resnet"


def test_a_file_that_declares_nothing_is_named(tmp_path, monkeypatch):
    (tmp_path / "empty_network.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(declarations, "NETWORKS_PACKAGE", "tests_networks")
    package = type(sys)("tests_networks")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "tests_networks", package)
    with pytest.raises(UserError, match=r"empty_network.py declares no NETWORK = Network"):
        declarations.find_network("empty_network")
