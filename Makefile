# `make demo`, `make test` and `make test-slow`: each sets up what it needs. `.ci/run` runs both tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# One thread each: two test processes fill two cores, and threads that wait for each other are slower than none.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

.PHONY: demo test test-slow lint bench clean

demo: $(VENV)/.installed
	$(BIN)/fedrec simulate demo

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

# A file with a failure is tried once more by itself: several markets of processes on two cores can run out of patience.
# Most of the time they wait for each other, so that three workers do not disturb each other much.
FAILED := import json; print(*{name.split("::")[0] for name in json.load(open(".pytest_cache/v/cache/lastfailed"))})
test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n 3 --dist loadfile -m slow || $(BIN)/python -m pytest -q -m slow $$($(BIN)/python -c '$(FAILED)')

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fedrec needs Python >= 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks run all

clean:
	rm -rf $(VENV) runs build dist src/*.egg-info
