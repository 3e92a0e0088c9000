# `make` lists the targets. Options are given on the command line: make lab PORT=8899

PYTHON ?= python3
VENV ?= .venv
# Another torch than the locked one, for instance TORCH='torch>=2.14' for a newer CUDA. Takes effect on a first install.
TORCH ?= $(shell grep '^torch==' requirements.lock)

PORT ?= 8888
BROWSER ?=
TOKEN ?=
SUBMISSIONS ?=
THROUGH ?=
WORKERS ?= 2
FIRST_NOTEBOOK := notebooks/00_start_here/00_start_here.ipynb

BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed
# A second environment, with the versions that Colab pins, in which the tests run every notebook.
COLAB := .venv-colab/.installed
EXTRAS := lab,cluster,benchmarks,test

.DEFAULT_GOAL := help
.PHONY: help lab test lint release solutions grade report bundle wheel bench lock clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

lab: $(INSTALLED)  ## open the course in JupyterLab; PORT=8888 BROWSER=no TOKEN=secret
	"$(BIN)/python" -m autograder release --missing
	# nbgrader reads nbgrader_config.py from the folder that JupyterLab starts in.
	cd autograder && exec "$(BIN)/jupyter" lab \
	    --ServerApp.root_dir="$(CURDIR)" --ServerApp.port=$(PORT) --LabApp.default_url=/lab/tree/$(FIRST_NOTEBOOK) \
	    $(if $(filter no,$(BROWSER)),--no-browser) $(if $(TOKEN),--IdentityProvider.token=$(TOKEN)) \
	    $(if $(filter 0,$(shell id -u)),--allow-root)

test: $(INSTALLED) $(COLAB) lint  ## install what is missing, lint, run every test; WORKERS=2
	tools/system_packages.sh
	"$(BIN)/python" -m pytest -n $(WORKERS) --dist loadgroup --durations 10

lint: $(INSTALLED)  ## ruff over the code and the notebooks' sources
	"$(BIN)/ruff" check .

release: $(INSTALLED)  ## make every notebook in notebooks/ anew from solutions/
	"$(BIN)/python" -m autograder release

solutions: $(INSTALLED)  ## run the solved notebooks into build/solutions/
	"$(BIN)/python" -m autograder solutions

grade: $(INSTALLED)  ## grade submissions and report; SUBMISSIONS=folder, or a zip of Canvas or Moodle
	$(if $(SUBMISSIONS),,$(error SUBMISSIONS is empty: give the folder that holds one folder for each learner, or the zip that your LMS made, make grade SUBMISSIONS=folder))
	"$(BIN)/python" -m autograder grade "$(SUBMISSIONS)"
	"$(BIN)/python" -m autograder report

report: $(INSTALLED)  ## after marking in formgrader: marks, reports and files for an LMS anew
	"$(BIN)/python" -m autograder report

bundle: $(INSTALLED)  ## the zip that learners get, build/bundle.zip; THROUGH=04 for the notebooks up to 04
	"$(BIN)/python" -m autograder bundle $(if $(THROUGH),--through "$(THROUGH)")

wheel: $(INSTALLED)  ## the wheel of course_lib for Colab, in build/wheel/
	"$(BIN)/python" -m autograder wheel

bench: $(INSTALLED)  ## measure engine, simulator and start-up anew, and render benchmarks/README.md
	"$(BIN)/python" -m benchmarks.engine --output benchmarks/results/engine_cpu.json
	"$(BIN)/python" -m benchmarks.simulator --output benchmarks/results/simulator.json
	"$(BIN)/python" -m benchmarks.startup --output benchmarks/results/startup.json
	"$(BIN)/python" -m benchmarks.readme

lock:  ## write requirements.lock anew with the newest versions that fit (torch stays as pinned)
	tools/lock.sh "$(PYTHON)" "$(EXTRAS)" "$(TORCH)"

clean:  ## remove builds and caches, never notebooks or grades
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

$(COLAB): requirements-colab.lock
	test -x .venv-colab/bin/python || $(PYTHON) -m venv .venv-colab
	.venv-colab/bin/python -m pip install -r requirements-colab.lock
	touch $@

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Python 3.11 or newer is needed, got {sys.version.split()[0]}: make PYTHON=python3.12")'
	test -x "$(BIN)/python" || $(PYTHON) -m venv "$(VENV)"
	grep -v '^torch==' requirements.lock > "$(VENV)/requirements.txt"
	"$(BIN)/python" -m pip install '$(TORCH)' -r "$(VENV)/requirements.txt"
	"$(BIN)/python" -m pip install --no-deps --no-build-isolation -e .
	touch $@
