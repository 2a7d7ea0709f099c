# The commands of daily work. `make help` lists them.
SWIFT_BUILD = swift build --build-tests --explicit-target-dependency-import-check error
PACKAGES = libsqlite3-dev libssl-dev zlib1g-dev pkg-config python3-venv make git

.DEFAULT_GOAL := help
.PHONY: help setup build test conformance faults demo run format lint docs check clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

setup: ## Install the system packages that are missing (Debian)
	@./scripts/install-packages $(PACKAGES)

build: setup ## Build everything, tests included
	$(SWIFT_BUILD)

test: build ## Set up, build, and pass every test: Swift and the official SDK against the real binary
	swift test --skip-build
	./Tests/conformance/run.sh

conformance: ## Run only the official SDK's suite against the built binary
	./Tests/conformance/run.sh

demo: setup ## Show the main job end to end on real HTTP
	@swift build --product sallyport
	@.build/debug/sallyport demo --once

run: setup ## Run a development server on 127.0.0.1:8787 with data in ./tmp
	@swift build --product sallyport
	.build/debug/sallyport serve --development --data-dir tmp/sallyport

format: ## Format the Swift code
	swift format --in-place --recursive --parallel Sources Tests Package.swift

lint: ## Check format, style and imports
	swift format lint --strict --recursive --parallel Sources Tests Package.swift
	./scripts/check-imports

docs: build ## Write the documents that are made from code: docs/PROVIDERS.md
	WRITE_DOCS=1 swift test --skip-build --filter ProvidersDocumentTests

check: lint test ## What CI runs

faults: build ## Kill the server at 200 moments of its story; nothing acknowledged may be lost
	SALLYPORT_KILLS=200 ./Tests/conformance/run.sh test_durability.py

clean: ## Remove what was built
	rm -rf .build .venv-conformance tmp
