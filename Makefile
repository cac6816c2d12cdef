# Everything a newcomer runs. Only Python 3.11 or 3.12 and make need to be there before.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test bench crash soak coverage coverage-money lint lock

PORT ?= 8000
SPEED ?= 1
SEED ?= 1
DATA ?=
KILLS ?= 150
HOURS ?=
DAYS ?=
MINUTES ?=

# Branch coverage that the pure rooms must keep, in percent.
CORE := engine/*,*/core/*
CORE_COVERAGE := 85

# The path of money, its branches in percent, and the tests that are there for it.
MONEY := engine/kill_switch.py,engine/ledger.py,engine/ledger_state.py,engine/lots.py,engine/risk.py,engine/limits.py,engine/breakers.py,engine/ceilings.py,engine/protection.py,engine/entry_orders.py,trades/core/order_state.py,trades/oms.py,trades/send_rules.py,trades/order_watch.py,trades/reconcile.py,trades/differences.py,trades/transfers.py,trades/ceilings.py,trades/ceiling_changes.py,trades/brokers/clearances.py
MONEY_COVERAGE := 95
MONEY_TESTS := $(addprefix tests/engine/,test_kill_switch.py test_ledger.py test_ledger_machine.py test_limits.py test_ceilings.py test_outside.py \
  test_trading_book.py test_protection.py test_entry_orders.py test_standing.py test_account.py phases/test_caps_interplay.py) \
  $(addprefix tests/trades/,core test_oms.py test_reconcile.py test_differences.py test_transfers.py test_ceilings.py \
  test_gate.py test_books.py brokers/test_brakes.py brokers/test_ccxt_live.py brokers/test_stop_limits.py)

# Test processes side by side, one more than cores: many tests wait for processes of their own. 0: one by one.
TEST_WORKERS ?= 3

# Kept bytecode saves each of the many processes that run and test start half a second.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
PY := $(VENV)/bin/python
PIP_FLAGS := --disable-pip-version-check --require-hashes --progress-bar off --no-color

# The first of these that really runs and is new enough; a shim on the PATH may not.
FIND_PYTHON = for p in $(PYTHON) python3.11 python3.12 python3; do \
	  $$p -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 13)))' >/dev/null 2>&1 \
	  && { echo $$p; exit 0; }; done; \
	echo "Python 3.11 or 3.12 was not found; install one, or name it: make run PYTHON=/path/to/python3.11" >&2; \
	exit 2

# Debian's python3 comes without ensurepip; its pip can install into a venv that has none.
define MAKE_VENV
@set -e; if ! $(PY) -c '' >/dev/null 2>&1; then \
  python=$$($(FIND_PYTHON)); echo "Making $(VENV) with $$python ..."; rm -rf $(VENV); \
  $$python -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); $$python -m venv --without-pip $(VENV); }; \
fi
endef

# $(call INSTALL,FILE,STAMP): install when the file's hash or the Python changed since the stamp.
# pip works for minutes: a line says so while it does, and what it says itself is shown when it fails.
define INSTALL
@set -e; now=$$($(PY) -c 'import hashlib,sys; print(hashlib.sha256(open(sys.argv[1],"rb").read()).hexdigest(), sys.version)' $(1)); \
if [ "$$(cat $(VENV)/$(2) 2>/dev/null)" != "$$now" ]; then \
  echo "Installing $(1), one to three minutes ..."; \
  log=$(VENV)/pip.log; into=; \
  pip="$(PY) -m pip"; $$pip --version >/dev/null 2>&1 || { pip="$$($(FIND_PYTHON)) -m pip"; into="--python $(PY)"; }; \
  total=$$(grep -c '^[a-z0-9].*==' $(1)); \
  $$pip $$into install $(PIP_FLAGS) -r $(1) >$$log 2>&1 & pip_pid=$$!; \
  trap 'kill $$pip_pid 2>/dev/null; exit 130' INT TERM; waited=0; \
  while kill -0 $$pip_pid 2>/dev/null; do \
    sleep 1; waited=$$((waited + 1)); \
    if [ $$((waited % 5)) = 0 ]; then \
      echo "  $$(grep -c '^Collecting ' $$log) of $$total packages looked at, $$waited s"; \
    fi; \
  done; \
  wait $$pip_pid || { cat $$log >&2; exit 1; }; \
  echo "$$now" > $(VENV)/$(2); \
fi
endef

help: ## every target, one line each
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.PHONY: setup setup-dev
setup:
	$(MAKE_VENV)
	$(call INSTALL,requirements.txt,.installed)

setup-dev: setup
	$(call INSTALL,requirements-dev.txt,.installed-dev)

run: setup ## start everything in the foreground: PORT=8000 DATA="FILE …" SPEED=1 SEED=1
	@exec $(PY) manage.py up --port '$(PORT)' --speed '$(SPEED)' --seed '$(SEED)' $(if $(DATA),--data $(DATA))

test: setup-dev ## lint, types, import ladder, migrations, database tests on PostgreSQL, every test
	@$(MAKE) --no-print-directory -j2 --output-sync=target checks kernels
	@$(PY) -m tests.postgres -n $(TEST_WORKERS) --dist loadfile
	@$(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

coverage: setup-dev ## the tests under coverage; fails below 85 % of the branches of the pure rooms
	@$(PY) -m coverage erase
	@$(MAKE) --no-print-directory kernels
	@TRADEPLATFORM_RESULTS='$(VENV)/coverage-results.json' $(PY) -m coverage run -m pytest \
	  -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report --skip-covered --include='$(CORE)' --fail-under=$(CORE_COVERAGE)

coverage-money: setup-dev ## branch coverage of the money path by its own tests; fails below 95 %
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest -q -n $(TEST_WORKERS) --dist loadfile $(MONEY_TESTS)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report -m --skip-covered --include='$(MONEY)' --fail-under=$(MONEY_COVERAGE)

.PHONY: checks kernels
kernels:
	@$(PY) manage.py compile_kernels

checks:
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py check --fail-level WARNING

lint: setup-dev ## the checks of `make test` without the tests
	@$(MAKE) --no-print-directory checks

bench: setup-dev ## benchmarks; writes benchmarks/results.json and prints a table
	@$(PY) -m benchmarks.bench

crash: setup-dev ## kill processes at random while trading: KILLS=150 SEED=1
	@$(PY) -m tests.crash.harness --kills '$(KILLS)' --seed '$(SEED)' $(if $(DATABASE),--database '$(DATABASE)')

soak: setup-dev ## the long run: HOURS= (wall) or DAYS= (virtual; TIMEFRAME=, MINUTES= ends it early)
	@$(PY) -m benchmarks.soak $(if $(HOURS),--hours '$(HOURS)') $(if $(DAYS),--days '$(DAYS)') $(if $(MINUTES),--minutes '$(MINUTES)') $(if $(TIMEFRAME),--timeframe '$(TIMEFRAME)') --seed '$(SEED)'

lock: setup-dev ## resolve requirements*.in into the hashed lock files
	$(VENV)/bin/uv pip compile --universal --generate-hashes --quiet --python-version 3.11 requirements.in -o requirements.txt
	$(VENV)/bin/uv pip compile --universal --generate-hashes --quiet --python-version 3.11 requirements-dev.in -o requirements-dev.txt
