# Set-up and the everyday commands. `make help` lists them.
SHELL := /bin/bash
STACK ?= $(or $(ANTENNA_STACK),embedded)
ANTENNA := .venv/bin/antenna --stack $(STACK)
.DEFAULT_GOAL := help
.PHONY: help setup up demo status preview down doctor test prove bench check generate lock format

help: ## What there is to do
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  STACK=name picks the site: Pulumi.<name>.yaml (default: embedded)"

setup: .venv/complete ## Install the locked Python packages into .venv

# Without the hashes' files changing there is nothing to do; a run that was cut leaves no `complete`.
.venv/complete: requirements.lock pyproject.toml .ci/bootstrap
	@.ci/bootstrap

up: setup ## Raise the site: machines, Kubernetes, partners' queues
	@$(ANTENNA) up --yes

demo: setup ## Send a burst of jobs, here and to the remote sites, and watch them
	@$(ANTENNA) demo

status: setup ## Machines, nodes and queues on one screen
	@$(ANTENNA) status

preview: setup ## What `make up` would change; touches nothing
	@$(ANTENNA) preview

down: setup ## Take the site down; leaves nothing behind
	@$(ANTENNA) down --yes

doctor: setup ## Check the host and the site; each finding with its fix
	@$(ANTENNA) doctor

# WORKERS=1 runs them one after another. What fails is tried once more, and told apart at the end; RERUNS=0 does not.
test: WORKERS ?= $(shell echo $$(($$(nproc) + 1)))
test: RERUNS ?= 1
test: setup ## All tests, side by side, on a site of their own
	@.venv/bin/antenna tools build
	@.venv/bin/pytest -n $(WORKERS) --no-loadscope-reorder --reruns $(RERUNS) --reruns-delay 5 \
		--durations 15 --durations-min 20

prove: setup ## The slow proofs: kills by the hundred, outages of minutes (ONLY=name; hours in all)
	@.venv/bin/antenna tools build
	@.venv/bin/python -m tests.prove $(ONLY)

# PEERS=no leaves the peers out, ONLY=scrape (or commands, events, freshness, jobs, poll, live) measures that alone.
bench: JOBS ?= 100000
bench: RUNS ?= 5
bench: setup ## Measure the operator beside other ways (quick: JOBS=2000)
	@.venv/bin/antenna tools build
	@.venv/bin/python -m bench --jobs $(JOBS) --runs $(RUNS) \
		$(if $(filter no,$(PEERS)),--no-peers) $(foreach step,$(ONLY),--only $(step))

check: setup ## Formatting, types, import rules, Ansible rules, generated files
	@.ci/check

generate: setup ## Write the generated files: CRDs, rules, dashboards, docs/metrics.md, docs/security-cis.md, protobuf messages
	@.venv/bin/python -m operators.api.crd
	@.venv/bin/python -m monitoring.rules
	@.venv/bin/python -m monitoring.dashboards
	@.venv/bin/python -m operators.catalog_page >docs/metrics.md
	@.venv/bin/python -m infra.control_plane_page >docs/security-cis.md
	@.venv/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. \
		operators/exposition/metrics.proto operators/stream/kubernetes.proto

format: setup ## Format the Python code
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

lock: setup ## Pin the newest allowed Python packages, with hashes
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--extra dev --upgrade -o requirements.lock pyproject.toml
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--upgrade -c requirements.lock -o operators/requirements.lock operators/requirements.in
