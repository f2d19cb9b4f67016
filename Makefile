# Two commands are enough: `make run` and `make test`. Both make .venv first, by requirements/install.
PYTHON ?= python3
export PYTHON
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 5 --dist worksteal
# Measuring what the tests reach takes a third of their time: the gate does, and the long tests.
MEASURED := $(if $(SCIMD_TEST_REQUIRE_ALL),--cov)

# Hundreds of processes are started by the tests: none of them is to compile what another one has.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: env run test test-long lint catalogues lock bench clean system-packages dev-env
.NOTPARALLEL:

env:  ## .venv with scimd in it; the ldap connector where it can be compiled
	@requirements/install base

run: env  ## the demo, at http://127.0.0.1:8080
	@$(BIN)/scimd serve --demo

system-packages:
	@tests/system-packages

dev-env:
	@requirements/install dev

# pytest stands last and enforces the coverage itself, so that its summary is the last line.
test: system-packages lint  ## everything but what takes minutes
	@$(PYTEST) $(MEASURED)

test-long: system-packages lint  ## everything
	@$(PYTEST) --cov -m ''

catalogues: dev-env  ## what runs of the translations, from scimd/locale/*/LC_MESSAGES/scimd.po
	@$(BIN)/python -m tests.support.catalogues

lint: dev-env
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# Versions already locked stay; to raise one: make lock LOCK='--upgrade-package aiohttp'
COMPILE = $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
	--no-header --no-annotate $(LOCK)
lock: env  ## the lock files in requirements/ anew
	@$(COMPILE) requirements/uv.in -o requirements/uv.txt
	@$(COMPILE) requirements/build.in -o requirements/build.txt
	@$(COMPILE) pyproject.toml -o requirements/base.txt
	@$(COMPILE) pyproject.toml --extra ldap -o requirements/ldap.txt
	@$(COMPILE) pyproject.toml --extra ldap --group dev -o requirements/dev.txt

bench: dev-env  ## benchmarks/RESULTS.md; a part: make bench ARGS="--only scim --quick"
	@$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv .demo .coverage .coverage.* htmlcov dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find scimd connectors tests -name __pycache__ -type d -prune -exec rm -rf {} +
