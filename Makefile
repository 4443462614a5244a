# Aplomb: the commands. `make demo` shows it, `make test` proves it; `make` lists the rest.

CARGO ?= cargo
OUT := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# `filter` is linked for wasm only; natively it is checked, not built.
HOST := --workspace --exclude aplomb-filter
MODE ?= full

.DEFAULT_GOAL := help
.PHONY: help setup filter size build demo demo-up demo-down test bypass swap interop envoys faults skew fleet vectors fuzz check fmt fmt-check audit manifests image bench bench-micro bench-module figures figures-companion scale clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install what is missing (Envoy, the wasm compiler, wasm-opt)
	@scripts/setup.sh

filter: ## build dist/aplomb.wasm
	@scripts/filter.sh

size: ## fail if dist/aplomb.wasm exceeds its budget
	@scripts/size.sh

# With a test among it (the smallest) the dependencies get the features that they have for the tests: nothing is compiled twice.
build: ## build the host programs: aplc, companion, harness
	@$(CARGO) build $(HOST) --bins --test wire

demo: setup filter build ## the whole scenario in a real Envoy; MODE=paired for two plugins
	@$(OUT)/debug/aplomb-demo run --mode $(MODE)

demo-up: setup filter build ## the same, left running, with the curl lines to try
	@$(OUT)/debug/aplomb-demo up --mode $(MODE)

demo-down: ## end what demo-up started
	@test -x $(OUT)/debug/aplomb-demo || $(MAKE) --no-print-directory build
	@$(OUT)/debug/aplomb-demo down

test: setup filter build ## everything that proves the project, real Envoy included
	@$(CARGO) test

bypass: setup filter build ## a hundred ways around a filter, tried on the module: the list, with what came of each
	@$(CARGO) test --quiet --workspace --test bypass -- --nocapture the_list

faults: setup filter build ## the fault list: what is injected, what is answered, what is lost of what was acknowledged
	@CARGO="$(CARGO)" scripts/faults.sh

interop: setup filter build ## the official MCP conformance suite and SDK clients through Envoy with the filter
	@$(CARGO) test --quiet --workspace --test interop -- --nocapture --test-threads 1

envoys: setup filter build ## the scenario in every supported Envoy, in both ways of installing
	@scripts/setup.sh envoys
	@scripts/envoys.sh

swap: setup filter build ## change a policy under load in a real Envoy: requests, denials meanwhile, milliseconds from push to enforcement
	@$(CARGO) test --quiet --workspace --test gateway -- --nocapture swap

skew: setup filter build ## upgrade and roll back module, policy, companion and halves of a pair under load, against the build before
	@scripts/previous.sh companion
	@$(CARGO) test --quiet --workspace --test gateway -- --nocapture skew

fleet: setup filter build ## two gateways and two companions on one store: the scenarios, companions and gateways replaced and killed
	@$(CARGO) test --quiet --workspace --exclude aplomb-filter --test fleet -- --nocapture --test-threads 1

vectors: ## the shared vectors of the language, one line an area; APL_VECTORS=FILE for another file of that form
	@$(if $(APL_VECTORS),APL_VECTORS=$(abspath $(APL_VECTORS))) $(CARGO) test --quiet -p apl-compiler --test vectors -- \
		--nocapture --exact vectors_are_right_or_differ_by_design

fuzz: ## run the fuzz targets; TARGET=yaml, predicate, pipeline, loader, vm or effects for one of them, SECONDS=900 for how long each
	@CARGO_TARGET_DIR=$(OUT) scripts/fuzz.sh $(or $(TARGET),all) $(or $(SECONDS),900)

fmt-check:
	@$(CARGO) fmt --all --check

check: fmt-check ## formatting and lints
	@CARGO="$(CARGO)" scripts/check.sh

fmt: ## format the source
	@$(CARGO) fmt --all

audit: ## licences, bans, sources, advisories of the dependencies
	@scripts/audit.sh

manifests: build ## every Kubernetes object that is shipped or emitted, against the real definitions
	@$(CARGO) test --quiet --workspace --test manifests -- --nocapture

image: setup filter build ## dist/image, an OCI layout of the module that Istio accepts; prints the digest to pin
	@$(OUT)/debug/aplomb-image

bench: setup filter ## requests per second beside no filter, a no-op module and Envoy's own filters
	@scripts/bench.sh

bench-module: setup filter ## what loading, requests, large bodies and lists need in the compiled filter, beside their bounds
	@$(CARGO) bench --quiet -p aplomb-benches --bench module

bench-micro: bench-module ## the same, and the parts of a request natively, with Criterion's statistics
	@CARGO_TARGET_DIR=$(OUT)/micro $(CARGO) bench --quiet --manifest-path benches/micro/Cargo.toml -- --quiet

figures: setup filter build ## the project's five figures against their bounds
	@$(OUT)/debug/aplomb-figures

figures-companion: ## what the companion must manage, beside its bounds: stores, tokens, memory (a quiet machine, redis-server)
	@$(CARGO) bench --quiet -p aplomb-companion --bench figures

scale: ## how compiler, loader and routing grow with the policy, beside their bounds
	@$(CARGO) bench --quiet -p apl-compiler --bench scale

clean: ## remove what was built (not what was installed)
	@$(CARGO) clean
	@rm -rf dist .demo
