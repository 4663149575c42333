# make run: the demo. make test: the tests. make test-servers: with real model servers. make check: lint and types. make bench: the speed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: run test test-servers check bench docs clean
.DEFAULT_GOAL := help

help:
	@sed -n '1p' Makefile | cut -c3-

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.demo

run: $(VENV)/.demo
	$(BIN)/gateway demo

test: $(VENV)/.test
	$(BIN)/python -m pytest

# Installs each server on first use, some 2 GB in .venvs; what this machine cannot run is skipped, with the reason.
test-servers: $(VENV)/.test
	$(BIN)/python -m pytest tests/servers -m servers -rs

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test
	$(BIN)/python bench/run.py

clean:
	rm -rf $(VENV) .venvs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
