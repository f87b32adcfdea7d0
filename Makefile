# make demo        set up, then segment simulated heads and measure the result
# make test        set up, then every check and test
#                  [DATA=PATH] also on real scans  [SYSTEM=1] install Debian packages that tests need (apt-get)
# make check       format, lint, types, import layers, documentation: under a minute
# make peers       .venv-peers with nnunetv2, for benchmarks/
# make goldens     ask nnunetv2 again for the plans that tests/golden holds
# make clean       remove what set-up and checks left; runs/ stays

SHELL := /bin/bash
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

.PHONY: help demo test check dev system peers goldens clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

demo: .venv/.stamp-run
	$(BIN)/hemoseg demo --out demo

test: check system
	$(BIN)/pytest --numprocesses 2 --dist worksteal --ignore tests/docs --cov=hemoseg $(if $(SYSTEM),--system) $(if $(DATA),"--data=$(DATA)")

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --quiet --numprocesses 2 --dist worksteal tests/docs

dev: .venv/.stamp-dev

system:
	$(if $(SYSTEM),.ci/system-packages chromium)

peers: .venv-peers/.stamp

goldens: dev peers
	$(BIN)/python tools/make_goldens.py

clean:
	rm -rf .venv .venv-peers .coverage .hypothesis .*_cache demo

# The first of these that has the right version, an OpenVINO, and if any has, a torch, which only `make test` needs;
# 3.11 first, as that is what the tests run on.
PYTHONS := python3.11 python3.12 python3.13 python3

.venv/.stamp-venv:
	@for needed in 'openvino torch' openvino; do for python in $(PYTHONS); do \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null || continue; \
	  echo "set-up: virtual environment of $$("$$python" --version) in .venv"; \
	  if "$$python" -m venv --clear .venv && $(PIP) --dry-run --no-deps $$needed >.venv/pip.log 2>&1; \
	    then touch $@; exit 0; fi; \
	  tail -n 1 .venv/pip.log 2>/dev/null; \
	done; done; rm -rf .venv; \
	echo 'error: no Python fits' >&2; \
	echo '  expected: Python 3.11, 3.12 or 3.13 with venv (Debian: python3-venv), and an openvino that pip can install' >&2; \
	echo '  try: install one of them so that python3.11, python3.12, python3.13 or python3 starts it' >&2; \
	exit 1

.venv/.stamp-run: .venv/.stamp-venv pyproject.toml constraints.txt
	@echo 'set-up: hemoseg and what it stands on (a minute or two the first time)'
	@$(PIP) -e .
	@touch $@

.venv/.stamp-dev: .venv/.stamp-run
	@echo 'set-up: torch, and what tests and checks need (several minutes the first time)'
	@$(PIP) -e '.[dev]'
	@touch $@

# nnunetv2 would replace torch by a build of several gigabytes, so every version is named and none resolved.
.venv-peers/.stamp: .venv/.stamp-run benchmarks/peers.txt
	@echo 'set-up: nnunetv2 in .venv-peers'
	@$(BIN)/python -m venv --clear .venv-peers
	@PIP_CONSTRAINT= .venv-peers/bin/python -m pip install -qq --disable-pip-version-check \
	  --no-deps -r benchmarks/peers.txt
	@touch $@
