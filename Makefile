# What one types in this checkout. `make` alone lists it.
#
# Options of a target are variables: make call LINE=xjca FAKE=1
# Interpreter: PYTHON=python3.12. Everything made at run time lies under .venv/ and var/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin

LINE ?= xjca
AGENT ?= 801
FAKE ?=
RUN ?=
ENGINE ?= kokoro
TESTS ?=
SOAK ?= 600

.PHONY: help
help:  ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# ---------------------------------------------------------------- setting up

.PHONY: install
install:  ## Make .venv, from locked versions (again only if they changed)
	@PYTHON='$(PYTHON)' requirements/install.sh

.PHONY: base
base:
	@PYTHON='$(PYTHON)' requirements/install.sh base

.PHONY: lock
lock: install  ## Write the lock files anew after a change in pyproject.toml
	@requirements/lock.sh

.PHONY: clean
clean:  ## Remove what was made here (.venv, var with its database and recordings)
	@rm -rf .venv var build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "clean; downloads stay in $${XDG_CACHE_HOME:-~/.cache}"

# ---------------------------------------------------------------- using it

.PHONY: run
run:  ## Everything: Asterisk, the service, one proof call; Ctrl-C stops it (RUN="--sip-port 5070")
	@began=$$(date +%s.%N); PYTHON='$(PYTHON)' requirements/install.sh base; \
	SANSHENG_BEGAN=$$began exec $(BIN)/sansheng run $(RUN)

.PHONY: call
call: base  ## A telephone in the terminal: make call LINE=ems; FAKE=1 needs no Asterisk
	@exec $(BIN)/sansheng call $(LINE) $(if $(FAKE),--fake) $(CALL)

.PHONY: phone
phone: base  ## An agent's telephone in the terminal: make phone AGENT=802; callers are put through to it
	@exec $(BIN)/sansheng phone $(AGENT) $(PHONE)

.PHONY: check
check: base  ## Check flows, lines and texts
	@$(BIN)/sansheng check

.PHONY: prompts
prompts: install  ## Record what changed in prompts/ (ENGINE=kokoro or pyttsx3)
	@if [ '$(ENGINE)' = kokoro ]; then PYTHON='$(PYTHON)' requirements/install.sh kokoro; fi
	@$(BIN)/python -m ivr.prompts build --engine '$(ENGINE)'

.PHONY: pictures
pictures: install  ## Draw the flows again for docs/pictures
	@$(BIN)/sansheng draw --line xjca --into docs/pictures opening hold call >/dev/null
	@$(BIN)/python -c 'import sys, ivr.draw as d; sys.stdout.buffer.write(d.picture(sys.stdin.read(), "svg"))' \
		< docs/pictures/architecture.dot > docs/pictures/architecture.svg

# ---------------------------------------------------------------- testing it

.PHONY: test
test: install  ## All tests, live calls through a real Asterisk included
	@requirements/test.sh

.PHONY: fast
fast: install  ## Tests that need no Asterisk
	@$(BIN)/python -m pytest -q -n 2 -m 'not live and not deep' $(TESTS)

.PHONY: live
live: install  ## Every live call, the slow ones too; resumes where it stopped, writes docs/live.md
	@SANSHENG_LIVE=all PYTHONPATH=tests $(BIN)/python -m pytest -p skips -v -m live $(TESTS)

.PHONY: deep
deep: install  ## What a run of all tests takes a few of: every step at which a process may die, every mutant
	@$(BIN)/python -m pytest -q -n 2 -m deep tests

.PHONY: soak
soak: install  ## Ten callers, three agents, ten minutes of real calls (SOAK=60 for a minute)
	@SANSHENG_SOAK='$(SOAK)' PYTHONPATH=tests $(BIN)/python -m pytest -q -m live tests/live/test_soak_live.py

.PHONY: lint
lint: install  ## Style, types, flows, dialplan
	@failed=; \
	for check in "ruff check ." "ruff format --check ." "mypy" "sansheng check" \
		"sansheng dialplan --lint"; do \
		echo "== $$check"; $(BIN)/$$check || failed="$$failed$$check; "; \
	done; \
	[ -z "$$failed" ] || { echo "failed: $$failed"; exit 1; }

.PHONY: explore
explore: install  ## Try every order of events of a transfer on every line; writes docs/exploration.md
	@$(BIN)/sansheng explore $(if $(EXPLORE),$(EXPLORE),--write docs/exploration.md)

.PHONY: bench
bench: install  ## How fast: calls a second in virtual time, at both levels
	@$(BIN)/sansheng simulate tests/scenarios
	@$(BIN)/sansheng simulate --wire tests/scenarios
