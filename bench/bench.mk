# Benchmarks. They print tables and write bench/results; bench/README.md says what makes a run valid. Each takes less than five minutes.

.PHONY: bench bench-tools bench-proxy bench-stream bench-open bench-many bench-whole bench-fairness bench-cold-start bench-cold-start-python bench-burst bench-climb bench-languages bench-apply bench-switch bench-scale bench-sources bench-packages bench-dev

bench: bench-proxy bench-stream bench-open bench-many bench-whole bench-fairness ## the data plane beside nginx: CPU, streams, latency at a rate, many functions, the watchdog, fairness

bench-tools:
	@command -v /usr/sbin/nginx >/dev/null || apt-get install -y -q nginx-light
	@command -v strace >/dev/null || apt-get install -y -q strace
	@$(call build_static,flint-bench flint-gateway flint-watchdog)

rig = $(bin)/flint-bench
# What was built after `make profile` is another thing than what was not.
proxy = $(rig) proxy --gateway $(bin)/flint-gateway --watchdog $(bin)/flint-watchdog --windows 3 --name $(1)$(if $(profile),-profiled)

bench-proxy: bench-tools ## requests and CPU of engine and gateway beside nginx
	$(call proxy,proxy) --rivals direct,nginx,nginx-log,engine,gateway,gateway-log --seconds 2 --calls

bench-stream: bench-tools ## long answers: bytes per second and memory
	$(call proxy,stream) --rivals direct,nginx,engine,gateway --connections 1,16 --answer-bytes 16777216 --seconds 3

bench-open: bench-tools ## latency at a steady rate, from when requests were due
	$(call proxy,open-loop) --rivals direct,nginx,gateway --connections 64 --rate 10000 --seconds 5

bench-many: bench-tools ## ten thousand functions in the table beside one, and fifty changes a second among them
	$(call proxy,many) --rivals nginx,gateway,gateway-many,gateway-changes --connections 16,64 --seconds 3

bench-whole: bench-tools ## gateway and watchdog together
	$(call proxy,whole) --rivals direct,nginx,http,lambda --connections 1,4,16 --seconds 3

bench-fairness: bench-tools ## one function's p99 while others misbehave
	$(rig) fairness --gateway $(bin)/flint-gateway

# on_cluster BENCHMARK FUNCTION ARGUMENTS: on the cluster of KUBECONFIG with Flint on it.
on_cluster = . $(BUILD)/images.env; export FLINT_URL=$$($(MAKE) -s url) REGISTRY TAG KUBECTL=$(kubectl) BENCH=$$(realpath $(bin)/flint-bench); \
	$(if $(local_cluster),export FLINT_AUDIT_LOG=$$(e2e/cluster/cluster audit-log);) bench/on-cluster $(1)

# Four functions take turns, so that a round does not wait for one to be at zero again.
bench-cold-start: ## from zero to the first answer, beside plain Kubernetes (4 minutes)
	@$(call build_static,flint-bench)
	@$(call on_cluster,cold-start trivial -n 40 --copies 4 --gap 1.5)

bench-cold-start-python: ## the same for Python (4 minutes)
	@$(call build_static,flint-bench)
	@$(call on_cluster,cold-start python -n 40 --copies 4 --gap 1.5)

# One target for each Runtime: none takes longer than five minutes.
bench-pool-%: ## the same from a warm pool: go, python, node, trivial (5 minutes each)
	@$(call build_static,flint-bench)
	@export POOL=4; $(call on_cluster,cold-start $* --pool -n 200 --copies 12 --gap 0.4 --floor-every 10)

bench-burst: ## fifty functions at once with ten pods waiting (4 minutes)
	@$(call build_static,flint-bench)
	@export POOL=10; $(call on_cluster,burst go --pool 10 --functions 50 -n 2)

bench-climb: ## from zero to a hundred instances (2 minutes)
	@$(call build_static,flint-bench)
	@$(call on_cluster,climb slow --clients 100 --seconds 60)

bench-languages: ## from zero to the first answer by language, and what of it is the language's own
	@$(call build_static,flint-bench)
	@$(kubectl) create namespace flint-bench --dry-run=client -o yaml | $(kubectl) apply -f - >/dev/null
	@$(kubectl) apply -n flint-bench -f bench/functions/python.yaml -f bench/functions/languages
	@$(kubectl) wait -n flint-bench --for=condition=Ready --timeout=300s --all functions
	@trap '$(kubectl) delete namespace flint-bench >/dev/null' EXIT; \
		$(bin)/flint-bench languages --url $$($(MAKE) -s url) --namespace flint-bench \
			--functions bench-python,bench-node,bench-java,bench-ruby,bench-php,bench-go -n 12

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
bench-sources: ## from a source to the first 200, by kind (3 minutes)
	@$(call build_static,flint-bench)
	@BENCH_ARGUMENTS='-n 6 --starts 0' bench/sources $(bin)/flint-bench $$($(MAKE) -s url) '$(REQUIREMENT)'

bench-packages: ## cold starts with a package of 1 MB and with one of 50 (4 minutes)
	@$(call build_static,flint-bench)
	@BENCH_ARGUMENTS='-n 0 --starts 20 --name packages' bench/sources $(bin)/flint-bench $$($(MAKE) -s url)

bench-dev: ## flint dev: its start, a reload, its memory at rest
	@$(call build_static,flint-bench flint-cli)
	$(bin)/flint-bench dev --flint $(bin)/flint
