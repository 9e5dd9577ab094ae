from tests.conftest import REPOSITORY


def test_every_locked_package_has_its_hashes_and_no_address():
    locks = sorted(REPOSITORY.glob("requirements*.lock"))
    assert len(locks) == 3
    for lock in locks:
        entries = lock.read_text().replace("\\\n", " ").splitlines()
        assert len(entries) > 20
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
        assert "://" not in lock.read_text()
