# The cluster that tests run on: the one of $KUBECONFIG if that names another, this machine's own node otherwise.

cluster_script := $(dir $(lastword $(MAKEFILE_LIST)))cluster

.PHONY: cluster cluster-down kubeconfig

cluster: ## start a Kubernetes of one node on this machine (or use $KUBECONFIG's)
	@ours=$$($(cluster_script) kubeconfig); if [ "$${KUBECONFIG:-$$ours}" = "$$ours" ]; then $(cluster_script) up; \
	else $$(e2e/cluster/tools kubectl) get --raw /readyz --request-timeout 10s >/dev/null \
		|| { echo "cluster: no cluster answers at KUBECONFIG=$$KUBECONFIG; without KUBECONFIG one is started here" >&2; exit 1; }; \
		echo "cluster: using KUBECONFIG=$$KUBECONFIG"; fi

cluster-down: ## end it
	@$(cluster_script) down

kubeconfig: ## print the path of the kubeconfig file that tests use
	@echo "$${KUBECONFIG:-$$($(cluster_script) kubeconfig)}"
