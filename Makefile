# Everything a developer needs. Only Rust (cargo, rustfmt, clippy) and Python >= 3.11 must be there
# already; the rest is set up in .venv and rebuilt only where a source has changed.

PYTHON ?= python3

VENV := .venv
PY := $(VENV)/bin/python
# Installed development tools, and the extension module that maturin leaves beside the sources.
TOOLS := $(VENV)/.tools
CORE := python/eosdb/_core.abi3.so
DEMO_DATA := $(VENV)/demo-data

RUST_SOURCES := $(shell find src -name '*.rs') Cargo.toml $(wildcard Cargo.lock)
PYTHON_SOURCES := $(wildcard python tests benches examples)
STUB_ALLOWLIST := $(wildcard tests/stubtest_allowlist.txt)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
# The tests start hundreds of processes, which are not all to compile the same modules.
export PYTHONDONTWRITEBYTECODE :=

step = @echo "== $(1)"

.SILENT:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test check-rust check-python pytest bench soak fmt clean

help: ## List the targets
	grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# Set-up

$(PY):
	$(call step,create $(VENV))
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is too old: set PYTHON to a Python >= 3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(TOOLS): pyproject.toml | $(PY)
	$(call step,install the development tools)
	$(PY) -m pip install --upgrade 'pip>=25.1'
	# Python compiles what is imported; to compile all takes longer than to install it.
	$(PY) -m pip install --no-compile --group dev
	touch $@

$(CORE): $(RUST_SOURCES) pyproject.toml $(TOOLS)
	$(call step,build eosdb)
	MAKEFLAGS= $(VENV)/bin/maturin develop --release --quiet
	touch $@

# Tasks

demo: $(CORE) $(DEMO_DATA) ## Run the demonstration; CSV=path for data of your own
	PYTHONPATH=$(DEMO_DATA) $(PY) examples/demo.py $(if $(CSV),"$(CSV)") $(DEMO_ARGS)

$(DEMO_DATA): | $(TOOLS)
	$(call step,fetch the demonstration data)
	$(PY) -m pip install --no-deps --target $@ pvanalytics==0.2.2

# Side by side, since each of them keeps one core waiting for long stretches: what Rust says to itself,
# while the extension module is built, and then what Python says. (Cargo counts cores itself: it is not
# to ask make.)
test: $(PY) ## Check format, lints and types, and run every test
	$(MAKE) --no-print-directory -j2 check-rust $(CORE)
	$(MAKE) --no-print-directory -j2 check-python pytest

# pyo3 asks the interpreter behind .venv how to build; its own path, so that another one rebuilds.
check-rust: export PYO3_PYTHON = $(realpath $(PY))
check-rust: | $(PY)
	$(call step,cargo fmt)
	cargo fmt --check
	$(call step,cargo clippy)
	MAKEFLAGS= cargo clippy --quiet --all-targets --features python -- -D warnings
	$(call step,cargo test)
	MAKEFLAGS= cargo test --quiet

check-python: $(CORE)
	$(call step,ruff)
	$(VENV)/bin/ruff check --quiet $(PYTHON_SOURCES)
	$(VENV)/bin/ruff format --check --quiet $(PYTHON_SOURCES)
	$(call step,mypy)
	$(VENV)/bin/mypy $(PYTHON_SOURCES)
	$(call step,stubtest)
	$(PY) -m mypy.stubtest eosdb._core $(if $(STUB_ALLOWLIST),--allowlist $(STUB_ALLOWLIST))

pytest: $(CORE)
	$(call step,pytest)
	# One more than cores: many tests wait for other processes.
	$(PY) -m pytest --dist worksteal -n "$$($(PY) -c 'import os; print((os.cpu_count() or 1) + 1)')"

bench: $(CORE) ## Measure against the reference implementation
	$(PY) benches/bench.py $(BENCH_ARGS)

# The tests of the bindings embed Python, so they need its shared library at link and at run time.
# An interpreter built without one is served by the extension module's own tests, under pytest.
LIBPYTHON = $(shell $(PY) -c 'import os, sysconfig as s; \
	path = os.path.join(s.get_config_var("LIBDIR"), s.get_config_var("LDLIBRARY")); \
	print(os.path.dirname(path) if path.endswith(".so") and os.path.exists(path) else "")')

soak: export PYO3_PYTHON = $(realpath $(PY))
soak: $(CORE) ## Run the tests that take minutes
	libpython="$(LIBPYTHON)"; if [ -n "$$libpython" ]; then \
		LD_LIBRARY_PATH="$$libpython$${LD_LIBRARY_PATH:+:$$LD_LIBRARY_PATH}" \
			cargo test --quiet --features python --lib; \
	else \
		echo "no shared libpython: the bindings are tested by pytest alone"; \
	fi
	$(PY) -m pytest -m soak

fmt: $(TOOLS) ## Format the sources
	cargo fmt
	$(VENV)/bin/ruff check --quiet --fix $(PYTHON_SOURCES)
	$(VENV)/bin/ruff format --quiet $(PYTHON_SOURCES)

clean: ## Remove what was built or installed
	rm -rf target build $(VENV) $(CORE) .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find python tests benches examples -name __pycache__ -type d -exec rm -rf {} + 2>/dev/null || true
