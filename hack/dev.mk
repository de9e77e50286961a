# Flint on this machine, without a cluster.

.PHONY: dev

# The dev profile: it is ready in half of the time that release takes, and what it serves is as fast as anybody notices.
dev: ## Flint here, with the example (PROJECT=folder for yours, PORT=3000)
	$(call say,building flint: some minutes the first time)
	@$(cargo) build --locked --quiet --package flint-cli --bin flint
	@exec $(target)/debug/flint dev --port $(or $(PORT),3000) $(or $(PROJECT),examples/hello)
