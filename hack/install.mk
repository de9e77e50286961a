# Flint on the cluster.

.PHONY: up install down url cli

local_cluster := $(shell [[ "$${KUBECONFIG:-}" == "" || "$${KUBECONFIG:-}" == "$$(e2e/cluster/cluster kubeconfig)" ]] && echo yes)
export KUBECONFIG := $(or $(KUBECONFIG),$(shell e2e/cluster/cluster kubeconfig))
kubectl = $$(e2e/cluster/tools kubectl)
helm = $$(e2e/cluster/tools helm)
# On the cluster of `make cluster` the gateway is reached at a port of the node; elsewhere the values decide.
# Sources there may come from the tests' own server, whose authority is good for nothing else (e2e/fixtures).
local_values := $(if $(local_cluster),--values e2e/values.yaml --set gateway.service.type=NodePort --set gateway.service.nodePort=$(NODE_PORT) --set publicUrl=http://127.0.0.1:$(NODE_PORT) --set sources.interval=10s --set-file sources.caBundle=e2e/fixtures/sources/authority.pem)

up: ## Flint on the cluster, with a first function: cluster, images, chart, hello
	@$(MAKE) --no-print-directory cluster
	@$(if $(or $(local_cluster),$(filter-out 127.0.0.1:5000,$(REGISTRY))),true,echo 'up: the cluster of KUBECONFIG has no registry at 127.0.0.1:5000, only that of `make cluster` has: give REGISTRY=HOST/PREFIX that it can pull from' >&2; exit 1)
	@$(MAKE) --no-print-directory -j3 images
	@$(MAKE) --no-print-directory install
	@$(kubectl) apply -f examples/hello-python.yaml >&2
	@$(kubectl) wait --for=condition=Ready --timeout=60s function/hello-python >&2
	@printf '\nFlint is at %s\n\n  curl %s/function/hello-python\n\n' "$$($(MAKE) -s url)" "$$($(MAKE) -s url)"

install: ## install or upgrade the chart with the images made last
	$(call say,installing the chart)
	@[[ -f $(BUILD)/values.yaml ]] || { echo 'install: run `make images` first' >&2; exit 1; }
	@$(helm) upgrade --install $(RELEASE) charts/flint --namespace $(NAMESPACE) --create-namespace --wait --timeout 5m \
		--values $(BUILD)/values.yaml $(local_values) $(addprefix --values ,$(VALUES)) >$(BUILD)/install.log \
		|| { cat $(BUILD)/install.log >&2; $(kubectl) -n $(NAMESPACE) get pods,events >&2; exit 1; }

down: ## uninstall Flint; the kinds, functions and keys stay
	@$(helm) uninstall $(RELEASE) --namespace $(NAMESPACE) --wait --ignore-not-found >&2

url: ## the gateway's URL as this host reaches it
	@hack/url '$(NAMESPACE)' '$(NODE_PORT)' '$(local_cluster)'

cli: ## the command line, and kubectl's plugin beside it, into build/bin
	$(call say,the command line)
	@$(cargo) build --locked --release --package flint-cli
	@install -D $(target)/release/flint $(BUILD)/bin/flint
	@ln -sf flint $(BUILD)/bin/kubectl-flint
	@printf 'put %s into your PATH\n' "$$PWD/$(BUILD)/bin" >&2
