# Everything runs in .venv, which the first target makes; after that no target but `slow` needs a network.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
QUESTION := What is 17% of 2,340?

# Neither the demo nor the tests may depend on what the user's shell happens to export.
CLEAN := env $$(env | sed -n -E 's/^([A-Za-z0-9_]*_API_KEY|ORCHESTRATOR_(RUN_[A-Z_]*|AGENTS)|LANG(SMITH|CHAIN)_[A-Z_0-9]*)=.*/-u \1/p')

.DEFAULT_GOAL := help
.PHONY: help demo test check slow docs clean

help:  ## what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(READY)  ## ask one question, break the first-choice tool, ask why the second run went as it did
	@printf '\n== A question goes straight ==\n\n'
	@$(CLEAN) $(BIN)/orchestrator run "$(QUESTION)"
	@printf '\n== The same, with the first-choice tool broken ==\n\n'
	@$(CLEAN) $(BIN)/orchestrator run "$(QUESTION)" --fail algebra
	@printf '\n== Why the last run went that way ==\n\n'
	@$(CLEAN) $(BIN)/orchestrator trace why last

test: $(READY)  ## the tests, with coverage, without the slow ones
	@$(CLEAN) $(BIN)/pytest -n auto --cov --cov-report=term

check: $(READY)  ## lint, format, strict types, import floors, house rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-cache
	@$(CLEAN) $(BIN)/pytest -q tests/test_architecture.py

slow: $(READY)  ## the slow tests; needs a package index
	@$(CLEAN) $(BIN)/pytest -m slow -n auto --timeout 900

docs: $(READY)  ## make the pictures of the README anew, the cookbook, the reference in docs/api, the cases of our own suites
	@$(CLEAN) $(BIN)/python docs/make.py
	@$(CLEAN) $(BIN)/python docs/make_cookbook.py
	@$(CLEAN) $(BIN)/python docs/make_api.py
	@$(BIN)/python docs/make_local_cases.py

clean:  ## remove what the other targets made
	rm -rf .venv .bench .coverage .coverage.* .hypothesis .pytest_cache .ruff_cache build dist htmlcov

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'thinkroute needs Python 3.11 or newer, and `$(PYTHON)` is older or missing. Name another: make PYTHON=python3.12' >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo '`$(PYTHON)` cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo 'Installing into $(VENV): once, a minute or so.'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local,eval,durable,postgres,otel,dev]' -c constraints.txt
	@touch $@
