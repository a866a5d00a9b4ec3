# Two commands: `make demo` and `make test`. Each makes .venv and installs what it needs first.
PYTHON ?= python3
BIN := .venv/bin
INSTRUCTION ?=
export INSTRUCTION  # by the environment, so that quotes in a sentence stay quotes

.PHONY: help demo test check nightly clean

help:
	@echo "make demo                             watch a simulated arm do what three sentences say"
	@echo "make demo INSTRUCTION='reach the red cube'   your own sentence"
	@echo "make test                             run the tests"
	@echo "make check                            what CI runs: lint, types, tests"
	@echo "make nightly                          the long profile of the property tests"
	@echo "make clean                            remove .venv and what builds leave"

demo:
	@$(PYTHON) tools/bootstrap.py ros,sim
	@$(BIN)/vla-ros demo --instruction "$$INSTRUCTION"

test:
	@$(PYTHON) tools/bootstrap.py ros,sim,train,dev
	@$(BIN)/python -m pytest

check:
	@$(PYTHON) tools/bootstrap.py ros,sim,train,dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/python -m pytest

nightly:
	@$(PYTHON) tools/bootstrap.py ros,sim,train,dev
	@HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest

clean:
	rm -rf .venv .venv-lerobot build dist install log *.egg-info .pytest_cache .ruff_cache .hypothesis
