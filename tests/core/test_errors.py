import pytest
from requests import HTTPError

from pipeline.core.errors import Terminated, UserError, first_line, run_command


def failing(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("a.txt is empty"), 2, "error: a.txt is empty"),
        (FileNotFoundError(2, "No such file", "b.txt"), 2, "error: b.txt: No such file; restore"),
        (
            PermissionError(13, "Permission denied", "b.txt"),
            2,
            "error: b.txt: Permission denied; c",
        ),
        (OSError(28, "No space left"), 2, "error: a file: No space left; check"),
        (HTTPError("500 for url: http://a/b"), 2, "error: 500 for url: http://a/b; check the serv"),
        (ConnectionError("no answer"), 2, "error: no answer; check that the server runs"),
        (BrokenPipeError(32, "Broken pipe"), 2, "error: [Errno 32] Broken pipe; check that the s"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated(), 143, "terminated"),
    ],
)
def test_what_stops_a_command_is_one_line_and_a_code(capsys, error, code, message):
    assert run_command(failing(error)) == code
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1


def test_a_command_that_ends_well_has_its_own_code():
    assert run_command(lambda: None) == 0
    assert run_command(lambda: 1) == 1


def test_a_fault_of_the_program_is_shown_as_one():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0)


def test_the_first_line_of_an_error_is_the_first_with_text():
    assert first_line(ValueError("\n \nfoo\nbar")) == "foo"
    assert first_line(ValueError()) == first_line(ValueError("\n")) == "ValueError"
