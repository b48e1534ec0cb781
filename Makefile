# `make demo` and `make test` need Python 3.11 or newer, make and pip; they set up .venv on their first run.
# The first that starts and is new enough: constraints.txt was resolved for 3.11.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo $$p && break; done)
PIP_ARGS ?=
OUT ?= demo
DATA ?= ../shared/data/fracatlas
BIN := .venv/bin

.PHONY: help demo test check lint types contracts unit docs system bench full clean

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/ready  ## phantom cohort → report, bundle, overlays, one study read (minutes)
	$(BIN)/osteon demo --out $(OUT)

test: .venv/ready check  ## set up, then everything that CI checks

check: lint types contracts unit docs  ## all checks, in an environment that is already there

lint:
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

types:
	$(BIN)/mypy

contracts:
	$(BIN)/lint-imports --no-logo

unit:  # a file of tests a core; a thread each, since two processes of two threads wait for each other
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses logical --dist loadfile --durations 20

docs:
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --site-dir site

system:  ## system packages that some tests need (Debian, as root)
	apt-get update -qq
	apt-get install -qq -y --no-install-recommends dcmtk dicom3tools libgdcm-tools > /dev/null

bench: .venv/ready  ## every benchmark, with JSON under docs/results/benchmarks (half an hour)
	for script in benchmarks/[a-z]*.py; do \
		case $$script in */common.py) continue;; esac; \
		$(BIN)/python $$script --json docs/results/benchmarks/$$(basename $$script .py).json || exit 1; \
	done

full: .venv/ready  ## the experiments on real radiographs: make full DATA=…/fracatlas (ten minutes)
	docs/results/fracatlas.sh $(DATA) out/fracatlas
	$(BIN)/python docs/results/fracatlas_shortcuts.py out/fracatlas

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:  ## remove the environment and what was built
	rm -rf .venv site demo build .mypy_cache .ruff_cache .pytest_cache .hypothesis
