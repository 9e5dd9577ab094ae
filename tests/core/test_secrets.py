from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import UserError, run_command, warn
from pipeline.core.secrets import SHORTEST, masked

SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=SHORTEST, max_size=20)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host:1/x", "http://***@host:1/x"),
        ("(http://user:se/cr@et@host:1/x) is away", "(http://***@host:1/x) is away"),
        ("http://host:1/x?a=1&token=abc&b=2", "http://host:1/x?a=1&token=***&b=2"),
        ("sqlite:////tmp/a@b/mlflow.db", "sqlite:////tmp/a@b/mlflow.db"),
        ("http://host:1/x, ask me@host", "http://host:1/x, ask me@host"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_addresses_lose_their_passwords_and_nothing_else(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize("message", ["{}", "API request to {} failed", "'{}': no route", "x={};"])
@given(secret=SECRET)
def test_no_password_is_left_wherever_it_stands_in_an_address(message, secret):
    secret = f"S3{secret}"  # not part of any word in the message
    for address in (
        f"http://me:{secret}@host:5000/a",
        f"http://me:{quote(secret, safe='')}@host:5000/a",
        f"postgresql://{secret}@host/db",
        f"https://host/?token={quote(secret, safe='')}",
    ):
        shown = masked(message.format(address))
        assert secret not in shown and quote(secret, safe="") not in shown
        assert "host" in shown


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY"])
def test_secrets_of_the_environment_are_masked_in_any_text(monkeypatch, variable):
    monkeypatch.setenv(variable, "open+sesame")
    assert masked("wrong signature of open+sesame") == "wrong signature of ***"


def test_the_parts_that_a_library_cuts_a_password_into_are_masked(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:S3cret/Pass#word@host:5000")
    said = masked("HTTPConnectionPool(host='me', port=S3cret): /Pass")
    assert said == "HTTPConnectionPool(host='me', port=***): /***"


def test_what_stops_a_command_and_warnings_are_masked(capsys):
    def fail():
        raise UserError("http://me:secret@host is away")

    assert str(UserError("http://me:secret@host is away")) == "http://***@host is away"
    assert run_command(fail) == 2
    warn("http://me:secret@host is slow")
    said = capsys.readouterr().err
    assert said == "error: http://***@host is away\nwarning: http://***@host is slow\n"
