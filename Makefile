# For developers; what users run is `media-store` and `pulumi`.
# `make demo` and `make test` do everything on a fresh Debian or Ubuntu machine, as root.
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
# Worlds of the sandbox that run side by side: most of their time they wait.
WORLDS := -n 3 --dist loadfile
E2E := $(PYTEST) -v --durations=40 $(WORLDS) tests/e2e tests/faults
# Which kind of server: docker (the default of all but the benchmark), plain, bullseye or trixie.
export MATRIX_MEDIA_STORE_SERVER := $(SERVER)
# Bytecode is kept, whatever the environment says: else each process compiles all of it anew.
export PYTHONDONTWRITEBYTECODE :=
COMPILE := .venv/bin/uv pip compile --quiet --universal --no-annotate --no-header

.PHONY: help prerequisites demo lint unit e2e nightly faults kills bench test sandbox sandbox-stop sandbox-down docs site release lock

help:
	@echo 'make demo          set up the sandbox and move its media store to its S3 store (first time 10-15 min, then 1)'
	@echo 'make test          all tests: lint, unit, and end to end in the sandbox'
	@echo 'make lint          ruff, mypy in strict mode, who imports whom, Python 3.9 for the agent, and shellcheck'
	@echo 'make unit          components and agent, without the sandbox (under a minute)'
	@echo 'make e2e           end to end in the sandbox; ONLY=words picks tests by name, SERVER=docker the server'
	@echo 'make nightly       all tests end to end on servers with Docker, those that `make test` leaves out too (2 hours)'
	@echo 'make faults        every fault at every step (four hours); ONLY=words picks by name, AGAIN=1 what failed'
	@echo 'make kills         everything killed at 50 random moments (about an hour)'
	@echo 'make bench         measure against the manual procedure (hours); ONLY=window measures that alone'
	@echo 'make sandbox       start the sandbox and leave it running'
	@echo 'make sandbox-stop  end what runs; what was built stays'
	@echo 'make sandbox-down  end the sandbox and remove all that it built'
	@echo 'make docs          write the parts of docs/ that are made of the code'
	@echo 'make site          write the documentation as a site, to site/; fails where a link leads nowhere'
	@echo 'make release       lay what a release is made of in release/: program, agent, notes, checksums'
	@echo 'make lock          pin the dependencies anew'

.venv/installed: requirements-dev.txt pyproject.toml sdks/b2/pyproject.toml
	@echo 'installing Python packages into .venv ...'
	@sandbox/prerequisites python
	@python3 -m venv .venv
	@.venv/bin/pip install --quiet --require-hashes -r requirements-dev.txt
	@.venv/bin/pip install --quiet --no-deps --no-build-isolation --no-index sdks/b2 -e .
	@touch $@

prerequisites: .venv/installed
	@sandbox/prerequisites sandbox

demo: prerequisites
	@$(PYTHON) -m sandbox.demo

lint: .venv/installed
	@sandbox/prerequisites lint
	@shellcheck sandbox/prerequisites .ci/run
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/lint-imports --no-cache >/dev/null || .venv/bin/lint-imports --no-cache
	@.venv/bin/mypy
	@.venv/bin/vermin --quiet --no-tips --violations --target=3.9- agent tests/agent

# The tests' many small files lie in memory, where there is room and programs may be started from there.
unit: MEMORY = $(shell findmnt -no OPTIONS /dev/shm | grep -qv noexec && \
	[ $$(df -m --output=avail /dev/shm | tail -1) -ge 2048 ] && echo /dev/shm)
unit: .venv/installed
	@folder=$$(mktemp -d $(if $(MEMORY),-p $(MEMORY))); \
		trap 'rm -rf --one-file-system "$$folder"' EXIT; trap 'exit 130' INT TERM; \
		TMPDIR=$$folder $(PYTEST) -n 2 --dist worksteal tests/unit tests/agent

# Tests that ask for a kind of server get it, whatever the others run on.
bench: export MATRIX_MEDIA_STORE_SERVER = $(or $(SERVER),plain)
e2e nightly faults kills: export MATRIX_MEDIA_STORE_SERVER = $(or $(SERVER),docker)

e2e: prerequisites
	@$(PYTHON) -m sandbox build --for-tests
	@$(E2E) $(if $(ONLY),-k '$(ONLY)',-m 'not nightly')

nightly: prerequisites
	@$(PYTHON) -m sandbox build --for-tests --every-server
	@$(E2E)

faults: prerequisites
	@$(PYTHON) -m tests.faults $(if $(ONLY),--only '$(ONLY)') $(if $(AGAIN),--again)

kills: prerequisites
	@$(PYTHON) -m tests.faults --kills 50 $(if $(AGAIN),--again)

bench: prerequisites
	@$(PYTHON) -m bench $(ONLY)

test: lint unit e2e

sandbox: prerequisites
	@$(PYTHON) -m sandbox up

sandbox-stop: .venv/installed
	@$(PYTHON) -m sandbox down

sandbox-down: .venv/installed
	@$(PYTHON) -m sandbox down --everything

docs: .venv/installed
	@$(PYTHON) -m operations.reference
	@$(PYTHON) -m operations.state_machine

# It says that MkDocs has a successor, each time.
site: export NO_MKDOCS_2_WARNING = 1
site: .venv/installed
	@$(PYTHON) -m mkdocs build --strict --quiet

release: .venv/installed
	@$(PYTHON) -m operations.release

lock: .venv/installed
	@.venv/bin/pip install --quiet uv
	@$(COMPILE) pyproject.toml -o requirements.txt
	@printf '%s\n' '-e .' sdks/b2 >> requirements.txt # media-store, and the SDK of B2
	@$(COMPILE) --generate-hashes pyproject.toml --group dev -o requirements-dev.txt
	@echo b2 | $(COMPILE) --generate-hashes --python-version 3.9 - -o agent/copying/b2-requirements.txt
	@printf '%s\n' 'pytest>=8.3,<9' 'hypothesis>=6.100,<7' 'botocore>=1.35,<2' | \
		.venv/bin/uv pip compile --quiet --no-annotate --no-header --generate-hashes --python-version 3.9 \
		--python-platform linux - -o tests/agent/requirements-3.9.txt
