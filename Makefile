# The commands of daily work. `make help` lists them.
# With the standard library inside: it runs where no Swift is installed, and a use takes less time.
RELEASE = swift build --configuration release --static-swift-stdlib --product
SWIFT_BUILD = swift build --build-tests --explicit-target-dependency-import-check error
PACKAGES = libsqlite3-dev libpq-dev libssl-dev zlib1g-dev pkg-config python3-venv tzdata gcc libc6-dev make git

.DEFAULT_GOAL := help
.PHONY: help setup build test test-postgresql conformance faults flood chaos soak screenshots demo run format lint docs check clean
.PHONY: bench bench-full bench-instructions bench-lifecycle bench-trail bench-pages bench-setup bench-build

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 20

setup: ## Install the system packages that are missing (Debian)
	@./scripts/install-packages $(PACKAGES)

build: setup ## Build everything, tests included
	$(SWIFT_BUILD)

test: build ## Set up, build, and pass every test: Swift, and the official SDK against the real binary
	swift test --skip-build
	./scripts/with-postgresql swift test --skip-build --filter VaultStoreTests
	./Tests/conformance/run.sh

test-postgresql: build ## Pass the official SDK's suite with every server on PostgreSQL
	SALLYPORT_TEST_ENGINE=postgresql ./Tests/conformance/run.sh

conformance: ## Run only the official SDK's suite against the built binary
	./Tests/conformance/run.sh

demo: setup ## Show the main job end to end on real HTTP
	@swift build --product sallyport
	@.build/debug/sallyport demo --once

run: setup ## Run a development server on 127.0.0.1:8787 with data in ./tmp
	@swift build --product sallyport
	.build/debug/sallyport serve --development --data-dir tmp/sallyport

format: ## Format the Swift code
	swift format --in-place --recursive --parallel Sources Tests Benchmarks Package.swift

lint: ## Check format, style and imports
	swift format lint --strict --recursive --parallel Sources Tests Benchmarks Package.swift
	./scripts/check-imports

docs: build ## Write the documents that are made from code: docs/PROVIDERS.md
	WRITE_DOCS=1 swift test --skip-build --filter ProvidersDocumentTests

check: lint test ## What CI runs

faults: build ## Kill the server 200 times, at random and at the writes of a deprovisioning; nothing acknowledged may be lost
	SALLYPORT_KILLS=200 ./Tests/conformance/run.sh test_durability.py test_write_faults.py

flood: build ## Send 10,000 webhooks in a burst while others work, and race a thousand requests against a deprovisioning
	SALLYPORT_WEBHOOKS=10000 ./Tests/conformance/run.sh test_lifecycle_load.py

chaos: bench-build ## Kill nodes for five minutes under load, on PostgreSQL; nothing acknowledged may be lost
	./scripts/nodes-chaos

soak: bench-build ## Use two nodes on PostgreSQL for an hour; memory, descriptors and latencies may not grow
	./scripts/soak

bench: bench-setup ## Put the release build under load beside its yardsticks, in three minutes
	./scripts/bench

bench-full: bench-setup ## The same with every scenario, up to ten million grants, and into docs/BENCHMARKS.md; takes hours
	@./scripts/install-packages valgrind binutils
	./scripts/bench --full --write-docs

bench-instructions: bench-setup ## Count the instructions of the hot path, which no noise moves
	@./scripts/install-packages valgrind binutils
	./scripts/bench --instructions

bench-setup: bench-build
	@./scripts/install-packages wrk nginx-light
	$(RELEASE) BareServer
	$(RELEASE) VaultBenchmarks

bench-build: setup
	$(RELEASE) sallyport
	@# Sets the suite's environment up when it is not there.
	@SALLYPORT_BIN=$(CURDIR)/.build/release/sallyport ./Tests/conformance/run.sh --collect-only -q >/dev/null

bench-lifecycle: bench-build ## Measure how fast a person is gone, and what one decision costs
	./scripts/bench-lifecycle
	$(RELEASE) VaultBenchmarks
	.build/release/VaultBenchmarks decisions

bench-trail: setup ## Measure the verification of an audit trail of a million records; takes some minutes to fill it
	$(RELEASE) sallyport
	$(RELEASE) VaultBenchmarks
	./scripts/bench-trail

bench-pages: bench-build ## Measure the Portal's pages with 10,000 users, 100,000 grants and a million records
	./scripts/bench-pages

screenshots: setup ## Take the pictures in docs/images
	@swift build --product sallyport
	@./Tests/conformance/run.sh --collect-only -q >/dev/null
	./scripts/screenshots

clean: ## Remove what was built
	rm -rf .build .venv-conformance tmp
