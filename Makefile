# `make demo` and `make test` do everything on a fresh Debian or Ubuntu machine, as root.
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest

.PHONY: help prerequisites demo test unit e2e faults kills bench lint sandbox sandbox-stop sandbox-down
.PHONY: init status history rollback playbook-vars fleet stacks sse-key docs lock

help:
	@echo 'make demo          set up the sandbox and move its media store to its S3 store (first time 10-15 min, then 1)'
	@echo 'make test          all tests: lint, unit, and end to end in the sandbox'
	@echo 'make unit          components and agent, without the sandbox (under a minute)'
	@echo 'make e2e           end to end in the sandbox; ONLY=words picks tests by name'
	@echo 'make faults        every fault at every step (under an hour); ONLY=words picks by name, AGAIN=1 what failed'
	@echo 'make kills         everything killed at 50 random moments (about half an hour)'
	@echo 'make bench         measure against the manual procedure (hours); ONLY=window measures that alone'
	@echo 'make sandbox       start the sandbox and leave it running'
	@echo 'make sandbox-stop  end what runs; what was built stays'
	@echo 'make sandbox-down  end the sandbox and remove all that it built'
	@echo 'make init          make a stack: STACK=name; VARS=vars.yml of the playbook, KEY=file of the SSH key'
	@echo 'make status        compare server and bucket with the stack; STACK=name, JSON=1 for machines'
	@echo 'make history       list the updates of a stack and what each changed; STACK=name'
	@echo 'make rollback      go back to the configuration of an earlier update; STACK=name TO=number'
	@echo '                   (YES=1 does not ask; NAMED=server.host takes that setting from then too)'
	@echo 'make playbook-vars  the lines, with keys, with which the playbook mounts the bucket; STACK=name'
	@echo 'make fleet         preview every stack under stacks/ side by side'
	@echo 'make stacks        the stacks under stacks/ as JSON; with SINCE=commit those that the changes since then concern'
	@echo 'make sse-key       make a key for SSE-C and set it as a secret; STACK=name'
	@echo 'make docs          write docs/configuration.md of the descriptions of the settings'
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
	@.venv/bin/mypy

unit: .venv/installed
	@$(PYTEST) tests/unit tests/agent

e2e: prerequisites
	@$(PYTHON) -m sandbox up
	@$(PYTEST) -v --durations=25 tests/e2e tests/faults $(if $(ONLY),-k '$(ONLY)')

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

# What the targets on a user's own stack need.
define on_a_stack
	@test -n '$(STACK)' || { echo 'for which stack? make $@ STACK=<name>$(1)' >&2; exit 2; }
endef
define with_the_program
	@test -x $(PYTHON) || { echo 'the program is not installed here: run pulumi install' >&2; exit 2; }
endef

init:
	$(call on_a_stack)
	$(call with_the_program)
	@$(PYTHON) -m operations init --stack '$(STACK)' $(if $(VARS),--vars '$(VARS)') $(if $(KEY),--private-key '$(KEY)')

status:
	$(call on_a_stack)
	$(call with_the_program)
	@$(PYTHON) -m operations status --stack '$(STACK)' $(if $(JSON),--json)

history:
	$(call on_a_stack)
	$(call with_the_program)
	@$(PYTHON) -m operations history --stack '$(STACK)'

rollback:
	$(call on_a_stack, TO=<number>)
	$(call with_the_program)
	@test -n '$(TO)' || { echo 'to which update? make rollback STACK=$(STACK) TO=<number>; see make history' >&2; exit 2; }
	@$(PYTHON) -m operations rollback --stack '$(STACK)' --to '$(TO)' $(if $(YES),--yes) \
		$(foreach name,$(NAMED),--named '$(name)')

playbook-vars:
	$(call on_a_stack)
	$(call with_the_program)
	@$(PYTHON) -m operations playbook-vars --stack '$(STACK)'

fleet:
	$(call with_the_program)
	@$(PYTHON) -m operations fleet

stacks:
	@python3 -m operations.concerned $(if $(SINCE),'$(SINCE)')

sse-key:
	$(call on_a_stack)
	@! pulumi config get --path store.sseCustomerKey --stack '$(STACK)' >/dev/null 2>&1 || \
		{ echo 'the stack $(STACK) has store.sseCustomerKey already: what it encrypted needs it' >&2; exit 1; }
	@head -c 32 /dev/urandom | base64 | tr -d '\n' | \
		pulumi config set --secret --path store.sseCustomerKey --stack '$(STACK)'
	@echo 'store.sseCustomerKey is set. Without it nothing in the bucket can be read: keep a copy elsewhere,'
	@echo 'pulumi config get --path store.sseCustomerKey --stack $(STACK)'

docs: .venv/installed
	@$(PYTHON) -m operations.reference

lock: .venv/installed
	@.venv/bin/pip install --quiet uv
	@.venv/bin/uv pip compile --quiet --universal --no-annotate --no-header pyproject.toml -o requirements.txt
	@printf '%s\n' '-e .' sdks/b2 >> requirements.txt # media-store, and the line that `pulumi install` would add
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header pyproject.toml --group dev -o requirements-dev.txt
	@echo b2 | .venv/bin/uv pip compile --quiet --universal --python-version 3.9 --generate-hashes --no-annotate --no-header - -o agent/b2-requirements.txt
