# What the project is built and checked with. CI runs .ci/run, which uses these.

GO       ?= go
# Two jobs are enough for most machines and leave small ones usable.
JOBS     ?= 2
FUZZTIME ?= 20s
WORLDS   ?= 10
GOLANGCI  = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Compose v2 where it is installed, else Debian's docker-compose.
COMPOSE  ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

.PHONY: build test race world world-long lint fmt fuzz bench gen testnet testnet-image testnet-down

build: ## the one binary, into bin/skein
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/skein ./cmd/skein

# Tests that run real nodes in real time want the machine to themselves; they run
# after the others, one package at a time. The page's tests are a module of their
# own, since they alone need a browser driver.
REALTIME = /test/(e2e|testnet)$$

test: ## all tests
	$(GO) test -p $(JOBS) -timeout 20m $$($(GO) list ./... | grep -vE '$(REALTIME)')
	$(GO) test -p 1 -timeout 20m $$($(GO) list ./... | grep -E '$(REALTIME)')
	cd test/page && $(GO) test -timeout 10m ./...

race: ## the tests of what runs concurrently, short, with the race detector
	$(GO) test -p $(JOBS) -timeout 20m -race -short ./region/... ./proto/... ./coordinator/... ./member/... ./cmd/... ./test/world/...

world: ## random worlds in virtual time: make world SEED=7, or as many as WORLDS
	SKEIN_SEED=$(SEED) SKEIN_WORLDS=$(WORLDS) $(GO) test -count=1 -timeout 60m -run RandomWorlds ./test/world/

world-long: ## random worlds until one fails; its seed and script are printed
	while $(MAKE) --no-print-directory world SEED= WORLDS=20; do :; done; exit 1

fmt: ## format all files
	gofmt -w $$(git ls-files '*.go')

lint: ## vet and golangci-lint, pinned
	$(GO) vet ./...
	GOFLAGS=-p=$(JOBS) $(GO) run $(GOLANGCI) run --allow-parallel-runners ./...

fuzz: ## every fuzz target for FUZZTIME
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

bench: ## all benchmarks; compare with benchstat
	$(GO) test -p 1 -run '^$$' -bench . -benchmem ./...

gen: ## generated code, from the .proto files; buf comes from tools/go.mod
	$(GO) tool -modfile=tools/go.mod buf generate

testnet-image: build ## the image of the testnet, from the host's binary
	rm -rf bin/image && mkdir -p bin/image/cluster bin/image/tokens bin/image/members
	cp bin/skein bin/image/
	docker build -q -t skein:testnet -f deploy/host.Dockerfile bin/image

testnet: testnet-image ## 3 coordinators, 8 members and a publisher in containers
	$(COMPOSE) up -d --no-build --remove-orphans
	bin/skein health --http 127.0.0.1:$${SKEIN_PORT_1:-7480} --wait 60s
	@echo "the page is at http://127.0.0.1:$${SKEIN_PORT_1:-7480}"

testnet-down: ## remove the testnet with all its data
	$(COMPOSE) --profile observe down --volumes --remove-orphans
	-docker image rm skein:testnet
	docker image prune -f --filter label=org.opencontainers.image.title=skein
