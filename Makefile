# Everything a person does with this project. `make` alone lists it.

PORT ?= 8000
ARGS ?=
SOAK ?= 20
PYTHON := .venv/bin/python
NO_SERVE := $(if $(filter 0,$(SERVE)),--no-serve)
STRICTLY := $(if $(filter 1,$(REQUIRE_ALL)),--require-all)

.DEFAULT_GOAL := help
.PHONY: help setup demo run worker beat test test-deps soak check fix bench lock

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: .venv/.development ## make the virtual environment with everything to run, test and check

demo: .venv/.runtime ## sync a sandbox Canvas twice, then show the console (SERVE=0 ends there; PORT=8000)
	@$(PYTHON) manage.py run_demo --port $(PORT) $(NO_SERVE)

run: .venv/.runtime ## serve the console on your own data, with worker, beat and Redis (PORT=8000)
	@$(PYTHON) manage.py run_easel --port $(PORT)

worker: .venv/.runtime ## do background work beside a console served elsewhere (needs REDIS_URL)
	@$(PYTHON) -m celery -A config worker --without-gossip --without-mingle $(ARGS)

beat: .venv/.runtime ## start what schedules ask for: one for all machines (needs REDIS_URL)
	@$(PYTHON) -m celery -A config beat $(ARGS)

test: .venv/.development ## run the tests on SQLite and PostgreSQL (REQUIRE_ALL=1: what cannot be tested fails)
	@$(PYTHON) -m scripts.run_tests $(STRICTLY) -- $(ARGS)

test-deps: ## install PostgreSQL, Redis and Chromium for the tests (Debian, Ubuntu; as root)
	@sh scripts/install_test_servers.sh

soak: .venv/.development ## kill the reader of transfer logs thousands of times (SOAK=20; half an hour)
	@SOAK=$(SOAK) $(PYTHON) -m scripts.run_tests -- tests/logmonitor/test_transfers_tailer.py -k "kills or anything"

# The settings are loaded beside an installation's own, so that nothing of it is touched or asked.
check: export EASEL_VAR_DIR := var/check
check: export EASEL_ENV_FILE := /dev/null
check: export DATABASE_URL := sqlite://:memory:
check: .venv/.development ## lint, types, import rules, migrations, settings; changes nothing
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy .
	@.venv/bin/lint-imports --no-logo
	@$(PYTHON) manage.py makemigrations --check --dry-run
	@$(PYTHON) manage.py check

fix: .venv/.development ## lint and format, mending what can be mended
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

bench: .venv/.development ## measure syncs against a null client and peers
	@$(PYTHON) -m bench $(ARGS)

lock: ## write the locks anew from pyproject.toml (needs uv)
	uv pip compile -q --universal --generate-hashes --no-annotate --custom-compile-command 'make lock' \
		pyproject.toml -o requirements.txt
	uv pip compile -q --universal --generate-hashes --no-annotate --custom-compile-command 'make lock' \
		pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

# Two steps, so that the demo does not wait for browsers and type checkers.
.venv/.runtime: requirements.txt
	@sh scripts/install_packages.sh requirements.txt
	@touch $@

.venv/.development: requirements-dev.txt .venv/.runtime
	@sh scripts/install_packages.sh requirements-dev.txt
	@touch $@
