# Counterseal. `make demo` shows the main job, `make test` proves it; both install what they need.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
QUIET := --quiet --disable-pip-version-check
SOFTHSM := /usr/lib/softhsm/libsofthsm2.so
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo test e2e check lint proto bench attack lock clean

help: ## what there is
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

setup: .venv/.installed node_modules/.installed .venv/.softhsm ## install what is missing

.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "setup: Python 3.11 or newer is needed; name it by PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setup: locked Python packages into .venv (about 20 s the first time)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv || \
	  { echo "setup: Python lacks its venv module; on Debian it is in the package python3-venv"; exit 1; }
	@$(BIN)/pip install $(QUIET) --require-hashes -r <(sed -n '/^uv==/,/^ *# via/p' requirements.txt)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

node_modules/.installed: package-lock.json package.json .npmrc
	@echo "setup: anvil and the Uniswap V2 contracts from npm"
	@command -v npm >/dev/null || { echo "setup: npm is missing; on Debian it is in the package npm"; exit 1; }
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

.venv/.softhsm: .venv/.installed
	@test -e $(SOFTHSM) && command -v softhsm2-util >/dev/null || { \
	  echo "setup: softhsm2 by apt"; \
	  AS=; [ $$(id -u) = 0 ] || AS="sudo -n"; \
	  { $$AS apt-get update -qq && \
	    $$AS env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends softhsm2 >/dev/null; } || \
	  { echo "setup: could not install softhsm2: run 'apt-get install softhsm2' as root, then try again"; exit 1; }; }
	@touch $@

demo: setup ## five cosigners make a key, sign, settle, lose two nodes, and refuse; KEEP=1 leaves them up
	@KEEP=$(KEEP) $(BIN)/python -m oms.devnet.demo

test: setup ## the default tests (under ten minutes on two cores)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow and not e2e"

e2e: setup ## whole networks of processes: orders, rules, changes, liars, and whoever is killed (about fifteen minutes)
	@$(BIN)/python -m pytest -m "e2e and not slow"

attack: setup ## every liar that we know, from every place, and every rule that stops one (about 25 minutes)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m "attack or covers"

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

check: lint test e2e proto ## what CI runs
	@git diff --exit-code -- proto

proto: setup ## make the gRPC stubs again
	@$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. --mypy_out=quiet:. --mypy_grpc_out=quiet:. proto/*.proto

bench: setup ## one JSON line per figure
	@$(BIN)/python -m bench

lock: ## compile requirements.txt from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --python-version 3.11 --quiet -o requirements.txt

clean: ## remove what setup and runs have made
	@rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info .devnet
