# SPDX-License-Identifier: Apache-2.0
# One command each: demo, test, lint, fuzz. Every target installs what it needs.
SHELL := /bin/bash
VENV := .venv
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PY := $(VENV)/bin/python
SECONDS ?= 60
MINUTES ?= 10

.PHONY: all deps venv build lint format test test-c test-sanitized test-py demo fuzz soak bench images deb clean

all: build

# Debian packages; quiet and without root when everything is there already.
deps:
	@tools/install-deps

venv: $(VENV)/.stamp
$(VENV)/.stamp: pyproject.toml
	@echo "== python environment"
	@test -x $(PY) || python3 -m venv $(VENV)
	@$(VENV)/bin/pip install -qq --upgrade 'pip>=25.1'
	@$(VENV)/bin/pip install -qq --group build --group dev
	@$(PY) tools/project_dependencies.py | xargs -d '\n' $(VENV)/bin/pip install -q
	@touch $@

build: deps venv
	@$(VENV)/bin/pip install -qq --no-deps --no-build-isolation -Cbuild-dir=build/meson --force-reinstall .

format: venv
	@$(VENV)/bin/ruff format -q . && $(VENV)/bin/ruff check -q --fix-only .
	@git ls-files '*.c' '*.h' | xargs -r clang-format -i

lint: deps venv
	@$(VENV)/bin/ruff format --check . && $(VENV)/bin/ruff check . && $(VENV)/bin/mypy && $(VENV)/bin/lint-imports --no-logo --no-cache
	@git ls-files '*.c' '*.h' | xargs -r clang-format --dry-run --Werror

# C unit tests under ASan and UBSan.
test-c: deps venv
	@tools/test-c

# Two at a time, file by file; then one by one what needs the machine for itself.
test-py: build images
	@$(VENV)/bin/pytest --durations=15 -n 2 --dist loadfile --no-loadscope-reorder -m "not alone"
	@$(VENV)/bin/pytest --durations=5 -m alone

# The worker once more, built with the sanitizers, against honest and lying drivers; libvks against an honest and a lying
# worker; the PKCS#11 module.
test-sanitized: build test-c
	@VKS_TEST_LIBEXEC=build/asan/cext/worker $(VENV)/bin/pytest tests/protocol/test_worker*.py
	@VKS_TEST_GUEST=build/asan $(VENV)/bin/pytest tests/native tests/pkcs11

# Guest kernels and emulators, into the user's cache: minutes the first time, nothing after that.
images: deps
	@qemu-images/build all

# Debian packages for this Debian release, of host and guest; into build/deb. Looked at by lintian where it is installed.
deb: deps
	@tools/build-deb
	@if command -v lintian >/dev/null; then lintian --allow-root --fail-on error build/deb/*.changes; fi

# Each fuzz target for SECONDS, then every regression input.
fuzz: deps venv
	@tools/fuzz $(SECONDS)

# Guests at work, an administrator, every process of ours killed at random; then every answer is accounted for.
soak: build
	@PYTHONPATH=tests:qemu-images $(PY) -P -m soak --minutes $(MINUTES)

# Every operation at several queue depths, as ratios to this machine's libcrypto, and peers; what more guests and keys
# cost; what an administrator waits for. Tables, build/bench*.json and build/bench*.svg.
# Less of it: BENCH="--only p256 --rounds 2"; what else there is: BENCH=--help.
bench: build
	@PYTHONPATH=tests:qemu-images $(PY) -P -m bench $(BENCH)

# The whole path once, from an empty vault to a search of the guest's memory; last line "demo: ok".
demo: build
	@PYTHONPATH=tools:tests:qemu-images $(PY) -P -m demo

test: lint test-c test-sanitized test-py

clean:
	rm -rf build
