# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORPUS ?= .cache/corpus
PARTS ?= gpt trainer background torn
POINTS ?=
NAME ?= diffusion multimodal restoration segmentation
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= CKPTKIT_CORPUS=$(CORPUS) \
  $(BIN)/python -m pytest -q -n 2 --dist loadgroup
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test blocked lint bench quality fuzz soak chaos corpus clean help

help: ## Say what each command does
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.trainers: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[trainers]'
	@touch $@ $(VENV)/.core

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.core $(VENV)/.trainers

demo: $(VENV)/.core ## Open real checkpoints of other people; train, kill, resume, and compare bits
	$(BIN)/python tests/corpus/fetch.py --out $(CORPUS) --only lpips torchmetrics pesto-pitch chgnet
	$(BIN)/python examples/open_real_files.py --corpus $(CORPUS) --out demo-out
	$(MAKE) --no-print-directory $(VENV)/.trainers
	$(BIN)/python examples/kill_and_resume.py --out demo-out/kill

test: $(VENV)/.dev corpus ## Set up and pass every test
	$(PYTEST)

blocked: $(VENV)/.dev corpus ## Pass every other test without each trainer's plugin in turn (an hour; NAME=restoration)
	set -e; for name in $(NAME); do echo "without $$name"; \
	  CKPTKIT_DISABLE_PLUGINS=$$name $(PYTEST); done

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

quality: $(VENV)/.dev ## Train all four trainers, and write their figures and pictures (an hour)
	set -e; for what in restoration segmentation multimodal diffusion; do \
	  $(BIN)/python -m benchmarks.quality.$$what; done

fuzz: $(VENV)/.dev ## A million hostile inputs (tens of minutes)
	$(BIN)/python -m tests.attacks.fuzz --count 1000000

soak: $(VENV)/.dev ## Kill a training 500 times at random moments, and compare bits (half an hour)
	CKPTKIT_SLOW=1 $(BIN)/python -m pytest -q tests/run/test_ranks.py
	$(BIN)/python -m tests.run.soak.driver --kills 500

chaos: $(VENV)/.dev ## Crash two trainings at every file boundary, and judge what resumes (hours; PARTS=gpt POINTS=9)
	set -e; for what in $(PARTS); do \
	  PYTHON=$(BIN)/python CHAOS=$(BIN)/ckpt-chaos \
	    examples/chaos/chaos.sh $$what .cache/chaos/$$(date +%s)-$$what $(POINTS); done

clean: ## Remove what the commands above made
	rm -rf $(VENV) .cache demo-out build dist *.egg-info
