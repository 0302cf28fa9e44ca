# Two commands are enough: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
CONFIG ?=

.DEFAULT_GOAL := help
.PHONY: help demo run test check bench bench-full faults soak docs site release-check texts screenshots format clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/all ## Run the whole loop on a rendered ERP tree (ARGS="--exit --seed 2 --data DIR")
	$(BIN)/ticketbot demo $(ARGS)

run: $(VENV)/all ## Start the service with your settings (CONFIG=file)
	$(BIN)/ticketbot $(if $(CONFIG),--config $(CONFIG)) serve

test: $(VENV)/all ## Run the tests (ARGS="-k walk"); the longer ones: make faults
	$(BIN)/python -m pytest -m "not slow" --ignore tests/faults -n 2 $(ARGS)

check: $(VENV)/all ## Format, lint, types, layout and docs: under two minutes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layout.py tests/test_docs.py

faults: $(VENV)/all ## Kill, stall and starve it at CI size
	$(BIN)/python -m pytest tests/faults $(ARGS)

soak: $(VENV)/all ## The same at night size: hours
	FAULTS_SIZE=night $(BIN)/python -m pytest tests/faults $(ARGS)

bench: $(VENV)/all ## Measure against the goals; writes bench/results/latest.json
	$(BIN)/python -m bench $(ARGS)
	$(BIN)/python -m bench.speed

bench-full: $(VENV)/all ## The same at full size: a million files, ten thousand copies
	$(BIN)/python -m bench --full $(ARGS)
	$(BIN)/python -m bench.speed --full

docs: $(VENV)/all ## Write the generated parts of docs/
	$(BIN)/python docs/generate.py

site: $(VENV)/all ## Build the documentation's site into site/; a broken link fails
	$(BIN)/python docs/generate.py >/dev/null
	$(BIN)/mkdocs build --strict --quiet

release-check: $(VENV)/all ## Wheel and sdist: what is in them, and an administrator's first 15 minutes with them
	$(BIN)/python -m pytest -q tests/release $(ARGS)

texts: $(VENV)/all ## Bring the pages' catalogues (ticketbot/web/languages) up to date with the code
	$(BIN)/python -m tests.support.catalogues

screenshots: $(VENV)/all ## Photograph every page, light and dark, into docs/screenshots
	$(BIN)/python docs/screenshots.py $(ARGS)
	$(BIN)/python docs/tutorial_pictures.py

format: $(VENV)/all ## Put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the environment, caches and what the demo left
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist *.egg-info demo-run

# What a fresh machine may lack is said in words, not by a stack trace.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "ticketbot needs Python 3.11 or newer; on Debian and Ubuntu: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "Python's venv is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/all: $(VENV)/made pyproject.toml
	@echo "Installing the service, the trainer and the tools into $(VENV) (several GB the first time, most of it torch)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train,postgres,dev]'
	@touch $@
