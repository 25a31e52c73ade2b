# `make help` lists the targets. They install everything into .venv, .tools and Go's caches.

SHELL := /bin/sh
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
VENV := .venv
TOOLS := .tools
NODE_TOOLS := $(TOOLS)/node
ASL_VALIDATOR := asl-validator@4.0.0
AXE := axe-core@4.14.1
FUZZTIME ?= 30s
KILLS ?= 50
SOAKS ?= 1000
BENCH_SECONDS ?= 10
DEMO_ARGS ?=

# The environment of the tests and the demo: python, ray, aws and the validators of this checkout come first on PATH.
ENV := PATH="$(CURDIR)/$(VENV)/bin:$(CURDIR)/$(NODE_TOOLS)/node_modules/.bin:$$PATH" VIRTUAL_ENV="$(CURDIR)/$(VENV)" RAYORCH_PYTHON="$(CURDIR)/$(VENV)/bin/python"

.PHONY: build
build: ## build bin/rayorch (the default)
	@sh scripts/build $(VERSION)

.PHONY: demo
demo: ## run examples/shakespeare on a Ray that runs on this machine, or on a new one
	@$(MAKE) --no-print-directory --jobs=2 build setup-ray
	@echo "demo: bin/rayorch run examples/shakespeare $(DEMO_ARGS)"
	@exec env $(ENV) bin/rayorch run examples/shakespeare $(DEMO_ARGS)

# tools/check runs the parts, cleans up after them, and prints a summary.
.PHONY: test
test: $(TOOLS)/bin/check ## run all tests; ONLY=go, e2e, fuzz, examples or demo for one part
	@exec $(TOOLS)/bin/check -results .tools/test -- $(MAKE) --no-print-directory test-parts

# The parts run one after another, so that each has the whole machine, and continue even if one fails.
.PHONY: test-parts
test-parts: test-setup
	@$(MAKE) --no-print-directory --keep-going --jobs=1 $(if $(ONLY),test-$(ONLY),test-go test-e2e test-fuzz test-examples test-demo)

.PHONY: test-go test-e2e test-fuzz test-examples test-demo
test-go:
	@sh scripts/step tools go test -C tools ./check
	@exec env $(ENV) sh scripts/go-test go
test-e2e:
	@exec env $(ENV) sh scripts/go-test e2e
test-fuzz:
	@sh scripts/step fuzz sh scripts/fuzz 500x
test-examples:
	@env $(ENV) sh scripts/step shakespeare sh scripts/unittest examples/shakespeare
	@env $(ENV) sh scripts/step gptj sh scripts/unittest examples/gptj
test-demo:
	@sh scripts/step demo sh scripts/demo-test

# --jobs: steps that wait for the network run at the same time as those that compile.
.PHONY: test-setup
test-setup: ## install and build what the tests need
	@sh scripts/packages
	@$(MAKE) --no-print-directory --jobs=4 setup-cluster setup-aws setup-node $(TOOLS)/bin/gotestsum build

.PHONY: setup-ray setup-test setup-aws setup-node setup-cluster
setup-ray:
	@sh scripts/venv $(VENV) scripts/requirements-run.txt
setup-test: setup-ray
	@sh scripts/venv $(VENV) scripts/requirements-test.txt
setup-aws: setup-test
	@sh scripts/aws-tools $(TOOLS)
setup-node:
	@sh scripts/node-tools $(NODE_TOOLS) $(ASL_VALIDATOR) $(AXE)
setup-cluster:
	@sh scripts/cluster

.PHONY: screenshots
screenshots: ## update the screenshots of the console in docs/images
	@sh scripts/packages
	@mkdir -p docs/images
	@RAYORCH_SCREENSHOTS="$(CURDIR)/docs/images" go test -count=1 -run '^TestScreenshots$$' -v ./e2e/console | grep -v '^==='
	@cp docs/images/console-start-dark.png modules/eks/ray-orchestrator/docs/start.png # the module's directory must not refer to files outside it
	@cp docs/images/console-execution-light.png modules/eks/ray-orchestrator/docs/execution.png

.PHONY: check
check: lint ## check the format, lint, run the short tests
	@go test -short ./...

.PHONY: lint
lint: $(TOOLS)/bin/golangci-lint ## check format; lint Go, Python, shell and JavaScript
	@sh scripts/format
	@sh scripts/lint
	@CGO_ENABLED=0 GOFLAGS=-trimpath $(TOOLS)/bin/golangci-lint run --allow-parallel-runners # the same flags as make build, so that both use the same build cache

