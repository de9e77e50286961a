# Benchmarks. They print tables and write bench/results; bench/README.md says what makes a run valid. Each takes less than five minutes.

.PHONY: bench bench-tools bench-proxy bench-stream bench-open bench-many bench-whole bench-fairness bench-cold-start bench-languages bench-apply bench-switch bench-scale bench-sources bench-dev

bench: bench-proxy bench-stream bench-open bench-many bench-whole bench-fairness ## the data plane beside nginx: CPU, streams, latency at a rate, many functions, the watchdog, fairness

bench-tools:
	@command -v /usr/sbin/nginx >/dev/null || apt-get install -y -q nginx-light
	@command -v strace >/dev/null || apt-get install -y -q strace
	@$(call build_static,flint-bench flint-gateway flint-watchdog)

rig = $(bin)/flint-bench
proxy = $(rig) proxy --gateway $(bin)/flint-gateway --watchdog $(bin)/flint-watchdog --windows 3

bench-proxy: bench-tools ## requests and CPU of engine and gateway beside nginx
	$(proxy) --rivals direct,nginx,nginx-log,engine,gateway,gateway-log --seconds 2 --calls

bench-stream: bench-tools ## long answers: bytes per second and memory
	$(proxy) --name stream --rivals direct,nginx,engine,gateway --connections 1,16 --answer-bytes 16777216 --seconds 3

bench-open: bench-tools ## latency at a steady rate, from when requests were due
	$(proxy) --name open-loop --rivals direct,nginx,gateway --connections 64 --rate 10000 --seconds 5

bench-many: bench-tools ## ten thousand functions in the table beside one
	$(proxy) --name many --rivals nginx,gateway,gateway-many --connections 16,64 --seconds 3

bench-whole: bench-tools ## gateway and watchdog together
	$(proxy) --name whole --rivals direct,nginx,http,lambda --connections 1,16 --seconds 3

bench-fairness: bench-tools ## one function's p99 while others misbehave
	$(rig) fairness --gateway $(bin)/flint-gateway

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

bench-languages: ## from zero to the first answer by language, and what of it is the language's own
	@$(call build_static,flint-bench)
	@$(kubectl) create namespace flint-bench --dry-run=client -o yaml | $(kubectl) apply -f - >/dev/null
	@$(kubectl) apply -n flint-bench -f bench/functions/python.yaml -f bench/functions/languages
	@$(kubectl) wait -n flint-bench --for=condition=Ready --timeout=300s --all functions
	@trap '$(kubectl) delete namespace flint-bench >/dev/null' EXIT; \
		$(bin)/flint-bench languages --url $$($(MAKE) -s url) --namespace flint-bench \
			--functions bench-python,bench-node,bench-java,bench-ruby,bench-php,bench-go

bench-apply: ## from kubectl apply to the first 200
	@$(call build_static,flint-bench)
	$(bin)/flint-bench apply --url $$($(MAKE) -s url)

bench-switch: ## from one version to another by one field
	@$(call build_static,flint-bench)
	$(bin)/flint-bench switch --url $$($(MAKE) -s url)

bench-scale: ## thousands of functions on the cluster (FUNCTIONS=2000)
	@$(call build_static,flint-bench)
	$(if $(local_cluster),FLINT_AUDIT_LOG=$$(e2e/cluster/cluster audit-log)) $(bin)/flint-bench scale --url $$($(MAKE) -s url) --functions $(or $(FUNCTIONS),2000)

# What a requirements.txt of the builds names, where they reach an index: REQUIREMENT=six==1.17.0
REQUIREMENT ?=
bench-sources: ## from a source to the first 200, by kind; cold starts with a small and a large package
	@$(call build_static,flint-bench)
	@bench/sources $(bin)/flint-bench $$($(MAKE) -s url) '$(REQUIREMENT)'

bench-dev: ## flint dev: its start, a reload, its memory at rest
	@$(call build_static,flint-bench flint-cli)
	$(bin)/flint-bench dev --flint $(bin)/flint
