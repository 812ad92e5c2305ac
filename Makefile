# Gradecast: what a person, the hooks and CI run. `make` alone lists it all.

PYTHON ?= python3.11
PIPENV := 2026.10.3
BENCH  ?= $(basename $(notdir $(shell grep -l __main__ bench/*.py)))

DEV     := .venv/bin/python
SERVING := .venv-serving/bin/python

# A set-up is done when its stamp carries the digest of today's lock file: an interrupted one has no
# stamp and is repeated, a finished one costs milliseconds.
LOCKED     := $(shell { sha256sum Pipfile.lock || shasum -a 256 Pipfile.lock; } 2>/dev/null | cut -c 1-16)
PIPENV_SET := .pipenv/set-up-$(PIPENV)
DEV_SET     = .venv/set-up-$(LOCKED)
SERVING_SET = .venv-serving/set-up-$(LOCKED)

export PIPENV_IGNORE_VIRTUALENVS := 0
export PIPENV_VERBOSITY := -1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export ORT_DISABLE_TELEMETRY := 1
export MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR := false
export PREFECT_SERVER_ANALYTICS_ENABLED := false

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help setup run pipeline serve up deploy contract models score approve reject rollback history demo-year
.PHONY: load backup restore prune test test-slow lint data bench clean

help:
	@echo 'make TARGET [DATA=path-or-URI] [CONTRACT=name-or-path] [GRID=name-or-path] [BUDGET=seconds] [ARGS="…"]'
	@echo 'With real students, set GRADECAST_ID_KEY first (openssl rand -hex 24) and keep a copy: see README.md.'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: pipeline serve ## Set up, train and register a model, then serve it on port 9696

pipeline: setup ## Records in, champion out (DATA, CONTRACT, GRID, BUDGET, AS_OF; ARGS=--help shows the rest)
	@env $${BUDGET:+GRADECAST_BUDGET="$$BUDGET"} $(DEV) -m flows.pipeline $${DATA:+--data "$$DATA"} $${CONTRACT:+--contract "$$CONTRACT"} \
		$${GRID:+--grid "$$GRID"} $${AS_OF:+--as-of "$$AS_OF"} $(ARGS)

# make serve's and make up's: the model of a contract that is named.
define of_contract
	if [ -n "$$CONTRACT" ]; then \
		GRADECAST_MODEL_URI=$$($(SERVING) -m serving.sync --contract "$$CONTRACT" --uri) || exit 2; \
		export GRADECAST_MODEL_URI; fi
endef

serve: $(SERVING_SET) ## Serve the champion on port 9696 (PORT, CONTRACT)
	@$(of_contract); exec $(SERVING) -m gunicorn -c serving/gunicorn.conf.py

up: setup ## Run Prefect server and worker, MLflow and predictor on this machine; Ctrl-C ends them all
	@$(of_contract); exec $(DEV) -m flows.up $(ARGS)

deploy: setup ## Register the deployments with the Prefect server that runs
	@$(DEV) -m flows.deploy $(ARGS)

contract: setup ## Write the contract of a file on a local page (DATA, CONTRACT, TARGET)
	@$(DEV) -m data.contract edit "$$DATA" $${CONTRACT:+--contract "$$CONTRACT"} \
		$${TARGET:+--target "$$TARGET"} $(ARGS)

score: setup ## A file or table in, the same rows with forecasts out (DATA, CONTRACT, AS_OF, ELAPSED, OUT)
	@$(DEV) -m flows.score $${DATA:+--data "$$DATA"} $${CONTRACT:+--contract "$$CONTRACT"} \
		$${AS_OF:+--as-of "$$AS_OF"} $${OUT:+--out "$$OUT"} $${ELAPSED:+--elapsed "$$ELAPSED"} $(ARGS)

approve: setup ## Make a version that waits for a person the champion (VERSION, REASON; alone: show what waits)
	@$(DEV) -m flows.approve $${VERSION:+--version "$$VERSION"} $${REASON:+--reason "$$REASON"} \
		$${CONTRACT:+--contract "$$CONTRACT"} $(ARGS)

reject: setup ## Leave the champion where it is (VERSION, REASON)
	@$(DEV) -m flows.approve --reject $${VERSION:+--version "$$VERSION"} $${REASON:+--reason "$$REASON"} \
		$${CONTRACT:+--contract "$$CONTRACT"} $(ARGS)

rollback: setup ## Turn the champion back to the one before it, or to a version (TO, REASON, CONTRACT)
	@$(DEV) -m flows.rollback $${TO:+--to "$$TO"} $${REASON:+--reason "$$REASON"} \
		$${CONTRACT:+--contract "$$CONTRACT"} $(ARGS)

models: setup ## What is registered, who is champion, what is served (CONTRACT)
	@$(DEV) -m flows.models $${CONTRACT:+--contract "$$CONTRACT"} $(ARGS)

history: setup ## Who promoted, rejected or turned back what, when and why (CONTRACT)
	@$(DEV) -m flows.history $${CONTRACT:+--contract "$$CONTRACT"} $(ARGS)

demo-year: setup ## Play twelve monthly batches through predictor, monitor and retraining (ten minutes)
	@$(DEV) -m demo $(ARGS)

load: setup ## Load a running predictor (ADDRESS, ARGS="--ramp" to its limit), report to var/reports
	@$(DEV) -m load $${ADDRESS:+--address "$$ADDRESS"} $(ARGS)

backup: setup ## Back up log, registry, Prefect and state, while all runs on (INTO=folder)
	@$(DEV) -m flows.backup "$${INTO:-backups}" $(ARGS)

prune: setup ## Remove reports, candidates and processed records that are old and not in use (DAYS)
	@$(DEV) -m flows.prune $${DAYS:+--days "$$DAYS"} $(ARGS)

restore: setup ## Restore a backup over nothing (FROM=folder; ARGS=--check only checks it)
	@$(DEV) -m flows.restore "$$FROM" $(ARGS)

# A run starts a hundred interpreters: whatever the shell says, what they import is compiled once.
test test-slow: export PYTHONDONTWRITEBYTECODE :=

test: setup ## Run the tests (ARGS="-k word" for some)
	@$(DEV) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: setup ## Run the long forms: soaks, kills, long loads, new random examples (half an hour)
	@$(DEV) -m pytest -m slow --hypothesis-profile default $(ARGS)

# The commands of .pre-commit-config.yaml, on every text file that is not ignored; a test compares the two.
TEXT = $(shell git grep -Il --untracked '' 2>/dev/null || \
	find . -type f -not -path './.*/*' -not -path './var/*' -exec grep -Il '' {} +)
lint: setup ## Run the checks that the commit hooks run
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	@.venv/bin/check-toml $(filter %.toml,$(TEXT))
	@.venv/bin/check-yaml --allow-multiple-documents $(filter %.yaml %.yml,$(TEXT))
	@.venv/bin/check-merge-conflict --assume-in-merge $(TEXT)
	@.venv/bin/detect-private-key $(TEXT)
	@.venv/bin/mixed-line-ending --fix=lf $(TEXT)
	@.venv/bin/trailing-whitespace-fixer $(TEXT)
	@.venv/bin/end-of-file-fixer $(TEXT)

data: setup ## Download the original data set and check its digest
	@$(DEV) -m data.sources.download $(ARGS)

bench: setup ## Measure what the README claims (BENCH=name for one section, ARGS=--quick)
	@set -e; for section in $(BENCH); do $(DEV) -m "bench.$$section" $(ARGS); done

setup: $(DEV_SET) $(SERVING_SET) ## Install what the lock file says (the others do it when needed)
	@:

clean: ## Remove all state (var/) and caches; asks nothing, says what
	@for path in var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build; do \
		if [ -e "$$path" ]; then echo "removing $$path"; rm -rf "$$path"; fi; done
	@find . -name __pycache__ -type d -not -path './.*' -prune -exec rm -rf {} +

# $(1): folder of the environment, $(2): what of the lock file. Pipenv installs into the environment
# that VIRTUAL_ENV names.
define sync
	@test -n '$(LOCKED)' || { echo 'Pipfile.lock is missing, or there is no sha256sum.' >&2; exit 1; }
	@$(1)/bin/python -c '' 2>/dev/null || .pipenv/bin/python -m virtualenv --quiet --clear $(1)
	@VIRTUAL_ENV='$(CURDIR)/$(1)' .pipenv/bin/python -m pipenv sync $(2)
	@rm -f $(1)/set-up-* && touch $@
endef

$(DEV_SET): $(PIPENV_SET)
	@echo 'Setting up .venv from Pipfile.lock: two minutes, once.'
	$(call sync,.venv,--dev)

# Made anew when the lock changes: nothing of an older one may linger where a worker could import it.
$(SERVING_SET): $(PIPENV_SET)
	@echo 'Setting up .venv-serving from Pipfile.lock: half a minute, once.'
	@rm -rf .venv-serving
	$(call sync,.venv-serving,--categories serving)

$(PIPENV_SET):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
		echo 'Gradecast needs Python 3.11, and "$(PYTHON)" is not it.' >&2; \
		echo 'Install it (https://www.python.org/downloads/, or your package manager), or say where it is:' >&2; \
		echo '  make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)' >&2; exit 1; }
	@echo 'Setting up Pipenv $(PIPENV) in .pipenv'
	@rm -rf .pipenv
	@$(PYTHON) -m venv .pipenv >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip .pipenv
	@$(PYTHON) -m pip --python .pipenv/bin/python install -qq pipenv==$(PIPENV)
	@touch $@
