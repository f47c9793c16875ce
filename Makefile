# make report: the corpus on every framework. make test: the suite's own tests. CONTRIBUTING.md tells the rest.
PYTHON ?= python3
WORKERS ?= 2
# Options for pip that say where CPU wheels of torch are, e.g. make TORCH_WHEELS="--extra-index-url ADDRESS" report;
# README.md tells which address. Empty: wherever pip looks by itself.
TORCH_WHEELS ?=
PYTEST_ARGS ?=
# Options for `make matrix`, e.g. MATRIX_ARGS="--only tfjs".
MATRIX_ARGS ?=
# Options for `make bench`, e.g. BENCH_ARGS="--only overhead".
BENCH_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := requirements/constraints.txt
FRAMEWORKS := torch tensorflow-cpu jax flax keras
INSTALLED := $(VENV)/installed
MEASURED := $(VENV)/measured
SHELL := /bin/bash

.DEFAULT_GOAL := report
.PHONY: help report test lint corpus docs picture versions matrix bench wheel clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

report: $(INSTALLED) ## the corpus on every framework: reports/latest/index.html
	$(BIN)/conformance run --workers $(WORKERS) --output reports/latest

test: $(INSTALLED) ## the suite's own tests; Chromium must be there
	$(BIN)/python -m pytest tests -n auto $(PYTEST_ARGS)

corpus: $(INSTALLED) ## the corpus as tests; writes the same report
	$(BIN)/python -m pytest cases -n auto $(PYTEST_ARGS)

lint: $(INSTALLED) ## ruff, mypy --strict and the corpus' own lint
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/conformance check

docs: $(INSTALLED) ## everything generated in docs/, cases/ and README.md
	$(BIN)/conformance check --write
	$(BIN)/python tools/front_page.py --write

picture: $(INSTALLED) ## the picture in README.md, of the report in reports/latest
	$(BIN)/python tools/picture.py reports/latest docs/images/report.png

versions: $(INSTALLED) ## the corpus on other versions, by tox, merged into reports/versions
	-$(BIN)/tox run
	$(BIN)/conformance merge reports/*-[0-9]*/results.jsonl --output reports/versions

matrix: $(INSTALLED) ## every environment of matrix.yaml in one report: reports/matrix/index.html
	$(BIN)/python tools/matrix.py $(MATRIX_ARGS) -- --workers $(WORKERS)

bench: $(MEASURED) ## the figures of the suite's speed: a table, and reports/bench.json
	$(BIN)/python -m benchmarks.bench $(BENCH_ARGS)

wheel: $(INSTALLED) ## a wheel with the corpus inside, in dist/
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .

clean: ## all that make and tox made
	rm -rf $(VENV) .tox .matrix reports dist build .pytest_cache .mypy_cache .ruff_cache

# One call of pip, so that everything is resolved together; the stamp is written when all of it is there.
$(INSTALLED): $(CONSTRAINTS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is too old or missing: the pinned frameworks need Python 3.11 or later." >&2; \
	  echo "Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'pip>=25.1'
	$(BIN)/python -m pip install --constraint $(CONSTRAINTS) --group dev --editable . $(FRAMEWORKS) $(TORCH_WHEELS)
	@touch $@

# What the suite is measured beside; nothing else needs it.
$(MEASURED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --group bench
	@touch $@
