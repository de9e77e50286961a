# What needs no cluster, and what needs one.

.PHONY: check fmt lint unit crds chart-crds e2e e2e-all docs

check: fmt lint unit crds ## format, lints, unit tests, the chart: all that needs no cluster

fmt:
	$(call say,formatting)
	@$(cargo) fmt --all --check

lint: tools
	$(call say,lints)
	@$(cargo) clippy --locked --all-targets --quiet -- -D warnings
	@$(cargo) clippy --locked --test functions --test disruption --quiet -- -D warnings
	@! command -v cargo-deny >/dev/null || cargo deny --log-level error check bans licenses sources

unit: tools
	$(call say,tests that need no cluster)
	@$(cargo) test --locked

crds:
	$(call say,the chart)
	@charts/test/run

chart-crds: ## copy crds/ into the chart
	@cp crds/*.yaml charts/flint/crds/

# The environment that the end-to-end tests want. Backtraces through a runtime say nothing and hide what a test prints.
e2e_environment = . $(BUILD)/images.env; export RUST_BACKTRACE=0; \
	export FLINT_URL=$$($(MAKE) -s url) FLINT_REGISTRY=$$REGISTRY FLINT_TAG=$$TAG FLINT_HELM=$(helm); \
	$(if $(local_cluster),export FLINT_E2E_LOCAL_NODE=1 FLINT_AUDIT_LOG=$$(e2e/cluster/cluster audit-log);)

# Without `-p`: a package alone is built with fewer features of its dependencies, which are then all built twice.
e2e: ## the end-to-end tests, on the cluster with Flint on it
	$(call say,end-to-end tests)
	@charts/test/server
	@$(helm) test $(RELEASE) --namespace $(NAMESPACE) --timeout 2m >$(BUILD)/helm-test.log || { cat $(BUILD)/helm-test.log >&2; exit 1; }
	@$(e2e_environment) \
		$(cargo) test --locked --test functions -- --test-threads 4; \
		$(cargo) test --locked --test disruption -- --test-threads 1 --nocapture

e2e-all: ## the tests that need the images of `make images-all`, after `make images-all install`
	@$(e2e_environment) \
		$(cargo) test --locked --test functions -- --ignored --test-threads 1
