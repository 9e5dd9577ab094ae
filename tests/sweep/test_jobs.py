import pytest

from pipeline.commands.servers import free_port
from pipeline.core.errors import UserError
from pipeline.sweep import jobs
from pipeline.sweep.jobs import Job
from pipeline.sweep.task import Place
from pipeline.versioning.snapshot import Snapshot


def test_a_cluster_that_does_not_answer_is_one_message(tmp_path):
    job = Job([], {}, Place(None, Snapshot(b"", "", "", ""), {}), 1)
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UserError, match=f"--on {address}: the cluster's job server fails: "):
        jobs.run(address, job, "tag", tmp_path)
