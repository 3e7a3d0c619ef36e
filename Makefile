# Everything is installed into .venv and nothing outside it. Works with GNU make 3.81 and later.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:

VENV := .venv
PY := $(VENV)/bin/python
# -qq: errors only.
PIP := $(PY) -m pip --disable-pip-version-check --no-input -qq
TORCH := $(shell grep '^torch==' constraints.txt)
# Three test processes on two cores: much of the suite waits for servers, browsers and other
# interpreters. A folder's tests stay in one process (tests/conftest.py), the browser's, which take
# longest, early.
PARALLEL := --numprocesses 3 --dist loadfile --no-loadscope-reorder
HATCHLING := $(shell grep '^hatchling==' constraints.txt)

# Stamps, inside .venv so that they go with it. A stamp is newer than what it was made from.
CREATED := $(VENV)/.created
RUNTIME := $(VENV)/.runtime
DEVELOP := $(VENV)/.develop

# An environment whose interpreter is too old, or was removed by an upgrade, is built again.
USABLE := $(shell $(PY) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)
ifneq ($(USABLE),True)
.PHONY: $(CREATED)
endif

export PYTHON CHROMIUM POSTGRES_BIN
ifdef KRONOS_PUBLIC
export KRONOS_PUBLIC
endif

.PHONY: help setup run test lint format clean distclean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "Options: HOST=localhost PORT=8501        where 'make run' serves"
	@echo "         PYTEST_ARGS='-k name'           passed to pytest by 'make test'"
	@echo "         PYTHON=/path/to/python3         the Python that .venv is made with"
	@echo "         CHROMIUM=/path/to/chromium      the browser of the browser tests"
	@echo "         POSTGRES_BIN=/path/to/bin       PostgreSQL's programs, for the tests of the store"
	@echo "         TORCH_INDEX=URL                 package index to take torch from"
	@echo "         KRONOS_PUBLIC=true              visitors are strangers: docs/deployment.md"

setup: $(RUNTIME)  ## Install the application and its dependencies into .venv

run: $(RUNTIME)  ## Start the application and print its address
	@exec $(PY) -m streamlit run app.py --server.showEmailPrompt=false \
		--server.address="$(or $(HOST),localhost)" $(if $(PORT),--server.port="$(PORT)")

# Bytecode is written whatever the environment says: the tests start hundreds of processes, each of
# which would compile the same files.
test: $(DEVELOP) lint  ## Run every check: linter, formatter, types, tests
	@browser="$$(.ci/browser $(PY))" && postgres="$$(.ci/postgres)" && \
		PYTHONDONTWRITEBYTECODE= CHROMIUM="$$browser" POSTGRES_BIN="$$postgres" \
		$(PY) -m pytest $(PARALLEL) $(PYTEST_ARGS)

lint: $(DEVELOP)  ## Run the linter, the formatter's check and the type checker
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy --no-error-summary

format: $(DEVELOP)  ## Format the code and sort the imports
	@$(PY) -m ruff check --quiet --fix .
	@$(PY) -m ruff format .

clean:  ## Remove caches and build output
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## Remove .venv as well
	@rm -rf $(VENV)

$(CREATED):
	@[ "$(USABLE)" = True ] || { python="$$(.ci/python)" && \
		echo "Creating $(VENV) with $$python" && "$$python" -m venv --clear $(VENV); }
	@touch $@

# torch first and alone, so that it may come from another index than everything else.
$(RUNTIME): $(CREATED) pyproject.toml constraints.txt
	@echo "Installing $(TORCH)"
	@$(PIP) install -c constraints.txt $(TORCH) \
		$(if $(TORCH_INDEX),--no-deps --index-url "$(TORCH_INDEX)")
	@echo "Installing the application"
	@$(PIP) install -c constraints.txt $(HATCHLING)
	@$(PIP) install -c constraints.txt --no-build-isolation -e '.[api,app,ensemble,finetune,markets]'
	@echo "Computing the first forecast"
	@$(PY) -m pages.ui.jobs.opening || echo "It will be computed when the application starts."
	@touch $@

$(DEVELOP): $(RUNTIME)
	@echo "Installing what the tests need"
	@$(PIP) install -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@
