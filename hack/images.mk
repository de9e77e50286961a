# The images: static programs, files of Debian packages, and what makes images of them without a container engine.

.PHONY: binaries profile images images-all images-clean

programs := flint-operator flint-gateway flint-watchdog flint-builder flint-image flint-e2e
runtimes := python3.11 nodejs java17 ruby php provided process
recipes := $(patsubst %,runtimes/system/%.yaml,operator gateway watchdog builder) \
	$(patsubst %,runtimes/%/image.yaml,$(runtimes)) \
	$(patsubst %,runtimes/%/build/image.yaml,python3.11 nodejs java17) \
	runtimes/provided/build/go/image.yaml \
	$(patsubst %,e2e/images/%.yaml,http echo go)
rootfs := $(patsubst %,$(BUILD)/rootfs/%.tar,base python3.11 python3.11-build nodejs nodejs-build java17 java17-build ruby php go-build process http)
# What only `make images-all` makes: as large as all the others together.
large := rust

# With glibc inside, because a scratch image has none. Names are still looked up: since 2.34 that needs no plugin of glibc's.
static = RUSTFLAGS='-C target-feature=+crt-static$(1)' $(cargo) build --locked --release --target $(triple) $(addprefix -p ,$(2))
# Gateway and watchdog are built alone where there is a profile of them: that is good for the features that they alone ask of their dependencies.
profiled := flint-gateway flint-watchdog
profile := $(abspath $(wildcard $(BUILD)/flint.profdata))
others = $(if $(profile),$(filter-out $(profiled),$(1)),$(1))
build_static = $(if $(and $(profile),$(filter $(profiled),$(1))),$(call static, -C profile-use=$(profile),$(profiled))$(if $(call others,$(1)), && ))$\
	$(if $(call others,$(1)),$(call static,,$(call others,$(1))))

binaries: tools
	$(call say,building the programs)
	@$(call build_static,$(programs))

profile: tools ## measure gateway and watchdog under load, for faster builds of them from then on (15 minutes)
	$(call say,a profile of gateway and watchdog)
	@mkdir -p $(BUILD)
	@$(call static,,flint-bench)
	@hack/profile $(BUILD)/flint.profdata $(target) $(triple) $(bin)/flint-bench

$(BUILD)/rootfs/%.tar: runtimes/rootfs | tools
	@runtimes/rootfs $(folder) $@
$(BUILD)/rootfs/base.tar: folder = runtimes/base
$(BUILD)/rootfs/python3.11.tar: folder = runtimes/python3.11
$(BUILD)/rootfs/nodejs.tar: folder = runtimes/nodejs
$(BUILD)/rootfs/python3.11-build.tar: folder = runtimes/python3.11/build
$(BUILD)/rootfs/nodejs-build.tar: folder = runtimes/nodejs/build
$(BUILD)/rootfs/java17.tar: folder = runtimes/java17
$(BUILD)/rootfs/ruby.tar: folder = runtimes/ruby
$(BUILD)/rootfs/php.tar: folder = runtimes/php
$(BUILD)/rootfs/java17-build.tar: folder = runtimes/java17/build
$(BUILD)/rootfs/go-build.tar: folder = runtimes/provided/build/go
$(BUILD)/rootfs/rust-build.tar: folder = runtimes/provided/build/rust
$(BUILD)/rootfs/process.tar: folder = runtimes/process
$(BUILD)/rootfs/http.tar: folder = e2e/images/http
# What each is made from, but for the recipe: that says what is taken of it.
ingredients = $(filter-out %.yaml,$(wildcard $(1)/packages $(1)/setup $(1)/requirements.txt $(1)/fetch $(1)/pom.xml $(1)/*.sha256 $(1)/share $(1)/authorities $(1)/goals))
$(patsubst %,$(BUILD)/rootfs/%.tar,base python3.11 nodejs java17 ruby php process): $(call ingredients,runtimes/base)
$(BUILD)/rootfs/python3.11-build.tar: $(call ingredients,runtimes/base) $(call ingredients,runtimes/python3.11/build)
$(BUILD)/rootfs/nodejs-build.tar: $(call ingredients,runtimes/base) $(call ingredients,runtimes/nodejs/build)
$(BUILD)/rootfs/go-build.tar: $(call ingredients,runtimes/base) $(call ingredients,runtimes/provided/build/go)
$(BUILD)/rootfs/rust-build.tar: $(call ingredients,runtimes/base) $(call ingredients,runtimes/provided/build/rust)
$(BUILD)/rootfs/java17-build.tar: $(call ingredients,runtimes/base) $(call ingredients,runtimes/java17/build) runtimes/java17/authorities
$(BUILD)/rootfs/python3.11.tar: $(call ingredients,runtimes/python3.11)
$(BUILD)/rootfs/nodejs.tar: $(call ingredients,runtimes/nodejs)
$(BUILD)/rootfs/java17.tar: $(call ingredients,runtimes/java17)
$(BUILD)/rootfs/ruby.tar: $(call ingredients,runtimes/ruby)
$(BUILD)/rootfs/php.tar: $(call ingredients,runtimes/php)
$(BUILD)/rootfs/process.tar: $(call ingredients,runtimes/process)
$(BUILD)/rootfs/http.tar: $(call ingredients,e2e/images/http)

$(BUILD)/rootfs/ca-certificates.crt: $(BUILD)/rootfs/base.tar
	@tar -xOf $< ./etc/ssl/certs/ca-certificates.crt >$@

$(BUILD)/e2e/bootstrap: $(wildcard e2e/go/*)
	@cd e2e/go && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(abspath $@) .

images: binaries $(rootfs) $(BUILD)/rootfs/ca-certificates.crt $(BUILD)/e2e/bootstrap ## make the images and push what REGISTRY lacks
	$(call say,making the images and pushing them to $(REGISTRY))
	@hack/images '$(REGISTRY)' '$(TAG)' '$(bin)' '$(BUILD)' $(recipes)

images-all: recipes += $(patsubst %,runtimes/provided/build/%/image.yaml,$(large))
images-all: $(patsubst %,$(BUILD)/rootfs/%-build.tar,$(large)) images ## the same and the large ones: what builds Rust

images-clean: ## forget the images' files, so that the next ones have today's packages
	rm -rf $(BUILD)/rootfs $(BUILD)/images
