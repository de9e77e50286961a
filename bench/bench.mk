# Benchmarks. They print tables and write bench/results; bench/README.md says what makes a run valid.

.PHONY: bench bench-cold-start bench-apply bench-switch bench-dev
bench: ## requests and CPU of the gateway beside nginx
	@command -v /usr/sbin/nginx >/dev/null || apt-get install -y -q nginx-light
	@$(call build_static,flint-bench flint-gateway)
	$(bin)/flint-bench proxy --gateway $(bin)/flint-gateway --rivals direct,nginx,nginx-log,engine,gateway,gateway-log

bench_functions := trivial python
bench-cold-start: ## from zero to the first answer, beside plain Kubernetes
	@$(call build_static,flint-bench)
	@$(kubectl) create namespace flint-bench --dry-run=client -o yaml | $(kubectl) apply -f - >/dev/null
	@$(kubectl) apply -n flint-bench -f bench/functions
	@$(kubectl) wait -n flint-bench --for=condition=Ready --timeout=120s --all functions
	@. $(BUILD)/images.env; url=$$($(MAKE) -s url); \
		trap '$(kubectl) delete namespace flint-bench >/dev/null' EXIT; \
		for function in $(bench_functions); do \
			$(bin)/flint-bench cold-start --url $$url --function-namespace flint-bench \
				--function-name bench-$$function --floor-image $$REGISTRY/flint-e2e-http:$$TAG; \
		done

bench-apply: ## from kubectl apply to the first 200
	@$(call build_static,flint-bench)
	$(bin)/flint-bench apply --url $$($(MAKE) -s url)

bench-switch: ## from one version to another by one field
	@$(call build_static,flint-bench)
	$(bin)/flint-bench switch --url $$($(MAKE) -s url)

bench-dev: ## flint dev: its start, a reload, its memory at rest
	@$(call build_static,flint-bench flint-cli)
	$(bin)/flint-bench dev --flint $(bin)/flint
