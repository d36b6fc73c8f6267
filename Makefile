# Everything that people and CI run. `make help` lists it.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt lint types imports licences docs conformance fuzz bench hil build lock clean

BIN := .venv/bin
RUNTIME := .venv/.runtime
DEV := .venv/.dev
PROJECTS := $(wildcard */pyproject.toml)
ARGS ?=
NAME ?=

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(RUNTIME): requirements.lock $(PROJECTS) tools/setup.sh
	@sh tools/setup.sh runtime
	@touch $@

$(DEV): requirements-dev.lock requirements.lock $(PROJECTS) tools/setup.sh
	@sh tools/setup.sh dev
	@touch $(RUNTIME) $@

setup: $(DEV) ## Make .venv with everything that development needs

demo: $(RUNTIME) ## Run the whole story: make demo [ARGS="--exit --devices 8"]
	@$(BIN)/lamplighter demo $(ARGS)

test: $(DEV) ## Run the tests: make test [ARGS="tests/protocol -k merge"]
	@$(BIN)/pytest $(ARGS)

check: fmt lint types imports licences docs ## All static checks

fmt: $(DEV)
	@$(BIN)/ruff format --check .

lint: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/python tools/house_rules.py

types: $(DEV)
	@$(BIN)/mypy

imports: $(DEV)
	@$(BIN)/lint-imports --no-cache

licences: $(DEV)
	@$(BIN)/python tools/licences.py

docs: $(DEV) ## Build the documentation strictly into site/
	@$(BIN)/python tools/reference.py --check
	@$(BIN)/mkdocs build --strict --quiet

bench: $(DEV) ## Run one benchmark: make bench NAME=story
	@$(BIN)/python benchmarks/$(subst -,_,$(NAME)).py $(ARGS)

conformance: $(DEV) ## Run our conformance tests, public clients of serving and the public TUF suite
	@$(BIN)/pytest tests/conformance $(ARGS)
	@sh tools/serving_clients.sh
	@sh tools/tuf_conformance.sh

fuzz: $(DEV) ## Fuzz every decoder: make fuzz [ARGS="--seconds 600 --only manifest"]
	@$(BIN)/python -m tests.conformance.fuzz $(ARGS)

hil: $(DEV) ## Run the hardware-in-the-loop tests
	@$(BIN)/pytest hil-tests $(ARGS)

build: $(DEV) ## Build the four wheels into dist/
	@for project in protocol agent converters server; do \
		$(BIN)/uv build --quiet --wheel --out-dir dist $$project || exit 1; done; ls dist

lock: ## Resolve the dependencies anew (writes the two lock files)
	@sh tools/lock.sh

clean: ## Remove everything that was made
	@rm -rf .venv .tools site dist benchmarks/results .mypy_cache .ruff_cache .pytest_cache .hypothesis
