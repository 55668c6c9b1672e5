# Everything needs only python3 (3.11 or later) with venv, and make; the rest is installed into .venv.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
JOBS ?= 2
# processes that mostly wait: more of them at once than there are cores
BESIDE ?= 4
# what uses real clocks, processes and networks has the machine for itself
ALONE := interop or java or root or systemd
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# tests start hundreds of processes: none is to compile what another one has compiled
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-load verify explore mutants predict check clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*##/  make \1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/installed  ## Watch three members elect, lose their leader, and elect again
	@$(BIN)/trio-fle demo

test: $(VENV)/installed-dev  ## Run all tests (installs ZooKeeper from Debian's packages where it may)
	@tests/interop/install.sh
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not ($(ALONE))"
	$(BIN)/python -m pytest -n $(BESIDE) --dist worksteal -m beside
	$(BIN)/python -m pytest -m "($(ALONE)) and not beside"

lint: $(VENV)/installed-dev  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=tests/support $(BIN)/mypy tests/benchmarks

bench: $(VENV)/installed-dev  ## Compare failover with ZooKeeper, etcd and PySyncObj (BENCH=--quick: 3 minutes)
	@tests/benchmarks/install.sh $(BIN)/python
	@PYTHONPATH=tests/support $(BIN)/python tests/benchmarks/bench.py $(BENCH)

bench-load: $(VENV)/installed-dev  ## Count false elections on a busy machine (LOAD="--seconds 600")
	@PYTHONPATH=tests/support $(BIN)/python tests/benchmarks/load.py $(LOAD)

verify: $(VENV)/installed-dev  ## Elect 100,000 times under faults, in virtual time (10 minutes on 2 cores)
	@$(BIN)/trio-fle simulate --faults members --runs 3000 --jobs $(JOBS) $(VERIFY)
	@$(BIN)/trio-fle simulate --faults cores --runs 34000 --jobs $(JOBS) $(VERIFY)

explore: $(VENV)/installed-dev  ## Play every order of events of three servers, within bounds (6 minutes)
	@$(BIN)/trio-fle simulate --explore 700000

mutants: $(VENV)/installed-dev  ## Plant faults in the package, one at a time, for the simulators to catch
	@$(BIN)/python tests/sim/mutants.py --jobs $(JOBS) $(MUTANTS)

predict: $(VENV)/installed-dev  ## Compare simulated times to a leader with measured ones (needs root)
	@tests/interop/install.sh
	@PYTHONPATH=tests/support $(BIN)/python tests/benchmarks/predict.py $(PREDICT)

check: lint test  ## Both

clean:  ## Remove what make made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later was found; install python3 and python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) can't make virtual environments; install the package python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: pyproject.toml | $(BIN)/python
	@$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/installed
