import importlib
import sys
from pathlib import Path

import pytest

from pipeline import networks
from pipeline.core.errors import UserError

LIKE_THE_BASELINE = "from pipeline.networks.baseline import NETWORK\n"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write own.py, a network of a user's, into a folder that is searched like networks/."""
    monkeypatch.setattr(networks, "FOLDER", tmp_path)
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])

    def write(code):
        (tmp_path / "own.py").write_text(code)
        importlib.invalidate_caches()
        return tmp_path / "own.py"

    networks.network_names.cache_clear()
    yield write
    networks.network_names.cache_clear()
    sys.modules.pop("pipeline.networks.own", None)
    vars(networks).pop("own", None)


def test_the_networks_are_the_files_of_their_folder():
    files = Path(networks.__file__).parent.glob("[!_]*.py")
    assert list(networks.network_names()) == sorted(file.stem for file in files)
    assert {"baseline", "model", "sprint"} <= set(networks.network_names())
    assert networks.display_name("model") == "resnet"


def test_a_file_more_is_a_network_more(own):
    own(LIKE_THE_BASELINE)
    assert networks.network_names() == ("own",)
    assert networks.find_network("own").display_name == "baseline"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", ".py does not define NETWORK = Network"),
        ("NETWORK = 3\n", ".py does not define NETWORK = Network"),
        ("\ndef build(:\n", ".py, line 2: SyntaxError: invalid syntax"),
        ("a = 1\nb = a / 0\n", ".py, line 2: ZeroDivisionError: division by zero"),
        ("import no_such_library\n", ".py, line 1: ModuleNotFoundError: No module named"),
        ("def f():\n    g()\n\nf()\n", ".py, line 2: NameError: name 'g' is not defined"),
    ],
)
def test_a_file_that_declares_none_or_has_an_error_is_named_with_its_line(own, code, message):
    file = own(code)
    with pytest.raises(UserError) as caught:
        networks.find_network("own")
    assert str(caught.value).startswith(f"{file.with_suffix('')}{message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_was_mended_is_found(own):
    own("1 / 0\n")
    with pytest.raises(UserError):
        networks.find_network("own")
    own(LIKE_THE_BASELINE)
    assert networks.find_network("own").display_name == "baseline"
