# Two commands set everything up: `make run` (the main job) and `make check` (all tests). `make` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Programs whose threads spin on the same two cores slow each other many times over.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: help run check lint test slow schema clean
help:
	@echo "make run     set up, then pretrain and evaluate recipes/self_distill.yaml"
	@echo "make check   set up, then lint, types, import contracts and every test but the slow ones"
	@echo "make slow    the slow tests: real genomes, whole wheel"
	@echo "make schema  write recipes/recipe.schema.json anew"
	@echo "make lint    ruff, mypy, import-linter          make test    pytest alone"

.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	@touch $@

.venv/dev: .venv/core plugins/findna-kit-example/pyproject.toml
	$(PIP) -e '.[dev]' -e plugins/findna-kit-example
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
	$(BIN)/findna-kit schema --without example > recipes/.new && mv recipes/.new recipes/recipe.schema.json

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
