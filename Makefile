# Each target is safe to interrupt and to repeat. ARGS is passed on: make test ARGS="-k packaging".
NB ?= 01_fixed_feature
PROFILE ?= mini
PYTHON ?=
ARGS ?=
BIN := .venv/bin

.PHONY: help venv demo all notebook pretrain lab test nbval lint format lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

venv: ## create or complete .venv (every target below does it first)
	@PYTHON="$(PYTHON)" bash .ci/venv

demo: venv ## notebook 01 in the mini profile: the summary table, the executed notebook, its HTML and figures
	@$(BIN)/robnb run 01_fixed_feature --profile mini $(ARGS)

all: venv ## every notebook of a profile, several at once, and one page of all results: make all PROFILE=mini
	@$(BIN)/robnb run all --profile "$(PROFILE)" $(ARGS)

notebook: venv ## one notebook: make notebook NB=02_full_network PROFILE=smoke
	@$(BIN)/robnb run "$(NB)" --profile "$(PROFILE)" $(ARGS)

pretrain: venv ## the backbones that the mini notebooks share, one training seed
	@$(BIN)/robnb run 00_pretrain --profile mini $(ARGS)

lab: venv ## JupyterLab on localhost, where the notebooks open with a double click
	@JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter" $(BIN)/python -m jupyterlab --ip=127.0.0.1 --LabApp.default_url=/lab/tree/notebooks $(ARGS)

test: venv ## the tests, a file at a time on every core (ARGS="-m slow": the slow ones; ARGS="-n 0": in one process)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

nbval: PROFILE = smoke
nbval: venv ## execute the finished smoke notebooks again and compare every output (make nbval ARGS=01_fixed_feature)
	@$(BIN)/python tests/compare_executed.py --profile "$(PROFILE)" $(ARGS)

lint: venv ## ruff's rules and format, without changing a file
	@$(BIN)/ruff check && $(BIN)/ruff format --check

format: venv ## let ruff put right what it can
	@$(BIN)/ruff check --fix && $(BIN)/ruff format

lock: ## resolve requirements.lock again from pyproject.toml (newest versions inside its ranges)
	@PYTHON="$(PYTHON)" bash .ci/lock

clean: ## remove .venv and the caches; outputs/ stays
	@rm -rf .venv .pytest_cache .ruff_cache build dist *.egg-info
	@find robnb tests notebooks -name __pycache__ -type d -prune -exec rm -rf {} +
