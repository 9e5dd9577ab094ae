import subprocess

import pytest


def git(*arguments):
    """Run git in the current folder; return what it says."""
    user = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    done = subprocess.run(["git", *user, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def commit(workspace):
    """Commit all files of a new repository, on the branch or as a DVC experiment of its head."""
    git("init", "-q")
    (workspace / ".gitignore").write_text(".dvc\n.training\n")

    def make(experiment=None):
        git("add", "-A")
        if experiment is None:
            git("commit", "-qm", "more")
            return git("rev-parse", "HEAD")
        head = git("rev-parse", "HEAD")
        revision = git("commit-tree", git("write-tree"), "-p", head, "-m", experiment)
        git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{experiment}", revision)
        return revision

    return make
