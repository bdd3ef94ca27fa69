# `make serve`, `make demo`, `make test`: each makes what it needs, once. `make help` lists the rest.
# No target has an absolute path in it, so a checkout in a directory with spaces works.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Installs what a lock file names, and says so a line a package: it takes up to a minute.
INSTALL = rm -f .venv/installed; \
	{ $(PIP) install --progress-bar off --require-hashes --requirement $(1) && touch .venv/installed; } | \
	while read -r word name rest; do \
		case $$word in Collecting) echo "  $$name" ;; Installing) echo "  installing them ..." ;; esac; \
	done; \
	test -f .venv/installed
RUN_STAMP := .venv/run.stamp
DEV_STAMP := .venv/dev.stamp
BENCH_STAMP := .venv/bench.stamp
BINARY_STAMP := .venv/binary/stamp
SITE_STAMP := .venv/site.stamp

.DEFAULT_GOAL := help
.PHONY: help env serve demo test test-artefacts test-databases bench bench-full chaos audit vercel binary image-root check format lint types imports docs site site-serve lock wheel clean

help:  ## these lines
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*##/\t/' | expand -t 12

$(RUN_STAMP): requirements/run.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("orchboard needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@echo "making the environment in .venv, once: up to a minute ..."
	@$(PYTHON) -m venv .venv
	@$(call INSTALL,requirements/run.lock)
	@$(BIN)/python -c 'import pathlib, site, sys; pathlib.Path(site.getsitepackages()[0], "orchboard-source.pth").write_text(str(pathlib.Path("src").resolve()) + "\n")'
	@printf '#!/bin/sh\nexec "$$(dirname "$$(readlink -f "$$0")")/python" -m orchboard "$$@"\n' > $(BIN)/orchboard && chmod +x $(BIN)/orchboard
	@touch $@

$(DEV_STAMP): $(RUN_STAMP) requirements/dev.lock
	@echo "adding the tools of development ..."
	@$(call INSTALL,requirements/dev.lock)
	@touch $@

env: $(DEV_STAMP)  ## the environment for development, in .venv

serve: $(RUN_STAMP)  ## serve on port 8080 with a database of its own; PORT=8081 make serve: on another
	@$(BIN)/python -m orchboard serve --generate-secret

demo: $(RUN_STAMP)  ## serve a believable network: a week of simulated results
	@$(BIN)/python -m orchboard demo

check: format lint types imports test  ## format, lint, types, imports and tests

test: $(DEV_STAMP)  ## the tests
	@$(BIN)/python -m pytest --numprocesses=auto

# What speaks HTTP to a server on the run's database.
OVER_HTTP := tests/api tests/apidocs tests/http tests/conformance tests/test_freshness.py tests/test_compatibility.py tests/test_client.py tests/test_app.py tests/test_leaks.py tests/test_poisoned.py tests/test_model.py tests/results/test_size_limits.py tests/web

ARTEFACTS ?= full

test-artefacts: $(DEV_STAMP)  ## what was built (`make vercel binary image-root wheel`), started and asked; ARTEFACTS=short: one form of each
	@$(BIN)/python -m pytest --numprocesses=auto --artefacts=$(ARTEFACTS) tests/artefacts

test-databases: $(DEV_STAMP)  ## what speaks HTTP, behind pgbouncer and on Debian's PostgreSQL 15
	@$(BIN)/python -m pytest --numprocesses=auto --database=pgbouncer $(OVER_HTTP)
	@$(BIN)/python -m pytest --numprocesses=auto --database=debian15 $(OVER_HTTP)

$(BENCH_STAMP): $(DEV_STAMP) requirements/bench.lock
	@echo "adding what the bench needs ..."
	@$(call INSTALL,requirements/bench.lock)
	@touch $@

bench: $(BENCH_STAMP)  ## every target of speed, on 200,000 results: minutes (needs wrk and nginx)
	@$(BIN)/python -m bench

bench-full: $(BENCH_STAMP)  ## also on 10,000,000 results; writes docs/performance.md again
	@$(BIN)/python -m bench --full --write

chaos: $(DEV_STAMP)  ## every promise of trust, on real servers that are killed: minutes
	@$(BIN)/python -m chaos

# The newest version that all of whose dependencies are published; none of it is part of the program.
VERCEL_CLI := 60.1.3
VERCEL := .venv/vercel-$(VERCEL_CLI)/node_modules/.bin/vercel
VERCEL_CONFIG := dist/vercel/function/.vc-config.json

$(VERCEL): | $(DEV_STAMP)
	@npm install --silent --no-audit --no-fund --no-save --prefix .venv/vercel-$(VERCEL_CLI) vercel@$(VERCEL_CLI)

$(VERCEL_CONFIG): vercel.json pyproject.toml requirements/server.lock $(wildcard contrib/vercel/*) $(shell find src -type f -not -name '*.pyc') | $(VERCEL)
	@$(BIN)/python contrib/vercel/build.py $(VERCEL) $(BIN)/uv

vercel: $(VERCEL_CONFIG)  ## the function that Vercel would build, in dist/vercel/function (needs npm, Python 3.12, the network)

# An environment of its own: PyInstaller packs what it finds, and the tools of development are to be found.
$(BINARY_STAMP): requirements/run.lock requirements/binary.lock
	@echo "making the environment that the binary is built in ..."
	@mkdir -p .venv && $(PYTHON) -m venv .venv/binary
	@for lock in $^; do $(BINARY_PIP) install --quiet --require-hashes --requirement $$lock || exit; done
	@touch $@

BINARY_PIP := .venv/binary/bin/python -m pip --disable-pip-version-check
BINARY_SOURCES := $(shell find binary src contrib/systemd -type f ! -name '*.pyc' 2>/dev/null) pyproject.toml README.md LICENSE

dist/orchboard: $(BINARY_STAMP) $(BINARY_SOURCES)
	@echo "building the binary: a minute ..."
	@PYTHONHASHSEED=0 .venv/binary/bin/python binary/build.py || { rm -f $@; exit 1; }

binary: dist/orchboard  ## the program without Python: dist/orchboard, -slim, -dir and the tarball (needs binutils)

# What the Dockerfile copies, and what builds it.
IMAGE_SOURCES := Dockerfile .dockerignore pyproject.toml README.md LICENSE requirements/run.lock requirements/build.lock tests/artefacts/image.py tests/artefacts/docker.py $(shell find src -name '*.py' -o -name '*.sql' -o -path 'src/orchboard/web/*' -type f -o -path 'src/orchboard/apidocs/docs/*' -o -name regions.csv)

dist/image-root/%.tar: $(IMAGE_SOURCES) | $(DEV_STAMP)
	@$(BIN)/python -m tests.artefacts.image $*

# `docker build .` needs Docker Hub; this needs Debian's packages, debootstrap and root. The second Debian is for the full set of tests.
image-root: dist/image-root/trixie.tar $(if $(filter full,$(ARTEFACTS)),dist/image-root/bookworm.tar)  ## the image, by a Docker Engine in a root directory of Debian: a minute or two (needs root, debootstrap and the network)

format: $(DEV_STAMP)  ## is the code formatted?
	@$(BIN)/ruff format --check .

lint: $(DEV_STAMP)  ## ruff over the code, squawk over our own migrations, hadolint over Dockerfile, actionlint over workflows
	@$(BIN)/ruff check .
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/actionlint
	@$(BIN)/squawk --config .squawk.toml $(filter-out $(wildcard src/orchboard/store/schema/migrations/[123]_*),$(wildcard src/orchboard/store/schema/migrations/*.up.sql))

types: $(DEV_STAMP)  ## strict types
	@$(BIN)/mypy

imports: $(DEV_STAMP)  ## imports go down only
	@$(BIN)/lint-imports --no-logo

docs: $(DEV_STAMP)  ## write docs/openapi.json and docs/api.md again
	@$(BIN)/python -m orchboard openapi > docs/openapi.json
	@$(BIN)/python -m orchboard openapi --markdown > docs/api.md

$(SITE_STAMP): $(DEV_STAMP) requirements/site.lock
	@echo "adding what the site needs ..."
	@$(call INSTALL,requirements/site.lock)
	@touch $@

# mkdocs-material prints a notice about mkdocs 2.0 at each build unless told not to.
site: $(SITE_STAMP)  ## the documentation as a site, in dist/site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "the site is in dist/site"

site-serve: $(SITE_STAMP)  ## look at the site on http://127.0.0.1:8000 while it is being written
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

# LOCK takes what to lock and the file's name. Every file has the same version of a package.
COMPILE := $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock"
LOCK = $(COMPILE) $(1) --output-file requirements/$(2).lock

audit: $(DEV_STAMP)  ## known weaknesses of what is locked (needs the network)
	@$(BIN)/uv tool run pip-audit --strict --require-hashes --disable-pip --requirement requirements/run.lock

lock: $(DEV_STAMP)  ## newest versions into the lock files
	@$(call LOCK,pyproject.toml --extra embedded,run)
	@$(call LOCK,pyproject.toml --extra server --constraint requirements/run.lock,server)
	@$(call LOCK,pyproject.toml --extra embedded --group dev --constraint requirements/run.lock,dev)
	@for group in build release bench binary site; do $(call LOCK,--group $$group --constraint requirements/dev.lock,$$group) || exit; done

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
WHEEL := dist/orchboard-$(VERSION)-py3-none-any.whl

wheel: $(WHEEL)  ## the wheel and the source distribution, in dist/

# The wheel is built from the source distribution, so that is complete.
$(WHEEL): $(shell find . -type d \( -name '.?*' -o -name dist -o -name __pycache__ \) -prune -o -type f -print) | $(DEV_STAMP)
	@$(BIN)/python -m build --no-isolation --outdir dist .

clean:  ## forget the environment and what was built
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
