# What a person types here: `make demo`, `make test`; the rest is below.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
DEMO := --persons 20000 --days 3
COUNTY ?= ../shared/county

.PHONY: help demo test check county hostile bench lock clean

help:  ## Say what can be typed here
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/'

.venv/.core: deploy/requirements.lock deploy/bootstrap.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: install one, or name it: make PYTHON=/path/to/python3.12 $@"; exit 2; }
	@echo "building .venv from deploy/requirements.lock (a minute or so; once)"
	@sh deploy/install.sh $(PYTHON) deploy/requirements.lock
	@touch $@

.venv/.dev: .venv/.core deploy/requirements-dev.lock
	@echo "adding what the tests need"
	@sh deploy/install.sh $(PYTHON) deploy/requirements-dev.lock
	@touch $@

demo: .venv/.core  ## Make a synthetic county and run its whole way to the published record
	@rm -rf .demo
	$(BIN)/kith demo --home .demo $(DEMO)

test: .venv/.dev  ## Lint, types and all tests (at most 10 minutes on two cores)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: .venv/.dev  ## Lint and types only
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

county: .venv/.dev  ## Run a county folder (COUNTY=...) against its truth
	$(BIN)/python -m demo.reference_county $(COUNTY) $(if $(DAYS),--days $(DAYS))

hostile: .venv/.dev  ## Take in all hostile files (some minutes; make test takes a sample)
	KITH_HOSTILE=1 $(BIN)/python -m pytest tests/hostile tests/integration/test_sftp_hostile_server.py tests/integration/test_sftp_trust.py

bench: .venv/.dev  ## Measure the figures of benchmarks/README.md
	$(BIN)/python -m benchmarks

lock: .venv/.dev  ## Write the lock files anew (hashes, no index address)
	for set in "deploy/bootstrap.in -o deploy/bootstrap.lock" "pyproject.toml -o deploy/requirements.lock" \
		"pyproject.toml --extra dev -o deploy/requirements-dev.lock"; do \
		$(BIN)/uv pip compile $$set --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --quiet || exit 1; \
	done

clean:  ## Remove what was built
	rm -rf .venv .demo build *.egg-info
