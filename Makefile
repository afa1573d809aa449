# One word a job. Everything runs in .venv, made from the pins in requirements/.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv is used where it is found and otherwise fetched into its own small environment.
UV := $(shell command -v uv 2>/dev/null || echo .cache/uv/bin/uv)
ARGS ?=

.PHONY: help install demo test test-long test-outside check bench soak lock clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## make .venv from the pinned requirements

$(VENV)/.installed: requirements/dev.txt pyproject.toml | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "LMOS needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Set PYTHON=..."; exit 1; }
	@echo "installing into $(VENV) (first time only, about half a minute)"
	@$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV)
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.cache/uv/bin/uv:
	@echo "fetching uv"
	@$(PYTHON) -m venv .cache/uv && .cache/uv/bin/pip install --quiet --disable-pip-version-check uv

demo: install ## start the example platform, ask it ten questions, leave it running (ARGS=--exit stops it)
	@$(BIN)/python -m lmos.local.demo examples/acme $(ARGS)

test: install ## run the tests (ARGS='-k name' picks some)
	@$(BIN)/python -m pytest -n 2 --dist loadfile -q -m "not outside and not long" $(ARGS)

test-long: install ## tests that take longer: load, failures, restarts, attempts of other tenants
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "long and not outside" $(ARGS)

test-outside: install ## suites and clients that others wrote, against our servers (needs node and npm)
	@$(BIN)/python -m pytest -q -m outside tests/outside $(ARGS)

check: install ## style, types, import direction
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

bench: install ## run the benchmarks and print JSON
	@for b in bench/*.py; do echo "== $$b"; $(BIN)/python $$b $(ARGS) || exit 1; done

soak: install ## load and failures for ten minutes (ARGS='--seconds 60 --state postgres' for others)
	@$(BIN)/python bench/soak $(ARGS)

lock: | $(UV) ## resolve pyproject.toml again into requirements/*.txt
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --all-extras pyproject.toml -o requirements/run.txt
	@$(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --all-extras --group dev --constraint requirements/run.txt pyproject.toml requirements/build.in -o requirements/dev.txt

clean: ## remove what install made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache
