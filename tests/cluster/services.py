"""The real services of a cluster, on 127.0.0.1: PostgreSQL, S3, MLflow."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from pipeline.commands.servers import free_port

HOST = "127.0.0.1"
ACCESS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "of-tests-only"}
USER, PASSWORD = "tester", "of-tests-only-1234"  # of MLflow


class Server:
    """A process in its own group that can be killed and restarted."""

    def __init__(self, command, log, ready, user=None, **environment):
        self._command, self._log, self._ready, self._user = command, log, ready, user
        self._environment = {**os.environ, **environment}
        self.start()

    def start(self):
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [str(part) for part in self._command], cwd=self._log.parent, user=self._user,
                env=self._environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while not self._is_ready():
            assert self.process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            time.sleep(0.3)

    def _is_ready(self):
        try:
            return self._ready()
        except OSError:
            return False

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(5)  # SeaweedFS would be slow to end
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def program(name):
    """Find a PostgreSQL program, which Debian does not put on the PATH."""
    found = shutil.which(name) or next(
        iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
    )
    assert found, f"{name} is not installed: `apt-get install postgresql` brings it"
    return found


def start_postgres(folder):
    """Start PostgreSQL, not as root (which it refuses); return it and its URI.

    Args:
        folder: one that this user can enter, unlike pytest's.
    """
    user = "nobody" if os.geteuid() == 0 else None
    data = folder / "postgres"
    data.mkdir()
    folder.chmod(0o711)
    if user:
        owner = pwd.getpwnam(user)
        os.chown(data, owner.pw_uid, owner.pw_gid)
    subprocess.run(
        [program("initdb"), "-D", data, "-U", "tester", "--auth=trust", "--no-sync"],
        user=user, cwd=data, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    port = free_port()
    options = ["-c", "fsync=off", "-c", f"listen_addresses={HOST}", "-k", data, "-p", port]
    log = folder / "postgres.log"
    uri = f"postgresql+psycopg2://tester@{HOST}:{port}/postgres"
    server = Server(
        [program("postgres"), "-D", data, *options], log, lambda: _answers(uri), user=user
    )
    return server, uri


def _answers(uri):
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import OperationalError

    engine = create_engine(uri)
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT 1")).scalar() == 1
    except OperationalError:
        return False
    finally:
        engine.dispose()


def start_s3(folder):
    """Start SeaweedFS; return it and the address of its S3."""
    identity = {
        "name": "tester",
        "credentials": [
            {"accessKey": ACCESS["AWS_ACCESS_KEY_ID"], "secretKey": ACCESS["AWS_SECRET_ACCESS_KEY"]}
        ],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "s3").mkdir()
    ports = {}
    for name in ("master", "volume", "filer", "s3"):
        while not 1024 < (port := free_port()) < 55000 or port in ports.values():
            pass  # SeaweedFS also uses the port 10,000 higher
        ports[name] = port
    address = f"http://{HOST}:{ports['s3']}"
    weed = Path(sys.executable).parent / "weed"
    command = [
        weed, "-logtostderr=true", "server", f"-ip={HOST}", f"-ip.bind={HOST}",
        f"-dir={folder}/s3", "-master.volumeSizeLimitMB=64", "-volume.max=0", "-filer", "-s3",
        f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-volume.preStopSeconds=0",
        *(f"-{name}.port={port}" for name, port in ports.items()),
    ]  # fmt: skip
    server = Server(command, folder / "s3.log", lambda: _s3_answers(address))
    return server, address


def bucket(address):
    """Return a client of the S3 server."""
    import boto3

    return boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1",
        aws_access_key_id=ACCESS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ACCESS["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


def _s3_answers(address):
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        names = [each["Name"] for each in bucket(address).list_buckets()["Buckets"]]
        if "cluster" not in names:
            bucket(address).create_bucket(Bucket="cluster")
            bucket(address).put_object(Bucket="cluster", Key="ready", Body=b"")
    except (BotoCoreError, ClientError):
        return False
    return True


def start_mlflow(folder, database, s3):
    """Start MLflow's server on PostgreSQL and S3, for users with a password only."""
    port = free_port()
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = EDIT\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 60\n"
    )
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", port,
        "--workers", "1", "--app-name", "basic-auth", "--backend-store-uri", database,
        "--artifacts-destination", "s3://cluster/mlflow",
    ]  # fmt: skip
    address = f"http://{HOST}:{port}"

    def ready():
        with urllib.request.urlopen(f"{address}/health") as page:
            return page.status == 200

    server = Server(
        command, folder / "mlflow.log", ready, **ACCESS, MLFLOW_S3_ENDPOINT_URL=s3,
        AWS_DEFAULT_REGION="us-east-1", MLFLOW_AUTH_CONFIG_PATH=f"{folder}/auth.ini",
        MLFLOW_FLASK_SERVER_SECRET_KEY="of-tests-only", MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
    )  # fmt: skip
    return server, address
