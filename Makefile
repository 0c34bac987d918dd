# `make demo` and `make test` need nothing before them but Debian and root (or sudo).
SHELL := /bin/sh
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
# Debian keeps mke2fs, debugfs and mdadm where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests need root, for loop devices and strace; the program does not.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo env PATH="$$PATH" PYTHONDONTWRITEBYTECODE=1)
PYTEST := $(AS_ROOT) $(BIN)/python -m pytest -n 2
NATIVE := $(wildcard src/twinlock/native/*.c src/twinlock/native/*.h src/twinlock/native/build.py)
VM_PACKAGES := tests/vm/lab/host-packages.txt

.PHONY: help bench bench-resync demo test test-long conformance fuzz test-vm test-faults lint install install-dev packages-run packages-demo packages-test clean

help:  ## show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: packages-demo install  ## run the main job on real parts, and show that it holds
	$(BIN)/python scripts/demo.py

test: packages-test install-dev  ## all tests but the long ones, those in their short form
	$(PYTEST) -n 3 --dist worksteal -m "not long" tests

test-long: packages-test install-dev  ## the long tests
	$(PYTEST) -m long tests

conformance: packages-test install-dev  ## libiscsi's conformance suite; DIGESTS=1: with header and data digests
	$(PYTEST) -q tests/conformance $(if $(DIGESTS),--digests)

fuzz: packages-run $(VENV)/installed-fuzz  ## a million PDUs, guided by coverage; SEED=2 for others
	$(BIN)/python -m tests.fuzz --seed $(or $(SEED),1)

test-vm: packages-test install-dev  ## a stock kernel judges the format
	$(PYTEST) -m vm tests

test-faults: packages-test install-dev  ## 10,000 power cuts and 300 kills, after the long form of the other tests; SEED= repeats
	$(AS_ROOT) env TWINLOCK_FAULTS=long $(BIN)/python -m pytest -n 2 tests/faults
	$(BIN)/python -m tests.faults --cycles 10000 --kills 300 $(if $(SEED),--seed "$(SEED)")

bench: bench-resync  ## what resync and checksums cost, each against its like in one run
	$(BIN)/python -m bench.checksums

bench-resync: packages-run install  ## resync against dd, alternating; FOLDERS="/dev/shm /mnt/disk", ROUNDS=5
	$(BIN)/python -m bench.resync --rounds $(or $(ROUNDS),5) $(FOLDERS)

lint: install-dev  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/installed  ## the package in .venv

install-dev: $(VENV)/installed-dev  ## and the tools of the tests

packages-run:
	@scripts/install-debian.sh packages/run.txt packages/build.txt

packages-demo:
	@scripts/install-debian.sh packages/run.txt packages/build.txt packages/demo.txt

packages-test:
	@scripts/install-debian.sh packages/*.txt $(VM_PACKAGES)

$(VENV)/installed: pyproject.toml setup.py constraints.txt $(NATIVE) | packages-run
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt setuptools cffi
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

$(VENV)/installed-fuzz: $(VENV)/installed-dev
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev,fuzz]'
	@touch $@

clean:  ## remove what make made
	rm -rf $(VENV) build src/*.egg-info src/twinlock/native/_native.*
