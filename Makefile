# The commands for daily work. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# All commands use the same flags, so that they share the build cache.
export GOFLAGS := -trimpath -buildvcs=false
FUZZTIME ?= 30s
CHAOS_TIME ?= 1h
BENCHTIME ?= 1s
# Flags of tests/bench/compare, such as -only warm -rounds 5.
BENCHFLAGS ?=

tool = $$($(CURDIR)/hack/tools/install.sh $(1) $(2))/$(2)

# gotest runs "go test FLAGS PACKAGES". CI sets RERUN to a folder: a failed test then runs a second time, except after a
# panic or a data race, and the folder lists it (ADR 27).
ifdef RERUN
gotest = $(call tool,testing,gotestsum) --format $(if $(filter -v,$(1)),standard-verbose,standard-quiet) \
	--rerun-fails=1 --rerun-fails-max-failures=3 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race \
	--rerun-fails-report="$(RERUN)/$@.txt" --jsonfile-timing-events="$(RERUN)/$@.json" --packages="$(2)" -- $(1) && \
	$(CURDIR)/hack/flaky.sh "$(RERUN)/$@.json"
else
gotest = go test $(1) $(2)
endif

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "You need Go, make and curl. On Debian, the targets install a C compiler (race detector), Chromium,"
	@echo "Firefox and Node when missing. They build other tools, including a real kube-apiserver,"
	@echo "from Go modules on first use."

.PHONY: build
build: ## Build all binaries into bin/
	CGO_ENABLED=0 go build -o bin/ ./interceptor ./scaler ./operator ./standalone ./examples/modelsim ./examples/webapp

.PHONY: run
run: ## Run standalone with the examples on http://localhost:8080/ (KEDA_HTTP_PROXY_PORT, KEDA_HTTP_ADMIN_PORT)
	CGO_ENABLED=0 go build -o bin/ ./standalone ./examples/modelsim ./examples/webapp
	bin/standalone -f examples/standalone

.PHONY: test
test: test-unit test-integration test-bench ## Run unit, conformance, integration and whole-process tests; charts, SDKs and browser have their own targets

.PHONY: test-unit
test-unit: cc ## Run unit and conformance tests: the inner loop
	@packages=$$(go list ./... | grep -vE '/tests/(integration|bench|browser|e2e|survival)' | xargs) && $(call gotest,-race -timeout 40m,$$packages)

.PHONY: test-integration
test-integration: cc ## Test against a real kube-apiserver, built on first use (about 7 minutes)
	@hack/tools/install.sh kubernetes etcd kube-apiserver kubectl >/dev/null
	$(call gotest,-race -timeout 40m,./tests/integration/...)

.PHONY: test-bench
test-bench: ## Test whole processes beside a bare net/http server
	$(call gotest,-timeout 30m,./tests/bench/...)

.PHONY: test-survival
test-survival: ## Attack the interceptor's binary within 64 MiB (3 minutes)
	$(call gotest,-count=1 -timeout 30m,./tests/survival) # the test cache does not track the binary

.PHONY: test-clients
test-clients: tests/clients/node/node_modules/.package-lock.json ## Send the vendors' SDKs for Go and Node through real cold starts
	cd tests/clients && $(call gotest,-count=1 -timeout 40m,.)

.PHONY: test-clients-latest
test-clients-latest: tests/clients/node/node_modules/.package-lock.json ## Repeat test-clients with the newest libraries and list what changed (once a week)
	cd tests/clients && go run ./latest

# npm writes this file at the end of an installation.
tests/clients/node/node_modules/.package-lock.json: tests/clients/node/package-lock.json | node
	cd tests/clients/node && npm ci --no-progress --prefer-offline

.PHONY: test-browser
test-browser: cc browsers tests/browser/node_modules/.package-lock.json ## Test every page in Chromium and Firefox, and check it with axe-core (about 4 minutes)
	$(call gotest,-count=1 -timeout 40m -parallel 8 -tags browser,./tests/browser/...)

tests/browser/node_modules/.package-lock.json: tests/browser/package-lock.json | node
	cd tests/browser && npm ci --no-progress --prefer-offline

.PHONY: screenshots
screenshots: cc browsers ## Take the screenshots in docs/images
	go test -count=1 -timeout 5m -tags browser ./tests/browser -run TestPicturesOfThePages -args -screenshots $(CURDIR)/docs/images

.PHONY: recording
recording: ## Record a cold start of standalone into docs/images/cold-start.svg
	CGO_ENABLED=0 go build -o bin/ ./standalone ./examples/modelsim ./examples/webapp
	go run ./hack/recording bin/standalone docs/images/cold-start.svg

