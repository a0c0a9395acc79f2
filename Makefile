# `make run` (the main job) and `make check` (the tests) set up everything they need. `make` lists all targets.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# One thread per test process: programs whose threads compete for the same cores slow each other down many times over.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: help run check lint test slow schema reference docs clean
help:
	@echo "make run        set up, then pretrain and evaluate recipes/self_distill.yaml"
	@echo "make check      set up, then run lint, types, import contracts and all tests except slow ones"
	@echo "make slow       run the slow tests: real genomes, the complete wheel"
	@echo "make schema     write the JSON Schemas of recipes, which editors use"
	@echo "make reference  write the documentation pages that are generated from the code"
	@echo "make docs       build build/docs/index.html; warnings are errors"
	@echo "make lint       run ruff, mypy and import-linter"
	@echo "make test       run pytest without the slow tests"
	@echo "make clean      delete .venv, builds and caches"

.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	@touch $@

PLUGINS := $(wildcard plugins/*/pyproject.toml)
.venv/dev: .venv/core $(PLUGINS)
	$(PIP) -e '.[dev]' $(foreach plugin,$(PLUGINS),-e '$(dir $(plugin))[dev]')
	@touch $@

run: .venv/core
	$(BIN)/findna-kit run recipes/self_distill.yaml

check: lint test

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: .venv/dev
	$(TESTS) -m "not slow" tests plugins

slow: .venv/dev
	$(TESTS) -m slow tests plugins

# The JSON Schemas of the shipped recipes; tests/recipe/test_json_schema.py fails when they are out of date.
schema: .venv/dev
	FINDNA_KIT_PLUGINS=none $(BIN)/findna-kit schema > recipes/.new && mv recipes/.new recipes/recipe.schema.json
	FINDNA_KIT_PLUGINS=objectives $(BIN)/findna-kit schema > recipes/.new && mv recipes/.new recipes/methods/recipe.schema.json

# docs/reference/ and docs/methods.md; tests/test_reference.py fails when they are out of date.
reference: .venv/dev
	$(BIN)/python tools/write_reference.py

docs: .venv/dev
	$(BIN)/sphinx-build -W --keep-going -n -q -b html docs build/docs

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
