"""`make audit` tells packages without known vulnerabilities from those that were not looked up."""

import json
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

FINE = {"name": "fine", "version": "1", "vulns": []}
FLAW = {"id": "CVE-1", "fix_versions": ["3", "4"]}
FLAWED = {"name": "flawed", "version": "2", "vulns": [FLAW, {"id": "CVE-2", "fix_versions": []}]}
SKIPPED = {"name": "skipped", "skip_reason": "not found on PyPI"}


def audit(given):
    command = [sys.executable, str(REPOSITORY / ".ci/audit"), "a.lock"]
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("packages", "code", "lines"),
    [
        ([FINE], 0, ["a.lock: 1 of 1 packages looked up, 0 known vulnerabilities"]),
        (
            [FINE, SKIPPED],
            1,
            [
                "a.lock: 1 of 2 packages looked up, 0 known vulnerabilities",
                "  1 not looked up, the first because: not found on PyPI",
            ],
        ),
        (
            [FLAWED],
            1,
            [
                "a.lock: 1 of 1 packages looked up, 2 known vulnerabilities",
                "  flawed 2: CVE-1, fixed in 3, 4",
                "  flawed 2: CVE-2, fixed in no version",
            ],
        ),
    ],
)
def test_what_was_found_and_what_was_not_looked_up(packages, code, lines):
    found, said = audit(json.dumps({"dependencies": packages}))
    assert (found, said.splitlines()) == (code, lines)


def test_pip_audit_that_fails_has_looked_nothing_up():
    assert audit("") == (1, "a.lock: not looked up; pip-audit did not run\n")


def test_every_locked_package_has_its_hashes_and_no_address():
    locks = sorted(REPOSITORY.glob("requirements*.lock"))
    assert len(locks) == 3
    for lock in locks:
        entries = lock.read_text().replace("\\\n", " ").splitlines()
        assert len(entries) > 20
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
        assert "://" not in lock.read_text()
