# `make help` lists the targets. Each one does its own set-up, in .venv, and leaves the machine's
# own Python alone. Another interpreter: make PYTHON=python3.12 book
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
# Written last, so that it exists only beside a finished installation; it holds the folder's path.
STAMP  := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# An environment whose folder was moved, or whose Python is gone, cannot be used any more.
$(shell test ! -e $(STAMP) || { test -x $(PY) && test "$$(cat $(STAMP))" = "$(CURDIR)"; } \
  || rm -rf $(VENV))

.PHONY: help book book-strict stale test lint lab bench clean
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

$(STAMP): pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	@test ! -e $(VENV)/.unfinished || rm -rf $(VENV)
	@# Debian ships venv without ensurepip: there the machine's own pip fills the environment.
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) >/dev/null || { \
	  $(PYTHON) -m venv --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(PY) install --quiet pip; }
	@touch $(VENV)/.unfinished
	$(PY) -m pip install -r requirements.txt
	@printf '%s' "$(CURDIR)" > $@
	@rm $(VENV)/.unfinished

# Outputs are cached per chapter, and the cache looks at the chapter's code alone. So it goes when
# anything else that the outputs come from has changed: the library, test data, installed packages.
stale: $(STAMP)
	@mkdir -p _build
	@{ find tvm_book $(wildcard tests/golden) -type f ! -name '*.pyc' -exec cksum {} +; \
	   ls $(VENV)/lib/python3*/site-packages; } | sort | cksum > _build/.inputs.new
	@cmp -s _build/.inputs.new _build/.inputs || \
	  rm -rf _build/html _build/.doctrees _build/.jupyter_cache _build/jupyter_execute
	@mv _build/.inputs.new _build/.inputs

book: stale ## run every chapter and write the book
	$(VENV)/bin/jupyter-book build .
	@echo "Open $(CURDIR)/_build/html/index.html"

book-strict: stale ## the same, where any warning is an error
	$(VENV)/bin/jupyter-book build --all -W -n --keep-going .
	@echo "Open $(CURDIR)/_build/html/index.html"

test: lint stale ## lint, tests, docstring examples, and every chapter
	CHAPTER_CACHE="$(CURDIR)/_build/.jupyter_cache" $(PY) -m pytest -n auto --maxprocesses 8 --dist worksteal

lint: $(STAMP) ## check style and formatting
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

lab: $(STAMP) ## open the chapters as notebooks in JupyterLab
	JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter" $(PY) -m jupyterlab \
	  --LabApp.default_url=/lab/tree/book/intro.md $(if $(filter 0,$(shell id -u)),--allow-root)

# The other toolkits come with the first `make bench`; ARGS="--batch 1 8" goes to the program.
$(VENV)/.bench: $(STAMP)
	$(PY) -m pip install -e '.[bench]'
	@touch $@

bench: $(VENV)/.bench ## race against other toolkits: table, JSON, figure
	$(PY) benchmarks/latency.py --resume $(ARGS)

clean: ## remove the built book and the environment
	rm -rf $(VENV) _build build *.egg-info .pytest_cache .ruff_cache .hypothesis
