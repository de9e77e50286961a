# Everything that can be done with this repository. `make` lists it.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:

BUILD := build
# Where images go. The cluster of `make cluster` brings one; another cluster needs one that it can pull from.
REGISTRY ?= 127.0.0.1:5000
# The images' tag: by what is in them, so that a changed image is never taken for the one before.
TAG ?=
RELEASE := flint
NAMESPACE := flint-system
# The gateway's port on the node of `make cluster`.
NODE_PORT := 30080
# Further values for `make up`: VALUES=mine.yaml
VALUES ?=

cargo ?= cargo
triple := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
target := $(or $(CARGO_TARGET_DIR),target)
bin := $(target)/$(triple)/release
say = @printf '\033[1m%s\033[0m\n' '$(1)' >&2

.PHONY: help
help: ## this list
	@printf 'Flint: functions as a service on your own Kubernetes.\n\n'
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nWith KUBECONFIG set, that cluster is used; give REGISTRY=HOST/PREFIX that it can pull from.\n'

include e2e/cluster/cluster.mk
include hack/dev.mk hack/images.mk hack/install.mk hack/check.mk
-include bench/bench.mk

.PHONY: tools test clean
tools: ## install what building needs (packages, as root)
	@hack/tools

# One after the other, whatever -j says: two cores are busy with each.
test: ## everything: checks, the cluster, Flint on it, the end-to-end tests
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory up
	@$(MAKE) --no-print-directory e2e
	$(call say,all tests passed)

clean: ## remove what was built into build/
	rm -rf $(BUILD)
