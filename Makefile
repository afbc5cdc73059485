# `make demo` and `make test` need Python 3.11, make and git; they set up everything else themselves.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OPEN_CLIP := $(VENV)/open_clip/.ready
OUT ?= build/demo
# One process a core with one thread each; a file's tests stay together, so that they share what they set up.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses auto --dist loadfile
FUZZ = VERGENCE_PLAIN=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses auto tests/fuzz
SECONDS ?= 1200

.PHONY: demo test check fuzz lint bench lock clean setup
.DEFAULT_GOAL := demo

setup: $(READY)

# Made anew only when the pinned versions or the package's own metadata change.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 is needed; install it, or say: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned versions into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# What one test needs in a process of its own; tests alone wait for it.
$(OPEN_CLIP): $(READY) tests/open_clip/requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D) --upgrade \
	  -r tests/open_clip/requirements.txt
	@touch $@

demo: $(READY)
	@$(BIN)/vergence demo --out $(OUT) --resume

test: lint $(OPEN_CLIP)
	@$(PYTEST)
	@$(FUZZ)

check: lint
	@$(PYTEST) -m "not slow"
	@VERGENCE_FUZZ_EXAMPLES=20 $(FUZZ)

# Random inputs at every boundary for SECONDS, with new seeds each round.
fuzz: $(READY)
	@$(BIN)/python scripts/fuzz.py $(SECONDS)

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/check_citations.py

bench: $(READY)
	@$(BIN)/python -m benchmarks

lock: $(READY)
	@$(BIN)/python scripts/lock.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -exec rm -rf {} +
