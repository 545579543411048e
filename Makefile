# Everything runs from here. `make` prints the targets; what they need is set up once, by themselves.

PRESET  ?= laptop
SEEDS   ?= 1
TASKS   ?= all
DATA    ?=
RUNS    ?= runs
FIGURES ?= figures
ARGS    ?=
FUZZ    ?= 20000
FUZZ_SEED ?= 0

# `PYTHON=python make …` takes the active environment (conda's, from environment.yml) instead of .venv.
ifdef PYTHON
READY := active
else
PYTHON := .venv/bin/python
READY := .venv/.ready
endif

# A variable of another name would be ignored, and all tasks planned: MEANT:NAME, in the singular or the plural.
called = $(firstword $(origin $(1)))
refuse = $(error the variable is $(2), not $(1): $(2)=$($(1)))
$(foreach pair,TASK:TASKS SEED:SEEDS PRESETS:PRESET RUN:RUNS FIGURE:FIGURES ARG:ARGS,$(foreach wrong,$(firstword $(subst :, ,$(pair))), \
	$(if $(filter command,$(call called,$(wrong))),$(call refuse,$(wrong),$(lastword $(subst :, ,$(pair)))))))
$(if $(filter environment,$(call called,TASK)),$(call refuse,TASK,TASKS))

QUESTION = --preset "$(PRESET)" --seeds "$(SEEDS)" --data "$(DATA)" --runs "$(RUNS)" --figures "$(FIGURES)" $(ARGS)
# Two files of tests at a time; in one process, to use a debugger: make test WORKERS=0
WORKERS ?= 2
TESTS = $(PYTHON) -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

.PHONY: help setup active lab figures claims notebooks test fuzz check format bench docs lock clean
.DEFAULT_GOAL := help

help: ## print this
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name about; do printf '%-18s %s\n' "$$name" "$$about"; done
	@echo "variables: PRESET=smoke|laptop|study|paper SEEDS=1 TASKS=all|vqa,coco,…"
	@echo "           DATA=folder RUNS=runs FIGURES=figures ARGS='…'"

setup: $(READY) ## create .venv from requirements.lock (others do so, too)

# Its `python3` is the one of this environment, whichever lies on the user's JUPYTER_PATH.
lab: $(READY) ## JupyterLab on this machine alone, at the first notebook
	JUPYTER_PATH="$$($(PYTHON) -c 'import sys; print(sys.prefix)')/share/jupyter:$$JUPYTER_PATH" \
		$(PYTHON) -m jupyter lab --ip=127.0.0.1 --ServerApp.root_dir=. $(if $(filter 0,$(shell id -u)),--allow-root) \
		--LabApp.default_url=/lab/tree/notebooks/00_quickstart.ipynb $(ARGS)

figures: $(READY) ## train what is missing, draw all into figures/index.html
	@$(PYTHON) -m optima_lab figures --tasks "$(TASKS)" $(QUESTION)

claims: $(READY) ## train and judge the claims: figures/claims/ledger.html
	@$(PYTHON) -m optima_lab claims --tasks "$(TASKS)" $(QUESTION)

notebooks: figures ## execute every notebook: figures, then the lessons on bandits
	@$(PYTHON) -m optima_lab lessons --figures "$(FIGURES)"

test: $(READY) ## all tests but the slow ones (those: make test ARGS="-m slow")
	$(TESTS) $(ARGS)

fuzz: $(READY) ## spoil 20,000 inputs, nightly (others: FUZZ=… FUZZ_SEED=…)
	FUZZ="$(FUZZ)" FUZZ_SEED="$(FUZZ_SEED)" $(PYTHON) -m pytest tests/test_fuzz.py $(ARGS)

check: $(READY) ## what .ci/run calls: format, lint, types, smoke run, tests
	$(PYTHON) -m ruff format --check --quiet .
	$(PYTHON) -m ruff check --quiet .
	$(PYTHON) -m pyright --pythonpath "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
		$(PYTHON) -m optima_lab figures --tasks all --preset smoke --runs "$$folder/runs" --figures "$$folder/figures" && \
		! find "$$folder/figures" -name "*.ipynb" -size +1000000c | sed "s/$$/ is larger than 1 MB/" | grep .
	$(TESTS)

format: $(READY) ## rewrite Python and notebooks in the project's format
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

bench: $(READY) ## measure benchmarks/ (one: ARGS=steps) into its RESULTS.md
	@$(PYTHON) -m benchmarks $(ARGS)

docs: $(READY) ## the API reference: build/docs/index.html
	@$(PYTHON) -W ignore -m pdoc --no-include-undocumented --output-directory build/docs \
		$$(find optima_lab -name '*.py' ! -name __main__.py | sort | sed 's|/__init__||; s|\.py$$||; s|/|.|g')
	@echo "docs: build/docs/index.html"

lock: $(READY) ## write requirements.lock anew (newer: ARGS=--upgrade)
	$(PYTHON) -m uv pip compile --quiet --universal --generate-hashes \
		$(foreach extra,all dev cluster hf onnx tensorboard wandb mlflow voila,--extra $(extra)) pyproject.toml -o requirements.lock \
		--custom-compile-command "make lock" $(ARGS)

clean: ## remove caches and drawn figures; runs stay
	@echo "removing caches, build leftovers and drawn figures; runs/ stays (all of it goes with: rm -r runs)"
	@mkdir -p figures && find figures -mindepth 1 -maxdepth 1 ! -name README.md ! -name readme -exec rm -rf {} +
	@rm -rf .pytest_cache .ruff_cache .hypothesis build *.egg-info
	@find optima_lab tests benchmarks notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

active:
	@$(PYTHON) -c 'import importlib.util as u, sys; sys.exit(0 if all(map(u.find_spec, ("open_clip", "jupyterlab", "pytest"))) \
		else "$(PYTHON) lacks the requirements: conda env create -f environment.yml, then activate it")'

# The stamp is written last: a set-up that was interrupted is done again.
.venv/.ready: requirements.lock pyproject.toml
	@python3 -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, got " + sys.version.split()[0])'
	@echo "setting up .venv (once; about 6 GB)" >&2
	@test -x .venv/bin/python || python3 -m venv .venv
	@test -x .venv/bin/uv || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@quiet=$$(test -t 2 || echo --quiet); export VIRTUAL_ENV="$$PWD/.venv"; \
		.venv/bin/uv pip sync $$quiet --require-hashes requirements.lock && \
		.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
