# What needs no cluster, and what needs one.

.PHONY: check fmt lint unit crds chart-crds e2e docs

check: fmt lint unit crds ## format, lints, unit tests, the chart: all that needs no cluster

fmt:
	$(call say,formatting)
	@$(cargo) fmt --all --check

lint: tools
	$(call say,lints)
	@$(cargo) clippy --locked --workspace --all-targets --quiet -- -D warnings
	@! command -v cargo-deny >/dev/null || cargo deny --log-level error check bans licenses sources

unit: tools
	$(call say,tests that need no cluster)
	@$(cargo) test --locked

crds:
	$(call say,the chart)
	@charts/test/run

chart-crds: ## copy crds/ into the chart
	@cp crds/*.yaml charts/flint/crds/

e2e: ## the end-to-end tests, on the cluster with Flint on it
	$(call say,end-to-end tests)
	@. $(BUILD)/images.env; \
		FLINT_URL=$$($(MAKE) -s url) FLINT_REGISTRY=$$REGISTRY FLINT_TAG=$$TAG FLINT_HELM=$(helm) \
		$(if $(local_cluster),FLINT_E2E_LOCAL_NODE=1 FLINT_AUDIT_LOG=$$(e2e/cluster/cluster audit-log)) \
		$(cargo) test --locked -p flint-e2e -- --test-threads 4

docs: ## the crates' documentation, into target/doc
	@RUSTDOCFLAGS='-D warnings' $(cargo) doc --locked --workspace --no-deps
