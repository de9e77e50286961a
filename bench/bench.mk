# Benchmarks. They print tables and write bench/results; bench/README.md says what makes a run valid.

.PHONY: bench bench-cold-start bench-apply
bench: ## requests and CPU of the gateway beside nginx
	@command -v /usr/sbin/nginx >/dev/null || apt-get install -y -q nginx-light
	$(cargo) build --release -p flint-bench -p flint-gateway
	$(target)/release/flint-bench proxy --gateway $(target)/release/flint-gateway --rivals direct,nginx,nginx-log,engine,gateway,gateway-log

# The function must be trivial and go to zero soon; the floor is any image that serves HTTP by itself.
BENCH_FUNCTION ?= hello
BENCH_FLOOR ?= $(REGISTRY)/flint-e2e-http:dev
bench-cold-start: ## from zero to the first answer, beside plain Kubernetes
	$(cargo) build --release -p flint-bench
	KUBECONFIG=$$($(MAKE) -s kubeconfig) $(target)/release/flint-bench cold-start --url $$($(MAKE) -s url) --function-name $(BENCH_FUNCTION) --floor-image $(BENCH_FLOOR)

bench-apply: ## from kubectl apply to the first 200
	$(cargo) build --release -p flint-bench
	KUBECONFIG=$$($(MAKE) -s kubeconfig) $(target)/release/flint-bench apply --url $$($(MAKE) -s url)
