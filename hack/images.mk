# The images: static programs, files of Debian packages, and what makes images of them without a container engine.

.PHONY: binaries images images-clean

programs := flint-operator flint-gateway flint-watchdog flint-builder flint-image flint-e2e
recipes := $(patsubst %,runtimes/system/%.yaml,operator gateway watchdog builder) \
	$(patsubst %,runtimes/%/image.yaml,python3.11 nodejs provided process) \
	$(patsubst %,runtimes/%/build/image.yaml,python3.11 nodejs) \
	$(patsubst %,e2e/images/%.yaml,http echo go)
rootfs := $(patsubst %,$(BUILD)/rootfs/%.tar,base python3.11 python3.11-build nodejs nodejs-build process http)

# With glibc inside, because a scratch image has none. Names are still looked up: since 2.34 that needs no plugin of glibc's.
build_static = RUSTFLAGS='-C target-feature=+crt-static' $(cargo) build --locked --release --target $(triple) $(addprefix -p ,$(1))

binaries: tools
	$(call say,building the programs)
	@$(call build_static,$(programs))

$(BUILD)/rootfs/%.tar: runtimes/rootfs | tools
	@runtimes/rootfs $(folder) $@
$(BUILD)/rootfs/base.tar: folder = runtimes/base
$(BUILD)/rootfs/python3.11.tar: folder = runtimes/python3.11
$(BUILD)/rootfs/nodejs.tar: folder = runtimes/nodejs
$(BUILD)/rootfs/python3.11-build.tar: folder = runtimes/python3.11/build
$(BUILD)/rootfs/nodejs-build.tar: folder = runtimes/nodejs/build
$(BUILD)/rootfs/process.tar: folder = runtimes/process
$(BUILD)/rootfs/http.tar: folder = e2e/images/http
# What each is made from, but for the recipe: that says what is taken of it.
ingredients = $(filter-out %.yaml,$(wildcard $(1)/packages $(1)/setup $(1)/requirements.txt))
$(BUILD)/rootfs/base.tar $(BUILD)/rootfs/python3.11.tar $(BUILD)/rootfs/nodejs.tar $(BUILD)/rootfs/process.tar: $(call ingredients,runtimes/base)
$(BUILD)/rootfs/python3.11-build.tar: $(call ingredients,runtimes/base) $(call ingredients,runtimes/python3.11/build)
$(BUILD)/rootfs/nodejs-build.tar: $(call ingredients,runtimes/base) $(call ingredients,runtimes/nodejs/build)
$(BUILD)/rootfs/python3.11.tar: $(call ingredients,runtimes/python3.11)
$(BUILD)/rootfs/nodejs.tar: $(call ingredients,runtimes/nodejs)
$(BUILD)/rootfs/process.tar: $(call ingredients,runtimes/process)
$(BUILD)/rootfs/http.tar: $(call ingredients,e2e/images/http)

$(BUILD)/rootfs/ca-certificates.crt: $(BUILD)/rootfs/base.tar
	@tar -xOf $< ./etc/ssl/certs/ca-certificates.crt >$@

$(BUILD)/e2e/bootstrap: $(wildcard e2e/go/*)
	@cd e2e/go && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(abspath $@) .

images: binaries $(rootfs) $(BUILD)/rootfs/ca-certificates.crt $(BUILD)/e2e/bootstrap ## make the images and push what REGISTRY lacks
	$(call say,making the images and pushing them to $(REGISTRY))
	@hack/images '$(REGISTRY)' '$(TAG)' '$(bin)' '$(BUILD)' $(recipes)

images-clean: ## forget the images' files, so that the next ones have today's packages
	rm -rf $(BUILD)/rootfs $(BUILD)/images