.PHONY: vuln
vuln: $(TOOLS)/bin/govulncheck ## look for known vulnerabilities in code that the binary calls
	@sh scripts/vulnerabilities

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@sh scripts/fuzz $(FUZZTIME) -fuzz=.

.PHONY: kill
kill: build setup-ray ## kill -9 rayorch KILLS times at random points of runs on a real Ray
	@$(ENV) sh scripts/kill $(KILLS)

.PHONY: test-kubernetes
test-kubernetes: build ## run all tests on a real Kubernetes with Ray in pods, including every fault
	@RAYORCH_TEST_KUBERNETES=all go test -count=1 -p=1 -timeout=90m -v ./e2e/clustertest ./e2e/kubernetes ./e2e/modes ./e2e/aws ./internal/backend/kube ./internal/task/ekstask

.PHONY: kill-kubernetes
kill-kubernetes: build ## kill -9 rayorch KILLS times at random points of runs on a real Kubernetes
	@RAYORCH_KILLS=$(KILLS) go test -count=1 -timeout=120m -v -run 'TestRay/killed' ./e2e/kubernetes

.PHONY: bench-kubernetes
bench-kubernetes: build ## measure the time between the jobs of a pipeline, in each submission mode and with the published module
	@RAYORCH_BENCH_ROUNDS=$${RAYORCH_BENCH_ROUNDS:-5} go test -count=1 -timeout=60m -v -run TestHandOver ./bench/kubernetes

.PHONY: bench-submission-modes
bench-submission-modes: build ## compare KubeRay's HTTPMode with its K8sJobMode, and measure the time that mode rayjob adds between two jobs
	@RAYORCH_BENCH_MODES=$${RAYORCH_BENCH_MODES:-5} go test -count=1 -timeout=60m -v -run TestSubmissionModes ./bench/kubernetes

.PHONY: bench-overhead
bench-overhead: build setup-test ## compare rayorch with `ray job submit` and a minimal REST loop
	@$(ENV) python bench/overhead/overhead.py --rayorch bin/rayorch

.PHONY: bench-engine
bench-engine: build ## measure the engine in-process, and the server over HTTP
	@bench/engine/compare $(BENCH_SECONDS)

.PHONY: soak
soak: ## kill the engine SOAKS times under load, and crash it at every write; no execution may be lost or run twice
	@RAYORCH_SOAK=$(SOAKS) go test -count=1 -timeout=120m -run '^(TestSoak|TestCrashAtEveryWrite|TestLogAfterCut)$$' -v ./internal/engine

.PHONY: release
release: ## measure the commands in the README's table, then build dist
	@$(MAKE) --no-print-directory timings
	@$(MAKE) --no-print-directory dist

.PHONY: dist
dist: $(TOOLS)/bin/cyclonedx-gomod ## build static binaries, checksums and a bill of materials in dist/
	@sh scripts/release $(VERSION)

.PHONY: timings
timings: ## measure make demo and make test, with empty caches and again, and update the README's table
	@bash scripts/timings

.PHONY: test-interrupt
test-interrupt: ## interrupt make test and make demo at five random points, and check that nothing is left behind
	@bash scripts/interrupt-test 5

# Each tool is built when a target first needs it, and again when its version changes, because golangci-lint takes minutes to build.
TOOL_golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
TOOL_govulncheck := golang.org/x/vuln/cmd/govulncheck
TOOL_cyclonedx-gomod := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
TOOL_gotestsum := gotest.tools/gotestsum
TOOL_check := ./check
$(TOOLS)/bin/check: $(wildcard tools/check/*.go)
$(TOOLS)/bin/%: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)/bin
	@echo "building $* into $(TOOLS)/bin"
	@cd tools && GOBIN="$(CURDIR)/$(TOOLS)/bin" go install -trimpath $(TOOL_$*)
	@touch $@

.PHONY: module
module: ## build the binaries for CodeBuild in modules/eks/ray-orchestrator
	@sh scripts/module

.PHONY: module-check
module-check: ## check that the module's checksums match this checkout, as a release requires
	@sh scripts/module check

.PHONY: bench-aws
bench-aws: build ## compare the time to generate a template with the published module (a clone at RAYORCH_PUBLISHED_MODULE)
	@sh bench/aws/compare

.PHONY: clean
clean: ## remove everything that make created, except for Go's caches
	rm -rf bin dist $(TOOLS) $(VENV)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile
