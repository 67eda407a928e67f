# tectum: `make run` does the main job on real input, `make test` checks everything. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ROBOT ?=

.PHONY: run test check setup setup-dev system soak bench lock clean help

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run  ## set up, compile the kernels once, start the gaze robot (ROBOT=digits, or a file, for another)
	$(BIN)/tectum run $(ROBOT)

setup: $(VENV)/.run  ## the environment to run with

setup-dev: $(VENV)/.dev  ## the environment to test with

test: $(VENV)/.dev system  ## everything: lint, format, types, import contracts, tests
	$(BIN)/python tests/check.py

soak: $(VENV)/.dev system  ## what takes minutes; the results go to docs/results/soak.txt
	$(BIN)/python tests/check.py --soak

bench: $(VENV)/.dev  ## measure; the results go to docs/results/
	$(BIN)/python tests/check.py --bench

lock: $(VENV)/.dev  ## resolve the versions anew, with hashes and without index addresses
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra dev -c requirements/run.txt pyproject.toml -o requirements/dev.txt

clean:           ## remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tectum needs Python 3.11 or newer, this is %s: make run PYTHON=python3.12" % sys.version.split()[0])'
	@echo "Making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the locked libraries (once; about 200 MB)"
	@$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements/run.txt
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tectum.pth"
	@printf '#!/bin/sh\nexec "$(CURDIR)/$(BIN)/python" -m runtime "$$@"\n' > $(BIN)/tectum && chmod +x $(BIN)/tectum
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml $(VENV)/.run
	@echo "Installing the locked development libraries (once)"
	@$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements/dev.txt
	@touch $@

# System packages some tests need: installed where that is possible without asking, otherwise those tests skip and say so.
system:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  need=""; command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || need="$$need mosquitto"; command -v chromium >/dev/null || need="$$need chromium"; \
	  if [ -n "$$need" ]; then echo "Installing$$need"; apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$need >/dev/null; fi; \
	fi
