# make test    everything a change must pass, besides `make lint`, by as many processes as there are processors, 4 at
#              most (ARGS="-n 0 tests/core": those alone, by one)
# make demo    a proxy in front of a small CouchDB of its own, with a worked example (ONCE=1: print it and end)
# make bench   measurements; installs wrk and nginx-light where they are missing (as root)
# make plots   how costs grow, as pictures in docs/plots; likewise, and installs matplotlib

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := tests/clients

.PHONY: all test lint format demo bench plots tools clients browser balancer install clean

all: lint test

install: $(VENV)/.installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "couch-tailor needs Python 3.11 or newer; name it with make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; } || { \
	    echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing the project into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore -e '.[test]'
	@touch $@

clients: $(CLIENTS)/node_modules/.installed $(CLIENTS)/.venv/.installed

$(CLIENTS)/node_modules/.installed: $(CLIENTS)/package-lock.json
	@command -v npm >/dev/null || { \
	    echo "the tests drive real clients and need Node 20 or newer with npm" >&2; exit 1; }
	@echo "installing the clients into $(CLIENTS)"
	@cd $(CLIENTS) && npm ci --ignore-scripts >/dev/null
	@touch $@

# an environment of their own: what these need must not decide which versions the project gets
$(CLIENTS)/.venv/.installed: $(CLIENTS)/python/requirements.txt | $(BIN)/python
	@echo "installing the clients in Python into $(CLIENTS)/.venv"
	@$(BIN)/python -m venv $(CLIENTS)/.venv
	@$(CLIENTS)/.venv/bin/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore -r $<
	@touch $@

# for tests/browser alone, which are skipped where there is none; NO_BROWSER=1 leaves them out
browser:
	@[ -z "$(NO_BROWSER)$(CHROMIUM)" ] || exit 0; \
	for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing Chromium" && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1 || \
	    echo "there is no Chromium: tests in a browser are skipped (on Debian: apt-get install chromium)" >&2

# for the test of several nodes, which is skipped where there is none
balancer:
	@PATH="$$PATH:/usr/sbin" command -v haproxy >/dev/null && exit 0; \
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing haproxy" && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy >/dev/null 2>&1 || \
	    echo "there is no haproxy: the test of several nodes is skipped (on Debian: apt-get install haproxy)" >&2

test: install clients browser balancer
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

demo: install
	@$(BIN)/couch-tailor demo $(if $(ONCE),--once)

bench: install tools
	@$(BIN)/python -m tests.bench $(ARGS)

plots: install tools
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore -e '.[bench]'
	@$(BIN)/python -m tests.bench --plots $(ARGS)

# what measures, and what is measured beside the proxy
tools:
	@for tool in wrk nginx; do \
	    PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null && continue; \
	    package=$$( [ $$tool = nginx ] && echo nginx-light || echo $$tool ); \
	    [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { \
	        echo "$$tool is missing; on Debian: apt-get install $$package" >&2; exit 1; }; \
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $$package >/dev/null; } || exit 1; \
	done

clean:
	rm -rf $(VENV) $(CLIENTS)/node_modules $(CLIENTS)/.venv build dist *.egg-info \
	    .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find proxy filters tests -name __pycache__ -type d -prune -exec rm -rf {} +