.PHONY: site
site: hack/site/node_modules/.package-lock.json ## Build the documentation as a website in bin/site, with search, and check its links
	rm -rf bin/site
	$(call tool,site,hugo) --source hack/site --destination $(CURDIR)/bin/site --noBuildLock --panicOnWarning
	hack/site/node_modules/.bin/pagefind --site bin/site
	go test -count=1 -tags site ./tests/docs -run TestSite

.PHONY: site-serve
site-serve: site ## Serve the website on http://localhost:1414/
	hack/site/node_modules/.bin/pagefind --site bin/site --serve

hack/site/node_modules/.package-lock.json: hack/site/package-lock.json | node
	cd hack/site && npm ci --no-progress --prefer-offline

.PHONY: test-charts
test-charts: cc ## Test chart and manifests: goldens, and install, upgrade and uninstall on a real kube-apiserver
	$(call gotest,-race -timeout 40m -tags charts,./tests/charts)

.PHONY: test-prometheus
test-prometheus: prometheus ## Run every query of dashboard, alerts and guide in a real Prometheus (2 minutes)
	go test -count=1 -timeout 10m -tags prometheus -run TestPrometheus ./tests/docs

comma := ,
# Tests run in the folder of their package.
ifdef E2E_KUBECONFIG
override E2E_KUBECONFIG := $(abspath $(E2E_KUBECONFIG))
export E2E_KUBECONFIG
endif

# on-cluster runs a command on the cluster of E2E_KUBECONFIG, else on a node that it starts and ends.
on-cluster = @if [ -z "$${E2E_KUBECONFIG:-}" ]; then \
		[ -e bin/e2e-node ] || trap '$(MAKE) e2e-down' EXIT; $(MAKE) e2e-up; export E2E_KUBECONFIG=$(CURDIR)/bin/e2e-node/kubeconfig; \
	fi; $(1)

.PHONY: e2e
e2e: cc chromium ## Run all scenarios on a real node, as root, or on the cluster of E2E_KUBECONFIG; builds its tools on first use (about 50 minutes)
	$(call on-cluster,$(call gotest,-race -count=1 -v -timeout 60m -tags e2e,./tests/e2e))

.PHONY: e2e-traefik
e2e-traefik: cc bench-traefik ## Run the guide about Ingress and Gateway API through Traefik on a real node, as root
	$(call on-cluster,go test -race -count=1 -v -timeout 30m -tags e2e$(comma)traefik -run TestTraefikGuides ./tests/e2e)

.PHONY: chaos
chaos: ## Kill, cut off and freeze parts of a node during cold starts, for CHAOS_TIME (1h), as root; CHAOS_SEED repeats a run
	$(call on-cluster,CHAOS_TIME=$(CHAOS_TIME) go test -count=1 -v -timeout 0 -tags e2e ./tests/chaos -run TestChaos)

.PHONY: chaos-defects
chaos-defects: ## Prove that chaos notices each defect of tests/chaos/defect, as root (20 minutes)
	@for defect in $$(sed -nE 's/^\t"([a-z-]+)": \{$$/\1/p' tests/chaos/defect/defect.go); do \
		echo "chaos with the defect $$defect"; \
		DEFECT=$$defect CHAOS_DEFECT=$$defect $(MAKE) chaos CHAOS_TIME=2m E2E_KUBECONFIG=; \
	done

.PHONY: e2e-tools
e2e-tools: ## Build what e2e-up and chaos need of other projects (about 50 minutes)
	go build -tags e2e -o bin/e2e-node-command ./tests/e2e/node
	bin/e2e-node-command tools

.PHONY: e2e-up
e2e-up: node-packages ## Start a real node with KEDA and the add-on, as root, and print how to reach it
	go build -tags e2e -o bin/e2e-node-command ./tests/e2e/node
	bin/e2e-node-command up $(if $(DEFECT),-defect $(DEFECT))

.PHONY: e2e-down
e2e-down: ## End the node of e2e-up, and remove all that it wrote
	bin/e2e-node-command down

.PHONY: bench
bench: ## Run the benchmarks
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./pkg/... ./interceptor/... ./standalone/... ./scaler/...
	go test -count=1 -v ./tests/bench/...
	go test -run "^$$" -bench . -benchtime 1x -timeout 30m ./tests/bench/wakes

.PHONY: bench-compare
bench-compare: nginx ## Measure beside other proxies, and write docs/performance (about 10 minutes)
	go build -o bin/bench-compare ./tests/bench/compare
	bin/bench-compare -traefik "$(wildcard bin/traefik)" $(BENCHFLAGS)
	$(call tool,plot,bars) docs/performance

.PHONY: bench-traefik
bench-traefik: ## Build Traefik for bench-compare and e2e-traefik from its Go module (about 4 minutes)
	mkdir -p bin && cp $(call tool,traefik,traefik) bin/traefik

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME, as many at a time as there are processors
	FUZZTIME=$(FUZZTIME) hack/fuzz.sh

