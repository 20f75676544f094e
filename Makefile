# What the project is built and checked with. CI runs .ci/run, which uses these.

GO       ?= go
# Two jobs are enough for most machines and leave small ones usable.
JOBS     ?= 2
FUZZTIME ?= 20s
# Fuzzers that run at a time; they share the processors.
FUZZERS  ?= 8
WORLDS   ?= 10
FIRST    ?= 1
MINUTES  ?= 60
REGIONS  ?= 1
GOLANGCI  = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Compose v2 where it is installed, else Debian's docker-compose.
COMPOSE  ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

.PHONY: build test opus race stories race-stories world worlds world-race world-replays world-long world-nightly replay mutants lint fmt fuzz bench gen testnet testnet-image testnet-down

build: ## the one binary, into bin/skein
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/skein ./cmd/skein

# Tests that run real nodes in real time wait more than they compute; they run
# after the others, which would take their processors. The page's tests are a module of their
# own, since they alone need a browser driver.
REALTIME = /test/(e2e|testnet)$$

# Nearly all that tests take is time, not memory.
WORLD    = ./test/world/...
SPARE    = GOGC=400 GOMEMLIMIT=4GiB

test: stories ## all tests
	$(SPARE) $(GO) test -p $(JOBS) -timeout 20m $$($(GO) list ./... | grep -vE '/test/world$$|$(REALTIME)')
	$(GO) test -p $(JOBS) -timeout 20m $$($(GO) list ./... | grep -E '$(REALTIME)')
	cd test/page && $(GO) test -timeout 10m ./...

opus: ## tests of what needs libopus (Debian: libopus-dev, pkg-config)
	CGO_ENABLED=1 $(GO) vet -tags opus,nolibopusfile ./member/mix/... ./cmd/... ./test/world
	CGO_ENABLED=1 $(GO) test -tags opus,nolibopusfile ./member/mix/...
	CGO_ENABLED=1 $(GO) test -tags opus,nolibopusfile -run Mixed ./test/world

race: ## the tests of what runs concurrently, short, with the race detector
	$(SPARE) $(GO) test -p $(JOBS) -timeout 20m -race -short ./region/... ./proto/... ./coordinator/... ./member/... ./cmd/...

# Each by itself, with chance drawn from a seed: what fails once mostly fails again.
STORIES  ?= .
CHANCE   ?= 1

stories: ## the stories of test/world; make stories STORIES=Leader CHANCE=2
	$(REPLAY) -tell '$(STORIES)' -chance $(CHANCE)

race-stories: ## the stories of test/world with the race detector: they take long
	$(SPARE) $(GO) test -timeout 40m -race -short $(WORLD)

world: ## random worlds in virtual time: make world SEED=7, or as many as WORLDS
	$(SPARE) SKEIN_SEED=$(SEED) SKEIN_WORLDS=$(WORLDS) SKEIN_MEMBERS=$(MEMBERS) SKEIN_REGIONS=$(REGIONS) $(GO) test -count=1 -timeout 60m -run RandomWorlds ./test/world/

worlds: ## MINUTES of virtual time in worlds of two regions with 60 members
	$(SPARE) SKEIN_MINUTES=$(MINUTES) SKEIN_MEMBERS=60 SKEIN_REGIONS=2 $(GO) test -count=1 -v -timeout 30m -parallel $(JOBS) -run RandomWorlds ./test/world/

world-race: ## one world of two regions with the race detector
	$(SPARE) SKEIN_SEED=1 SKEIN_MEMBERS=$(MEMBERS) SKEIN_REGIONS=2 $(GO) test -count=1 -race -timeout 30m -run RandomWorlds ./test/world/

# Worlds of three minutes each; test/world/replay says how they repeat.
SEEDS    ?= 20
REPLAY    = $(GO) run ./test/world/replay -jobs $(JOBS)

replay: ## the world of SEED as it was the last time, with all it says
	SKEIN_MEMBERS=$(MEMBERS) SKEIN_REGIONS=$(REGIONS) $(REPLAY) -first $(SEED) -seeds 1 -v

world-replays: ## the worlds of seeds 1 to SEEDS as they were the last time, with 60 members in two regions
	SKEIN_MEMBERS=60 SKEIN_REGIONS=2 $(REPLAY) -seeds $(SEEDS)

world-nightly: ## 1000 worlds: 500 seeds from FIRST on, with one region and with two
	for regions in 1 2; do SKEIN_MEMBERS= SKEIN_REGIONS=$$regions $(REPLAY) -first $(FIRST) -seeds 500 || failed=1; done; exit $${failed:-0}

mutants: ## break the product in many ways: test/world must notice each
	SKEIN_MUTANTS=all $(GO) test -count=1 -v -timeout 120m -run Caught ./test/world/mutants/

world-long: ## random worlds until one fails; its seed and script are printed
	while $(MAKE) --no-print-directory world SEED= WORLDS=20; do :; done; exit 1

fmt: ## format all files
	gofmt -w $$(git ls-files '*.go')

lint: ## golangci-lint, pinned; it vets, too
	GOFLAGS=-p=$(JOBS) $(GO) run $(GOLANGCI) run --allow-parallel-runners ./...

fuzz: ## every fuzz target for FUZZTIME, FUZZERS at a time
	@mkdir -p bin/fuzz
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u | while read dir; do \
		$(GO) test -c -fuzz . -o bin/fuzz/$$(echo $${dir#./} | tr / _).test $$dir || exit 1; done
	@grep -rn --include='*_test.go' '^func Fuzz' . | sed -E 's|^(.*)/[^/]*:[0-9]+:func (Fuzz[A-Za-z0-9]*).*|\1 \2|' | \
		xargs -P $(FUZZERS) -L 1 sh -c 'echo "$$0 $$1"; test=$$PWD/bin/fuzz/$$(echo $${0#./} | tr / _).test; \
		found=$$($(GO) env GOCACHE)/fuzz/$$($(GO) list $$0); cd $$0 && \
		$$test -test.run "^$$" -test.fuzz "^$$1\$$" -test.fuzztime $(FUZZTIME) -test.fuzzcachedir $$found -test.parallel 1'

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
