import pytest

from pipeline.core.errors import UserError
from pipeline.settings.edits import apply, parse_override
from tests.conftest import quick_params


def test_an_override_is_read_as_yaml():
    assert parse_override("train.seeds=[1,2]") == ("train.seeds", [1, 2])
    assert parse_override("data.path=a=b") == ("data.path", "a=b")
    with pytest.raises(UserError):
        parse_override("data.path")


def test_a_value_for_a_whole_section_is_refused():
    with pytest.raises(
        UserError, match=r"data is a section; set its keys one by one, like data\.source="
    ):
        apply(quick_params(), {"data": "foo"})