.PHONY: vulncheck
vulncheck: ## Report known vulnerabilities in code that the binaries call, from vuln.go.dev (before a release)
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./interceptor ./scaler ./operator ./standalone

.PHONY: lint
lint: ## Run golangci-lint, with the import rules, and actionlint
	$(call tool,workflows,actionlint)
	$(call tool,lint,golangci-lint) run --build-tags charts,browser,e2e,prometheus,release,site,traefik ./...
	cd tests/clients && $(call tool,lint,golangci-lint) run ./...
	cd tests/clients/genkit && $(call tool,lint,golangci-lint) run ./...

.PHONY: lint-prose
lint-prose: cc ## Pages, comments and messages by the rules of docs/contributing/style.md
	hack/prose/lint.sh $(call tool,prose,vale)

# The last commit before the rules for messages held. If main has taken a message that breaks them, move it there:
# nobody rewrites main.
COMMITS_BASE := 0dcaf4e2d00622193a032038bd93002d85b2ed90

.PHONY: lint-commits
lint-commits: ## Check the messages of the commits since COMMITS_BASE
	go run ./hack/commits $(COMMITS_BASE)

.PHONY: generate
generate: ## Generate everything that derives from the code
	hack/generate.sh
	go test -race -tags charts ./tests/charts -run 'Golden|Config|Kustomize' -update

.PHONY: verify
verify: ## Check that generated files, formatting and modules are up to date
	hack/generate.sh --check
	go mod tidy -diff
	cd tests/clients && go mod tidy -diff
	cd tests/clients/genkit && go mod tidy -diff
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted" >&2; exit 1; }
	go vet -tags browser,charts,e2e,prometheus,release,site,traefik ./...

.PHONY: image
image: ## Build container images for amd64 and arm64 as local OCI layouts (the first build for another platform: 4 to 10 minutes)
	hack/image.sh

.PHONY: release
release: ## Make a release in bin/release (VERSION=0.17.0 REGISTRY=ghcr.io/kedacore); only PUSH=1 pushes it (about 30 minutes when cold)
	VERSION="$(VERSION)" REGISTRY="$(REGISTRY)" PUSH="$(PUSH)" hack/release.sh

.PHONY: test-release
test-release: export VERSION := $(shell sed -n 's/^appVersion: *//p' charts/keda-add-ons-http/Chart.yaml)
test-release: export REGISTRY := registry.example.com/team
test-release: export PLATFORMS = linux/$(shell go env GOARCH)
test-release: export OUT := bin/test-release
test-release: export PUSH :=
test-release: cc ## Make a release for this platform, check its files, install its manifests, and run e2e with its chart and images
	hack/release.sh
	go test -race -count=1 -timeout 20m -tags release ./tests/release
	E2E_RELEASE=$(OUT) $(MAKE) e2e

.PHONY: clean
clean: ## Remove bin/; tools stay in their cache
	[ ! -e bin/e2e-node ] || bin/e2e-node-command down
	rm -rf bin

# Installs a missing Debian package, or names it on other systems and without root.
define need
@{ $(1); } >/dev/null 2>&1 || { \
	echo "installing $(2)" >&2; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null || { \
		echo "$(2) is needed and could not be installed: $(3)" >&2; exit 1; }; }
endef

.PHONY: cc
cc:
	$(call need,command -v gcc && test -e /usr/include/stdlib.h,gcc libc6-dev,the race detector needs a C compiler)

.PHONY: node
node:
	$(call need,command -v node && command -v npm,nodejs npm,the client and browser tests run it)

# RUNLEVEL keeps Debian from starting them as services.
.PHONY: nginx
nginx: export RUNLEVEL := 1
nginx:
	$(call need,PATH=$$PATH:/usr/sbin command -v nginx && PATH=$$PATH:/usr/sbin command -v haproxy,nginx-light haproxy,make bench-compare measures them)

.PHONY: node-packages
node-packages:
	$(call need,PATH=$$PATH:/usr/sbin command -v runc && PATH=$$PATH:/usr/sbin command -v nft && test -e /usr/lib/cni/bridge,runc nftables containernetworking-plugins,the node runs them; or set E2E_KUBECONFIG to another cluster and run make e2e)

.PHONY: prometheus
prometheus: export RUNLEVEL := 1
prometheus:
	$(call need,command -v prometheus,prometheus,make test-prometheus asks it)

.PHONY: chromium
chromium:
	$(call need,command -v $${CHROMIUM:-chromium},chromium,the browser tests drive it)

.PHONY: browsers
browsers: chromium
	$(call need,command -v $${FIREFOX:-firefox-esr},firefox-esr,the browser tests drive it)
