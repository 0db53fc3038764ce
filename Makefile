# `make demo` and `make test` work on a fresh machine that has Python >= 3.11 and make; `make check` is what CI runs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ROOTS  := cosmos_sdk plugins envs policies examples tests
# Installs what is tested. Another torch build: PIP_EXTRA="--extra-index-url URL", with the URL that pytorch.org names.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup dev pusht demo test test-all bench plugin-template format lint types imports spelling docs check clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.installed ## make .venv: the package, and Push-T

dev: $(VENV)/.installed-dev ## the same, and the tools of `make check`

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python >= 3.11 is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1" # the first that knows --group
	$(INSTALL) $(PIP_EXTRA) --editable ".[pusht]"
	$(MAKE) --no-print-directory pusht
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) --group dev
	@touch $@

# gym-pusht asks for the full OpenCV build, which would own cv2 beside the headless one and needs libGL.
pusht: | $(BIN)/python ## install gym-pusht without its OpenCV
	$(INSTALL) --no-deps gym-pusht

demo: setup ## plan in the learned world, drive Push-T, write outputs/demo/; world=NAME for another one
	$(BIN)/cosmos-sdk demo $(if $(world),world=$(world))

test: dev ## the default suite: offline, CPU
	$(BIN)/python -m pytest

test-all: dev ## also the slow tests
	$(BIN)/python -m pytest -m "not gpu and not bench"

bench: setup ## speed, memory, planning latency
	$(BIN)/cosmos-sdk bench

format: dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix $(ROOTS)
	$(BIN)/ruff format $(ROOTS)

lint: dev
	$(BIN)/ruff check $(ROOTS)
	$(BIN)/ruff format --check $(ROOTS)

types: dev
	$(BIN)/pyright

imports: dev
	$(BIN)/lint-imports

spelling: dev
	$(BIN)/codespell

docs: dev ## build the documentation; a broken link is an error
	$(BIN)/mkdocs build --strict --quiet --site-dir outputs/site

plugin-template: dev ## install the example plugin beside the package, run its tests, remove it
	$(INSTALL) --no-deps ./examples/plugin_template
	@status=0; \
	$(BIN)/python -m pytest -c examples/plugin_template/pyproject.toml examples/plugin_template/tests || status=$$?; \
	$(BIN)/python -m pip uninstall --quiet --yes cosmos-sdk-plugin-template; \
	exit $$status

check: lint types imports spelling docs test ## everything that CI runs

clean: ## remove .venv and caches; outputs/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache
