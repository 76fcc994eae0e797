# make demo: install, put sound on a silent scene. make test: install with the test tools, run the whole suite.
# PIP_ARGS="..." passes options of your own to pip, PYTHON=python3.12 names the interpreter.
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := demo
.PHONY: demo test clean

demo: $(VENV)/.core
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python examples/demo.py

test: $(VENV)/.dev
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest

clean:
	rm -rf $(VENV)

# torch goes first, so that no later package brings another build of it
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt $(PIP_ARGS) torch
	touch $@

$(VENV)/.core: $(VENV)/.torch pyproject.toml
	$(PIP) -c constraints.txt $(PIP_ARGS) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -c constraints.txt $(PIP_ARGS) -e ".[dev]"
	touch $@
