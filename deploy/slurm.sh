#!/bin/bash
# A sweep on Slurm: `sbatch deploy/slurm.sh -S 'model.drop_block_size=1,3,5,7'`. The project's folder
# with its .venv (`make setup-cluster`, and CUDA as deploy/README.md says) lies where all nodes see it.
# ray symmetric-run starts Ray on each node, runs the sweep on the first and stops Ray again.
#SBATCH --job-name=sweep
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --exclusive              # a second Ray on a node would take the first one's ports
#SBATCH --time=12:00:00
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
source .venv/bin/activate
set -a                       # for the nodes too
source deploy/cluster.env    # addresses and passwords; see deploy/README.md
RAY_AUTH_MODE=token          # without the token nobody else speaks to this Ray
RAY_AUTH_TOKEN=$(openssl rand -hex 32)
RAY_USAGE_STATS_ENABLED=0
RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600  # seconds; a cold .venv on a shared disk is slow
set +a

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))
exec srun --nodes="$SLURM_NNODES" --ntasks="$SLURM_NNODES" --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_NNODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" -- \
  python -m pipeline sweep --on http://127.0.0.1:8265 "$@"
