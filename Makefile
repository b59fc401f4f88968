# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORPUS ?= .cache/corpus
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench fuzz soak chaos corpus clean help

help: ## Say what each command does
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.core

demo: $(VENV)/.core ## Open, inspect, migrate and verify real checkpoints of other people (no torch needed)
	$(BIN)/python tests/corpus/fetch.py --out $(CORPUS) --only lpips torchmetrics pesto-pitch chgnet
	$(BIN)/python examples/open_real_files.py --corpus $(CORPUS) --out demo-out

test: $(VENV)/.dev corpus ## Set up and pass every test
	CKPTKIT_CORPUS=$(CORPUS) $(BIN)/python -m pytest -q -n 2 --dist loadgroup

corpus: | $(BIN)/python ## Fetch the real checkpoints that the tests read (150 MB)
	$(BIN)/python tests/corpus/fetch.py --out $(CORPUS)

lint: $(VENV)/.dev ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev ## Measure speed and memory against peers and limits
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/bench_restore.py
	$(BIN)/python benchmarks/bench_write.py --rounds 3

fuzz: $(VENV)/.dev ## A million hostile inputs (tens of minutes)
	$(BIN)/python -m tests.attacks.fuzz --count 1000000

soak: $(VENV)/.dev ## Kill a training 500 times at random moments, and compare bits (half an hour)
	$(BIN)/python -m tests.run.soak.driver --kills 500

chaos: $(VENV)/.dev ## Crash two trainings at every file boundary, and judge what resumes (an hour)
	set -e; for what in gpt trainer background torn; do \
	  PYTHON=$(BIN)/python CHAOS=$(BIN)/ckpt-chaos examples/chaos/chaos.sh $$what .cache/chaos/$$(date +%s)-$$what; done

clean: ## Remove what the commands above made
	rm -rf $(VENV) .cache demo-out build dist *.egg-info
