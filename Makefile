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
	@CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/rayorch ./cmd/rayorch

.PHONY: demo
demo: build ## run examples/shakespeare on a Ray of its own, unless one runs here
	@sh scripts/venv $(VENV) scripts/requirements-run.txt
	@$(ENV) bin/rayorch run examples/shakespeare $(DEMO_ARGS)

.PHONY: test
test: test-setup ## run all test suites, one line each; ONLY=name for one
	@$(ENV) $(TOOLS)/bin/suites -only '$(ONLY)'

.PHONY: test-setup
test-setup: build tools ## install what the tests need
	@sh scripts/packages
	@sh scripts/venv $(VENV) scripts/requirements-run.txt scripts/requirements-test.txt
	@sh scripts/node-tools $(NODE_TOOLS) $(ASL_VALIDATOR) $(AXE)
	@sh scripts/aws-tools $(TOOLS)

.PHONY: screenshots
screenshots: ## make the pictures of the console in docs/images anew
	@sh scripts/packages
	@mkdir -p docs/images
	@RAYORCH_SCREENSHOTS="$(CURDIR)/docs/images" go test -count=1 -run '^TestScreenshots$$' -v ./e2e/console | grep -v '^==='
	@cp docs/images/console-start-dark.png modules/eks/ray-orchestrator/docs/start.png # the module's folder is complete in itself
	@cp docs/images/console-execution-light.png modules/eks/ray-orchestrator/docs/execution.png

.PHONY: check
check: tools ## the quick gate: format, lint, short tests
	@sh scripts/format
	@$(TOOLS)/bin/golangci-lint run --allow-parallel-runners
	@go test -short ./...

.PHONY: lint
lint: tools ## format and lint
	@sh scripts/format
	@$(TOOLS)/bin/golangci-lint run --allow-parallel-runners

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@sh scripts/fuzz $(FUZZTIME)

.PHONY: kill
kill: test-setup ## kill -9 rayorch KILLS times at random points of runs on a real Ray
	@$(ENV) sh scripts/kill $(KILLS)

.PHONY: test-kubernetes
test-kubernetes: build ## all tests on a real Kubernetes with Ray in its pods, each fault too; they print as they go
	@RAYORCH_TEST_KUBERNETES=all go test -count=1 -p=1 -timeout=90m -v ./e2e/clustertest ./e2e/kubernetes ./e2e/ways ./e2e/aws ./internal/kube ./internal/task/ekstask

.PHONY: kill-kubernetes
kill-kubernetes: build ## kill -9 rayorch KILLS times at random points of runs on a real Kubernetes
	@RAYORCH_KILLS=$(KILLS) go test -count=1 -timeout=120m -v -run 'TestRay/killed' ./e2e/kubernetes

.PHONY: bench-kubernetes
bench-kubernetes: build ## time between the jobs of a pipeline by each way of submitting, and by the published module's
	@RAYORCH_BENCH_ROUNDS=$${RAYORCH_BENCH_ROUNDS:-5} go test -count=1 -timeout=60m -v -run TestHandOver ./bench/kubernetes

.PHONY: bench-submission-modes
bench-submission-modes: build ## KubeRay's HTTPMode beside its K8sJobMode, and what way rayjob adds between two jobs
	@RAYORCH_BENCH_MODES=$${RAYORCH_BENCH_MODES:-5} go test -count=1 -timeout=60m -v -run TestSubmissionModes ./bench/kubernetes

.PHONY: bench-overhead
bench-overhead: test-setup ## rayorch beside `ray job submit` and a bare REST loop
	@$(ENV) python bench/overhead/overhead.py --rayorch bin/rayorch

.PHONY: bench-engine
bench-engine: build ## the engine in its own process, and the server over HTTP
	@bench/engine/compare $(BENCH_SECONDS)

.PHONY: soak
soak: ## kill the engine SOAKS times under load; every execution must be accounted for
	@RAYORCH_SOAK=$(SOAKS) go test -count=1 -timeout=120m -run '^TestSoak$$' -v ./internal/engine

.PHONY: release
release: tools ## static binaries, checksums and a bill of materials in dist/
	@sh scripts/release $(VERSION)

# Built once for each change of their versions: golangci-lint takes some minutes on two cores.
.PHONY: tools
tools: $(TOOLS)/.built
$(TOOLS)/.built: tools/go.mod tools/go.sum $(wildcard tools/suites/*.go)
	@mkdir -p $(TOOLS)/bin
	@echo "building golangci-lint, govulncheck and cyclonedx-gomod into $(TOOLS)/bin (minutes, once)"
	@cd tools && GOBIN="$(CURDIR)/$(TOOLS)/bin" go install -trimpath tool ./suites
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
