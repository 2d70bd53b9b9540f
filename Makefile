# The commands of a working day. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The same flags everywhere, so that every command shares the build cache.
export GOFLAGS := -trimpath -buildvcs=false
FUZZTIME ?= 30s
BENCHTIME ?= 1s

UNIT := $(shell go list ./... 2>/dev/null | grep -vE '/tests/(integration|bench|browser|e2e)')
tool = $$(hack/tools/install.sh $(1) $(2))/$(2)

.PHONY: help
help: ## What can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Go, git, make, curl and a C compiler (for the race detector) are all that is needed:"
	@echo "other tools, a real kube-apiserver among them, are built from Go modules on first use."

.PHONY: build
build: ## All binaries, into bin/
	CGO_ENABLED=0 go build -o bin/ ./interceptor ./scaler ./operator ./standalone ./examples/modelsim ./examples/webapp

.PHONY: run
run: build ## Standalone with the examples, on :8080 (KEDA_HTTP_PROXY_PORT, KEDA_HTTP_ADMIN_PORT)
	bin/standalone -f examples/standalone

.PHONY: test
test: test-unit test-integration test-bench ## Everything but the SDKs and the browser

.PHONY: test-unit
test-unit: cc ## Unit and conformance tests: the inner loop
	go test -race -timeout 10m $(UNIT)

.PHONY: test-integration
test-integration: cc ## Against a real kube-apiserver, built on first use (about 7 minutes)
	@hack/tools/install.sh kubernetes etcd kube-apiserver kubectl >/dev/null
	go test -race -timeout 20m ./tests/integration/...

.PHONY: test-bench
test-bench: ## Whole processes beside a bare net/http server
	go test -timeout 10m ./tests/bench/...

.PHONY: test-clients
test-clients: cc ## Official SDKs through real cold starts
	cd tests/clients && go test -race -timeout 15m ./...

.PHONY: test-browser
test-browser: cc chromium ## The waiting page in a real Chromium
	go test -race -timeout 15m -tags browser ./tests/browser/...

.PHONY: bench
bench: ## Benchmarks
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./pkg/... ./interceptor/... ./standalone/... ./scaler/...
	go test -count=1 -v ./tests/bench/...

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME
	@grep -rlE '^func Fuzz' --include '*_test.go' . | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9]+' "$$file" | awk '{print $$2}' | while read -r target; do \
			echo "fuzzing $$target in $$(dirname "$$file")"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")"; \
		done; \
	done

.PHONY: lint
lint: ## golangci-lint, with the import rules
	$(call tool,lint,golangci-lint) run ./...
	cd tests/clients && $(call tool,lint,golangci-lint) run ./...

.PHONY: generate
generate: ## Everything that is generated from the code
	hack/generate.sh

.PHONY: verify
verify: ## What is generated, formatted and tidy is as committed
	hack/generate.sh --check
	go mod tidy -diff
	cd tests/clients && go mod tidy -diff
	@unformatted=$$(git ls-files '*.go' | xargs gofmt -l); test -z "$$unformatted" || { echo "not formatted: $$unformatted" >&2; exit 1; }
	go vet ./...

.PHONY: clean
clean: ## Remove bin/; tools stay in their cache
	rm -rf bin

.PHONY: cc
cc:
	@command -v $${CC:-cc} >/dev/null || command -v gcc >/dev/null || { echo "the race detector needs a C compiler: apt-get install gcc libc6-dev" >&2; exit 1; }

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ -n "$${CHROMIUM:-}" ] || { \
		echo "installing chromium" >&2; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }
