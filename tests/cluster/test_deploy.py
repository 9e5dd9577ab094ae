"""Test the files of deploy/, as far as one machine can run them."""

import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from pipeline.commands.servers import free_port
from tests.cluster.sweeps import assert_each_is_there_once, runs_of
from tests.conftest import REPOSITORY

# Stands in for Slurm with one node: srun runs the command once, on this machine.
STUBS = {
    "scontrol": "#!/bin/sh\necho 127.0.0.1\n",
    "srun": '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
}


def test_the_slurm_script_brings_ray_up_with_a_token_and_sweeps(project, shared, tmp_path):
    raylets = [p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "raylet"]
    assert not raylets, f"Ray runs here ({raylets}), and symmetric-run would end it: end it first"
    folder = project.folder
    shutil.copytree(REPOSITORY / "deploy", folder / "deploy")
    values = {k: v for k, v in shared.environment.items() if k.startswith(("AWS_", "MLFLOW_"))}
    lines = [f"{key}={value}\n" for key, value in values.items()]
    (folder / "deploy/cluster.env").write_text("".join(lines))
    (folder / ".venv/bin").mkdir(parents=True)
    bin_of_python = Path(sys.executable).parent
    activate = f'PATH="{tmp_path}/stubs:{bin_of_python}:$PATH"\n'
    (folder / ".venv/bin/activate").write_text(activate)
    (tmp_path / "stubs").mkdir()
    for name, text in STUBS.items():
        (tmp_path / "stubs" / name).write_text(text)
        (tmp_path / "stubs" / name).chmod(0o755)
    environment = {k: v for k, v in project.environment.items() if k not in values}
    slurm = {"SLURM_SUBMIT_DIR": str(folder), "SLURM_JOB_NODELIST": "here", "SLURM_NNODES": "1",
             "SLURM_CPUS_PER_TASK": "2", "SLURM_JOB_ID": str(free_port())}  # fmt: skip
    done = subprocess.run(
        ["bash", "deploy/slurm.sh"], cwd=folder, env={**environment, **slurm}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert [run.info.status for run in runs_of(project)] == ["FINISHED"] * 2
    assert_each_is_there_once(project, shared)
    assert project.run("dvc", "exp", "list", "--name-only").stdout.startswith("sweep-")
