from types import SimpleNamespace

from pipeline.core.errors import UserError
from pipeline.sweep.run import finish


class Recorder:
    """A head that can record only block-1."""

    def record(self, point, known):
        if point.name != "block-1":
            raise UserError(f"{point.name} cannot be recorded: git failed")


def test_what_cannot_be_recorded_is_named(capsys):
    points = [SimpleNamespace(name=name, tasks=[]) for name in ("block-1", "block-3")]
    assert finish(Recorder(), points, {}) == ["block-3"]
    said = capsys.readouterr()
    assert said.out == "recorded block-1\n"
    assert said.err.splitlines() == [
        "block-3 cannot be recorded: git failed",
        "not recorded: block-3; repeat the command to retry what failed",
    ]
