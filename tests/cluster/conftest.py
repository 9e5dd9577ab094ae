import os
import re
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from filelock import FileLock
from ray.cluster_utils import Cluster as RayCluster
from ray.job_submission import JobSubmissionClient

from pipeline.commands.servers import free_port
from tests.cluster import services
from tests.cluster.sweeps import EPOCHS
from tests.conftest import ONE_THREAD, TINY, clone_of, make_project, project_in
from tests.waiting import wait_for


def folder_for_ray():
    """Return a temporary folder with a short path, as the names of Ray's sockets must be short."""
    return TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """PostgreSQL, S3, MLflow, a folder for Ray; this process's environment names them."""
    with TemporaryDirectory(prefix="postgres-") as open_folder, folder_for_ray() as ray_folder:
        yield from serve(tmp_path_factory.mktemp("services"), Path(open_folder), ray_folder)


def serve(folder, open_folder, ray_folder):
    """Start the services, name them in the environment, and end them.

    Args:
        open_folder: PostgreSQL's, which its own user can reach.
    """
    postgres, database = services.start_postgres(open_folder)
    s3, s3_address = services.start_s3(folder)
    mlflow, address = services.start_mlflow(folder, database, s3_address)
    environment = {
        **services.ACCESS,
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_TRACKING_USERNAME": services.USER,
        "MLFLOW_TRACKING_PASSWORD": services.PASSWORD,
        **ONE_THREAD,
        "RAY_worker_niceness": "0",
        "RAY_TMPDIR": ray_folder,  # where a job looks up its cluster; other tests have their own
    }
    before = dict(os.environ)
    os.environ.update(environment)
    yield SimpleNamespace(
        database=database, s3=s3, mlflow=mlflow, s3_address=s3_address, environment=environment
    )
    os.environ.clear()
    os.environ.update(before)
    for server in (mlflow, s3, postgres):
        server.stop()


class Cluster:
    """A head without processors and two raylets with one each, of this machine, real processes."""

    def __init__(self):
        self.port = free_port()
        self.ray = RayCluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "include_dashboard": True,
                "dashboard_host": services.HOST,
                "dashboard_port": self.port,
                "dashboard_agent_listen_port": 0,  # any: another Ray here may use the default
                "object_store_memory": 80 << 20,
            },
        )
        self.mend()
        wait_for(self._answers)

    @property
    def address(self):
        return f"http://{services.HOST}:{self.port}"

    def _answers(self):
        try:
            return self.jobs() is not None
        except (ConnectionError, RuntimeError):
            return False

    def mend(self):
        """Make sure that two raylets run."""
        for node in self.nodes():
            if any(part.process.poll() is not None for part in node.all_processes["raylet"]):
                self.ray.remove_node(node, allow_graceful=False)
        while len(self.nodes()) < 2:
            self.add()

    def add(self):
        self.ray.add_node(num_cpus=1, num_gpus=0, object_store_memory=80 << 20)

    def nodes(self):
        return list(self.ray.worker_nodes)

    def jobs(self):
        return JobSubmissionClient(self.address).list_jobs()

    def running(self):
        return [job.submission_id for job in self.jobs() if not job.status.is_terminal()]

    def stop_jobs(self):
        """End what a failed test has left."""
        for job in self.running():
            JobSubmissionClient(self.address).stop_job(job)
        wait_for(lambda: not self.running(), every=0.5)

    def close(self):
        self.ray.shutdown()


@pytest.fixture(scope="session")
def only_cluster(shared):
    """One cluster for this process's tests, as starting one takes all cores for seconds."""
    with closing(Cluster()) as started:
        yield started


@pytest.fixture
def cluster(only_cluster):
    """Two raylets with room for one training each, whatever the last test did to them."""
    only_cluster.stop_jobs()
    only_cluster.mend()
    return only_cluster


PARAMS = {
    **TINY,
    "baseline.epochs": EPOCHS,
    "train.networks": "[baseline]",
    "train.seeds": "[0, 1]",
    "train.deterministic": "true",
}


@pytest.fixture(scope="session")
def committed(shared_folder):
    """A project of two tiny trainings without results."""
    folder = shared_folder / "committed"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            project = make_project(folder)
            values = [f"{key}={value}" for key, value in PARAMS.items()]
            project.run("python", "-m", "pipeline", "preset", "quick", *values)
            project.run("git", "commit", "-qam", "two trainings")
    return project_in(folder)


@pytest.fixture(scope="session")
def serial(committed, shared_folder):
    """What gives the same project after `dvc repro` on this machine, with a store of its own.

    To be read. It is made when first asked for, at the end of a test: so long no other waits.
    """

    def once():
        folder = shared_folder / "serial"
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                clone_of(committed, folder, ONE_THREAD).run("dvc", "repro")
        return project_in(folder)

    return once


@pytest.fixture
def project(committed, shared, tmp_path, request):
    """A clone with its own commit and its own place in the S3 server."""
    project = clone_of(committed, tmp_path / "project", shared.environment)
    name = re.sub(r"\W+", "-", request.node.name)
    project.run("dvc", "remote", "add", "--default", "store", f"s3://cluster/{name}")
    project.run("dvc", "remote", "modify", "store", "endpointurl", shared.s3_address)
    project.run("git", "commit", "-qam", name)
    project.commit = project.run("git", "rev-parse", "HEAD").stdout.strip()
    project.remote = name
    return project
