# make train: synthetic rows -> prepared data -> trained, evaluated and exported model. make train RAW=FILE: your Criteo rows.
# make test: all tests. make lint: ruff, mypy and import-linter. make docs: the site, in runs/site.
# Each sets up .venv first and needs only Python (3.10 or newer) with pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

ROWS ?= 500000
MIN_COUNT ?= 20
ifdef RAW
RUN ?= runs/$(basename $(notdir $(RAW)))
CONFIG ?= sample
else
RUN ?= runs/synthetic
CONFIG ?= synthetic
RAW := $(RUN)/train.txt
TRUTH := $(RAW).json
endif

.PHONY: setup train test lint docs clean

setup: $(VENV)/.complete

$(VENV)/.complete: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

train: setup
	mkdir -p $(RUN)
	$(if $(TRUTH),$(BIN)/python -m data_pipelines.synthetic --rows=$(ROWS) --out=$(RAW))
	$(BIN)/python -m data_pipelines.prepare --dataset=criteo --raw=$(RAW) --data_dir=$(RUN)/data --min_count=$(MIN_COUNT)
	$(BIN)/python -m ada_ensemble_tf.train --config=$(CONFIG):logistic_regression --data_dir=$(RUN)/data --workdir=$(RUN)/logistic_regression
	$(BIN)/python -m ada_ensemble_tf.train --config=$(CONFIG):ada_ensemble --data_dir=$(RUN)/data --workdir=$(RUN)/ada_ensemble
	$(BIN)/python -m ada_ensemble_tf.export --workdir=$(RUN)/ada_ensemble
	$(BIN)/python -m experiments.summary --run=$(RUN) $(if $(TRUTH),--truth=$(TRUTH))

# Two processes, because tracing graphs, most of the work, uses one core. A file's tests stay together to share
# fixtures; tests/conftest.py says which files come first.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) runs *.egg-info
