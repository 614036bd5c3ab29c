# `make demo` and `make test` are all it takes; each sets up .venv on its first run.
# PYTHON=/path/to/python chooses the interpreter; PYTEST_ARGS=, BENCH_ARGS=, ORACLE_ARGS= and
# FUZZ_ARGS= and FUZZ_P2P_ARGS= pass options on.

SHELL = /bin/sh
VENV = .venv
PY = $(VENV)/bin/python
PYTEST_ARGS =
BENCH_ARGS =
ORACLE_ARGS =
SOAK_ARGS =
FUZZ_ARGS =
FUZZ_P2P_ARGS =
# Tests replace what a module imported (monkeypatch); a cache of their own for options of their own.
MYPY_TESTS = --explicit-package-bases --implicit-reexport --cache-dir .mypy_cache/tests tests
# Given on the command line or in the environment; .ci/setup looks for one otherwise.
export PYTHON

.DEFAULT_GOAL = help
.PHONY: help demo test lint format bench bench-peers oracle soak fuzz fuzz-p2p interop vectors clean setup-demo setup-test

help: ## say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: setup-demo ## a light client follows a simulated chain through every fork (no network needed)
	@$(VENV)/bin/nimbus-light-client demo

test: setup-test ## run all tests with branch coverage
	@# Many tests start programs, which load what is compiled once. A worker begins with its share of all
	@# tests, so that what a file shares is made by one of them. Three for two cores: a third of the
	@# time goes by in waiting for sockets, slots and programs.
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n 3 --dist worksteal --cov --cov-report=term $(PYTEST_ARGS)

lint: setup-test ## ruff, mypy --strict and the import contracts
	@# Each runs, so that one round shows every fault; the longest beside the others.
	@failed=""; said="$$(mktemp)"; $(PY) -m mypy $(MYPY_TESTS) >"$$said" 2>&1 & on_tests=$$!; \
	$(PY) -m ruff check . || failed="$$failed ruff-check"; \
	$(PY) -m ruff format --check . || failed="$$failed ruff-format"; \
	$(PY) -m mypy || failed="$$failed mypy"; \
	$(VENV)/bin/lint-imports || failed="$$failed import-contracts"; \
	wait $$on_tests || failed="$$failed mypy-tests"; cat "$$said"; rm -f "$$said"; \
	[ -z "$$failed" ] || { echo "make lint:$$failed failed (make format repairs formatting)"; exit 1; }

format: setup-test ## let ruff format and sort imports
	@$(PY) -m ruff check --select I --fix .
	@$(PY) -m ruff format .

bench: setup-test ## measure what the project promises; prints it and writes JSON
	@$(PY) -m benchmarks $(BENCH_ARGS)

bench-peers: setup-test ## the same updates through @lodestar/light-client (from npm), side by side
	@$(PY) -m benchmarks.peers $(BENCH_ARGS)

oracle: ## compare with the executable specification, one minute (from PyPI; ORACLE_ARGS="--seconds N")
	@.ci/oracle $(ORACLE_ARGS)

fuzz: setup-test ## fuzz every decoder and the processor, two minutes (FUZZ_ARGS="--seconds N --target T")
	@.ci/fuzz $(FUZZ_ARGS)

fuzz-p2p: setup-test ## attack a live libp2p node at every layer, one hour (FUZZ_P2P_ARGS="--seconds N --seed N")
	@.ci/fuzz-p2p $(FUZZ_P2P_ARGS)

soak: setup-test ## a thousand simulated worlds, a year, a thousand kills: ten minutes (SOAK_ARGS="--seed N")
	@$(PY) -m tests.soak $(SOAK_ARGS)

interop: setup-test ## against programs that no one here wrote (from npm; skipped without node or npm)
	@LIGHTCLIENT_INTEROP=1 $(PY) -m pytest tests/interop $(PYTEST_ARGS)

vectors: setup-test ## make vectors/ anew (a test says when that changes anything)
	@$(PY) -m lightclient.simulator.vectors vectors

clean: ## remove the environment, builds and caches
	rm -rf $(VENV) .venv-oracle .fuzz build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	  .import_linter_cache .coverage .coverage.* htmlcov benchmarks/.cache benchmarks/results \
	  benchmarks/peers/node_modules tests/interop/*/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup-demo:
	@.ci/setup demo

setup-test:
	@.ci/setup test
