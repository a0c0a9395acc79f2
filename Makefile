# Two commands set everything up: `make run` (the main job) and `make check` (all tests). `make` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Programs whose threads spin on the same two cores slow each other many times over.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: help run check lint test slow schema reference docs clean
help:
	@echo "make run     set up, then pretrain and evaluate recipes/self_distill.yaml"
	@echo "make check   set up, then lint, types, import contracts and every test but the slow ones"
	@echo "make slow    the slow tests: real genomes, whole wheel"
	@echo "make schema  what editors check recipes by           make reference    the pages that follow from the code"
	@echo "make docs    build/docs/index.html; warnings are errors"
	@echo "make lint    ruff, mypy, import-linter          make test    pytest alone"

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

# What an editor checks the shipped recipes by; tests/recipe/test_json_schema.py says when it is stale.
schema: .venv/dev
	FINDNA_KIT_PLUGINS=none $(BIN)/findna-kit schema > recipes/.new && mv recipes/.new recipes/recipe.schema.json
	FINDNA_KIT_PLUGINS=objectives $(BIN)/findna-kit schema > recipes/.new && mv recipes/.new recipes/methods/recipe.schema.json

# docs/reference/ and docs/methods.md; tests/test_reference.py says when they are stale.
reference: .venv/dev
	$(BIN)/python tools/write_reference.py

docs: .venv/dev
	$(BIN)/sphinx-build -W --keep-going -n -q -b html docs build/docs

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
