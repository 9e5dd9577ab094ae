"""Two rounds of `make chaos`: runs of `dvc repro` with four faults each, of different kinds."""

import subprocess

import pandas as pd
import pytest

from tests.chaos.__main__ import NAMESPACES, attempt, make_project, uninterrupted
from tests.chaos.ways import PARAMS, WAYS

pytestmark = pytest.mark.slow
ROUNDS = (40, 76)  # of the first way; their faults are of eight kinds

needs_namespaces = pytest.mark.skipif(
    subprocess.run(
        ["sh", "-c", " ".join([*NAMESPACES, "mount", "-t", "tmpfs", "none", "/mnt"])],
        capture_output=True, check=False,
    ).returncode,
    reason="this machine does not let users mount file systems in namespaces of their own",
)  # fmt: skip


@needs_namespaces
def test_eight_faults_change_nothing_in_the_result(tmp_path):
    make_project(tmp_path / "clean", **PARAMS)
    whole = {WAYS[0].name: uninterrupted(tmp_path, WAYS[0])}
    rows = [row for number in ROUNDS for row in attempt(tmp_path, number, whole)]
    faults = pd.DataFrame(rows)
    print(faults.to_string())
    # A run may end before its last fault; without a checkpoint to damage, it is a power cut.
    assert len(faults) >= 6 and faults["fault"].nunique() >= 5
    assert not faults["traceback"].any()
    assert set(faults["verdict"]) <= {"survived", "repaired"}, faults["lost"].tolist()
