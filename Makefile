.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true

# Run test files in parallel, each file in one process, in the order that tests/conftest.py gives them.
# Tests that start their own Ray are left out: they would disturb each other.
ON_RAY = $(addprefix tests/sweep/test_,run.py disturbed.py tuning.py raylets.py pool.py)
# The last digits depend on the number of threads, so it is the same on every machine.
PARALLEL = TF_NUM_INTRAOP_THREADS=2 pytest -n auto --dist loadscope --no-loadscope-reorder \
  $(addprefix --ignore=,$(ON_RAY))

SHOW_REPORT = @echo && sed -n '3s/\*\*//gp' reports/report.md && \
	  echo "Report: $(CURDIR)/reports/report.html"

help:  ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready  ## Install the exact versions of requirements.lock into .venv

$(VENV)/.ready: requirements.lock setup.sh
	@./setup.sh requirements.lock
	@touch $@

setup-dev: setup $(VENV)/.dev  ## Also install what tests and linters need

$(VENV)/.dev: requirements-dev.lock $(VENV)/.ready
	@./setup.sh requirements-dev.lock
	@touch $@

setup-cluster: setup-dev  ## Also install what a cluster needs: S3, PostgreSQL, MLflow's password support
	@./setup.sh requirements-cluster.lock

run: setup  ## Train and compare both networks: the whole pipeline
	@python -m pipeline check > /dev/null  # check first: DVC's error for a malformed list does not name the key
	@dvc repro
	$(SHOW_REPORT)

test: setup-dev  ## Run the quick tests (minutes on two cores)
	@$(PARALLEL) -m "not slow"

test-all: setup-dev  ## Run all tests that need neither Ray nor a cluster, also whole pipelines, killed processes and servers
	@$(PARALLEL) $(CHOSEN)

CHOSEN = $(if $(TESTS),-k '$(TESTS)')

test-sweep: setup-dev  ## Run the tests of sweeps on a local Ray
	@pytest $(ON_RAY) -n auto --dist loadscope --no-loadscope-reorder -v $(CHOSEN)

# The Ray that test_deploy starts through Slurm ends every other Ray on the machine, so that test runs
# first and alone. The others then run in parallel.
test-cluster: setup-cluster  ## Test sweeps on Ray nodes with real PostgreSQL and S3, under injected failures
	@uv pip install --quiet --group cluster-tests $(addprefix --find-links ,$(PIP_FIND_LINKS))
	@pytest tests/cluster/test_deploy.py -v $(CHOSEN) || [ $$? = 5 ]  # exit code 5: TESTS did not select it
	@pytest tests/cluster --ignore tests/cluster/test_deploy.py \
	  -n auto --dist worksteal -v $(CHOSEN)

coverage: export COVERAGE_FILE := $(CURDIR)/.coverage
coverage: setup-dev  ## Run the tests of test-all and show the lines that none of them reaches
	@$(PARALLEL) --cov

lint: setup-dev  ## Check style, types, spelling and the allowed imports between packages
	@ruff check . && ruff format --check . && mypy && lint-imports --no-logo && \
	  git ls-files -z | xargs -0 codespell

format: setup-dev  ## Format the code
	@ruff check --fix . && ruff format .

compare: setup  ## Compare all experiments, in reports/experiments/report.html
	@python -m pipeline compare

serve: setup  ## Serve the champion on 127.0.0.1
	@python -m pipeline serve

doctor: setup  ## Find and repair what dead processes or a lost MLflow store left behind
	@python -m pipeline doctor

ui: setup  ## Serve MLflow's UI on 127.0.0.1
	@python -m pipeline ui

benchmarks: setup-dev  ## Time training and input against Keras, PyTorch and OpenCV (CIFAR100_DIR: CIFAR-100's folder)
	@uv pip install --quiet --group benchmarks $(addprefix --find-links ,$(PIP_FIND_LINKS))
	python -m benchmarks.train_step
	$(if $(CIFAR100_DIR),python -m benchmarks.input $(CIFAR100_DIR))

chaos: setup-dev  ## Inject faults into whole runs until the log has N of them (N=400); continues where it was interrupted
	@nice python -m tests.chaos $(or $(N),400) --jobs 2

audit: setup-dev  ## Check the pinned packages for known vulnerabilities; fails on those that cannot be looked up
	@for lock in requirements*.lock; do \
	  uvx --quiet pip-audit --strict --disable-pip --requirement $$lock || failed=1; \
	done; exit $${failed:-0}

COMPILE = uv pip compile --universal --python-version 3.11 --upgrade --quiet --no-annotate \
	  --no-header --no-emit-index-url --no-emit-find-links --generate-hashes

lock: setup-dev  ## Update the lock files from pyproject.toml
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) pyproject.toml --extra cluster -c requirements.lock -o requirements-cluster.lock

.PHONY: help setup setup-dev setup-cluster run test test-all test-sweep test-cluster coverage lint format benchmarks compare ui serve doctor chaos audit lock
