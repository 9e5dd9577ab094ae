from types import SimpleNamespace

import pytest
from ray.job_submission import JobStatus

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


def test_the_whole_output_is_printed_but_requested_rarely(monkeypatch, capsys):
    clock, requests = [0.0], []
    monkeypatch.setattr(
        jobs,
        "time",
        SimpleNamespace(
            monotonic=lambda: clock[0], sleep=lambda s: clock.__setitem__(0, clock[0] + s)
        ),
    )

    def status(_):
        requests.append("status")
        ended = JobStatus.RUNNING if clock[0] < 25 else JobStatus.FAILED
        return SimpleNamespace(status=ended, message="no such folder\nits log")

    def logs(_):
        requests.append("logs")
        return "".join(f"line {second}\n" for second in range(int(clock[0]) + 1))

    jobs._follow(SimpleNamespace(get_job_info=status, get_job_logs=logs), "job")
    said = capsys.readouterr()
    assert said.out == "".join(f"line {second}\n" for second in range(26))
    assert said.err == "job job: FAILED (no such folder)\n"
    assert (requests.count("status"), requests.count("logs")) == (26, 4)  # at 0, 10, 20 and the end
