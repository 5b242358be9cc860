# What a person or CI runs here. Each target makes what it needs; start with `make demo`.
#
#   make demo            six members on this computer: back up, lose three and the owner, restore
#   make demo FOLDER=/x  the same with a folder of yours
#   make app             the window: sets up all that it needs, and opens it
#   make test            all tests but those of `make test-long`
#   make cover           the fast tests, and what of the code they reach
#   make test-long       tests of links that take minutes, and of a busy person (a quiet machine)
#   make check           format, lint, types
#   make test-pythons    the fast tests on each Python from 3.11 to 3.13 that is here
#   make system          what the tests need from the operating system
#   make bench           the measurements of docs/benchmarks.md
#   make bench-link      one link: engines x round trips x losses, beside TCP with TLS (as root)
#   make bench-server    one server: 20,000 members, their memory, their signals, their return
#   make words           collect the texts of the pages, renew the catalogues of each language
#   make swarm           simulated worlds of real members for ten minutes; MINUTES=n, SEED=n
#   make fuzz            a million hostile cases for the server; FUZZ_RUNS=n for another number
#   make clean           away with everything that these made

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHONS := 3.11 3.12 3.13
FAST := not slow and not system

.PHONY: demo test check test-pythons system words bench bench-link bench-server fuzz clean

demo: $(STAMP)
	$(BIN)/python -m bench.demo $(if $(FOLDER),--folder "$(FOLDER)")

.PHONY: app
app: $(STAMP)
	.ci/system app
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint requirements.lock --editable '.[window]'
	$(BIN)/covey

# Three runs: tests with real processes wait more than they work, so that many go beside each other;
# those that see bandwidths want the machine for themselves. Whatever meets real sockets, browsers and
# processes can fail by bad luck on a machine that others use: a test that fails is run once more,
# and each that needed it is told.
RERUN := --reruns 1 --reruns-delay 2 -rR

test: $(STAMP) system
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not system" $(RERUN)
	$(BIN)/pytest -q -n 4 --dist loadfile -m "system and not quiet and not long" $(RERUN)
	$(BIN)/pytest -q -m "system and quiet and not long" $(RERUN)

.PHONY: cover
cover: $(STAMP) system
	$(BIN)/pytest -q -n 2 -m "not system" --cov --cov-report=term:skip-covered

.PHONY: test-long
test-long: $(STAMP) system
	$(BIN)/pytest -q -m long

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-pythons:
	@for version in $(PYTHONS); do \
	    if .ci/find-python $$version >/dev/null 2>&1; then \
	        echo "== Python $$version"; \
	        $(MAKE) --no-print-directory VENV=.venv-$$version PYTHON_VERSION=$$version fast; \
	    else \
	        echo "== Python $$version is not here: left out"; \
	    fi; \
	done

.PHONY: fast
fast: $(STAMP)
	$(BIN)/pytest -q -n 2 -m "$(FAST)" -p no:cacheprovider

system:
	.ci/system tests

bench: $(STAMP)
	.ci/system bench
	$(BIN)/python -m bench

bench-link: $(STAMP)
	$(BIN)/python -m bench.link $(if $(JSON),--json)

soak: $(STAMP)
	$(BIN)/python -m bench.soak --seconds $(or $(SECONDS),86400)

bench-server: $(STAMP)
	$(BIN)/python -m bench.server $(if $(JSON),--json $(JSON))

words: $(STAMP)
	$(BIN)/python -m gui.words

.PHONY: swarm
swarm: $(STAMP)
	$(BIN)/covey sim world --swarm 1000000 --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10)

fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint requirements.lock --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz.server .fuzz -runs=$(or $(FUZZ_RUNS),1000000) -max_len=4096

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
	    .coverage .coverage.* htmlcov dist build .fuzz
	find . -name __pycache__ -prune -exec rm -rf {} +

# Made anew when there is none, installed again when what it was installed from has changed.
$(STAMP): pyproject.toml requirements.lock
	@test -x $(BIN)/python || { \
	    python="$$(.ci/find-python $(PYTHON_VERSION))"; \
	    echo "Making $(VENV) with $$python"; \
	    "$$python" -m venv $(VENV); \
	}
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint requirements.lock --editable '.[dev]'
	@touch $@
