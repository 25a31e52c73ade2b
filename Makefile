# make help lists the targets. Everything that they install goes into .venv, .tools and Go's caches.

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

# Tests and demo find python, ray, aws and the validators here first.
ENV := PATH="$(CURDIR)/$(VENV)/bin:$(CURDIR)/$(NODE_TOOLS)/node_modules/.bin:$$PATH" VIRTUAL_ENV="$(CURDIR)/$(VENV)" RAYORCH_PYTHON="$(CURDIR)/$(VENV)/bin/python"

.PHONY: build
build: ## build bin/rayorch (the default)
	@sh scripts/build $(VERSION)

.PHONY: demo
demo: ## run examples/shakespeare on a Ray of its own, unless one runs here
	@$(MAKE) --no-print-directory --jobs=2 build setup-ray
	@echo "demo: bin/rayorch run examples/shakespeare $(DEMO_ARGS)"
	@exec env $(ENV) bin/rayorch run examples/shakespeare $(DEMO_ARGS)

# tools/check runs the parts, cleans up after them, and sums up.
.PHONY: test
test: $(TOOLS)/bin/check ## run all tests; ONLY=go, e2e, fuzz, examples or demo for one part
	@exec $(TOOLS)/bin/check -results .tools/test -- $(MAKE) --no-print-directory test-parts

# One part after another, whatever becomes of the others, so that each has the whole machine.
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

# Steps that wait for the network run beside those that compile.
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
screenshots: ## make the pictures of the console in docs/images anew
	@sh scripts/packages
	@mkdir -p docs/images
	@RAYORCH_SCREENSHOTS="$(CURDIR)/docs/images" go test -count=1 -run '^TestScreenshots$$' -v ./e2e/console | grep -v '^==='
	@cp docs/images/console-start-dark.png modules/eks/ray-orchestrator/docs/start.png # the module's folder is complete in itself
	@cp docs/images/console-execution-light.png modules/eks/ray-orchestrator/docs/execution.png

.PHONY: check
check: lint ## the quick gate: format, lint, short tests
	@go test -short ./...

.PHONY: lint
lint: $(TOOLS)/bin/golangci-lint ## check format; lint Go, Python, shell and JavaScript
	@sh scripts/format
	@sh scripts/lint
	@CGO_ENABLED=0 GOFLAGS=-trimpath $(TOOLS)/bin/golangci-lint run --allow-parallel-runners # compiles as make build does

.PHONY: vuln
vuln: $(TOOLS)/bin/govulncheck ## look for known vulnerabilities in what the binary calls
	@sh scripts/vulnerabilities

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@sh scripts/fuzz $(FUZZTIME) -fuzz=.

.PHONY: kill
kill: build setup-ray ## kill -9 rayorch KILLS times at random points of runs on a real Ray
	@$(ENV) sh scripts/kill $(KILLS)

.PHONY: test-kubernetes
test-kubernetes: build ## all tests on a real Kubernetes with Ray in its pods, each fault too; they print as they go
	@RAYORCH_TEST_KUBERNETES=all go test -count=1 -p=1 -timeout=90m -v ./e2e/clustertest ./e2e/kubernetes ./e2e/modes ./e2e/aws ./internal/backend/kube ./internal/task/ekstask

.PHONY: kill-kubernetes
kill-kubernetes: build ## kill -9 rayorch KILLS times at random points of runs on a real Kubernetes
	@RAYORCH_KILLS=$(KILLS) go test -count=1 -timeout=120m -v -run 'TestRay/killed' ./e2e/kubernetes

.PHONY: bench-kubernetes
bench-kubernetes: build ## time between the jobs of a pipeline in each submission mode, and by the published module's
	@RAYORCH_BENCH_ROUNDS=$${RAYORCH_BENCH_ROUNDS:-5} go test -count=1 -timeout=60m -v -run TestHandOver ./bench/kubernetes

.PHONY: bench-submission-modes
bench-submission-modes: build ## KubeRay's HTTPMode beside its K8sJobMode, and the time that submission mode rayjob adds between two jobs
	@RAYORCH_BENCH_MODES=$${RAYORCH_BENCH_MODES:-5} go test -count=1 -timeout=60m -v -run TestSubmissionModes ./bench/kubernetes

.PHONY: bench-overhead
bench-overhead: build setup-test ## rayorch beside `ray job submit` and a bare REST loop
	@$(ENV) python bench/overhead/overhead.py --rayorch bin/rayorch

.PHONY: bench-engine
bench-engine: build ## the engine in its own process, and the server over HTTP
	@bench/engine/compare $(BENCH_SECONDS)

.PHONY: soak
soak: ## kill the engine SOAKS times under load, and crash it at every write; every execution must be accounted for
	@RAYORCH_SOAK=$(SOAKS) go test -count=1 -timeout=120m -run '^(TestSoak|TestCrashAtEveryWrite|TestLogAfterCut)$$' -v ./internal/engine

.PHONY: release
release: ## time the README's commands for its table, then build dist
	@$(MAKE) --no-print-directory timings
	@$(MAKE) --no-print-directory dist

.PHONY: dist
dist: $(TOOLS)/bin/cyclonedx-gomod ## static binaries, checksums and a bill of materials in dist/
	@sh scripts/release $(VERSION)

.PHONY: timings
timings: ## time make demo and make test with empty caches and again, and write the README's table
	@bash scripts/timings

.PHONY: test-interrupt
test-interrupt: ## interrupt make test and make demo at five random moments; nothing may stay behind
	@bash scripts/interrupt-test 5

# Each is built when something first needs it, and again when its version changes: golangci-lint takes minutes.
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
module: ## put binaries for CodeBuild into modules/eks/ray-orchestrator
	@sh scripts/module

.PHONY: module-check
module-check: ## say whether the module's checksums are of this checkout, as they must be for a release
	@sh scripts/module check

.PHONY: bench-aws
bench-aws: build ## time of a synthesis beside the published module's, whose clone RAYORCH_PUBLISHED_MODULE names
	@sh bench/aws/compare

.PHONY: clean
clean: ## remove what make made, but for Go's caches
	rm -rf bin dist $(TOOLS) $(VENV)

.PHONY: help
help: ## this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile
