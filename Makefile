# Two commands: `make run` and `make test`. They need Python 3.11-3.13, git and make; everything else goes into .venv.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# Many tests wait for slots and processes, so one worker more than there are cores. On a machine that stalls, one of
# thousands may miss its second: it is tried once more, alone with its name in the summary (RERUN), which wants mending.
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null | awk '{ print $$1 + 1 }')
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q

# The tests start many processes, and each would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test check fix ci bench selftest programs lock clean

help: ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "slotzero needs Python 3.11, 3.12 or 3.13 on PATH (or: make PYTHON=/path/to/python3.11 ...)" >&2; exit 2; }
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.lock pyproject.toml | $(BIN)/python
	@echo "installing slotzero into $(VENV) (once)"
	@$(PIP) --require-hashes -r requirements/run.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(BIN)/python
	@echo "installing slotzero and its development tools into $(VENV) (once)"
	@$(PIP) --require-hashes -r requirements/dev.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run

run: $(VENV)/.run ## start the embedded chain and snipe until three positions are closed
	@$(BIN)/slotzero run --until-closed 3

test: $(VENV)/.dev ## the whole test suite (at most five minutes)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --reruns 1 -rfER -m "not performance and not load and not long"

check: $(VENV)/.dev ## lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: $(VENV)/.dev ## format, and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

ci: check test ## what CI runs

bench: $(VENV)/.run ## print the benchmarks with their environment
	@for b in benchmarks/bench_*.py; do $(BIN)/python $$b || exit 1; done

selftest: $(VENV)/.run ## how often the lab's verdicts are wrong, measured (about 10 minutes, at most 40)
	@$(BIN)/python benchmarks/selftest.py

programs: $(VENV)/.dev ## maintainers: rebuild the pool programs from their C source
	@$(PIP) --require-hashes -r requirements/programs.lock
	@$(BIN)/python -m slotzero.localnet.programs.build

lock: | $(BIN)/python ## maintainers: resolve the lock files anew (exact versions, hashes, no addresses)
	@$(PIP) uv
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		pyproject.toml --group build -o requirements/run.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		pyproject.toml --group build --group dev -c requirements/run.lock -o requirements/dev.lock
	@echo "ziglang==0.17.1" | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		- -o requirements/programs.lock

clean: ## remove what the targets above made
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
