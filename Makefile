# Everything goes into .venv/ and build/; `make clean` removes both. Variables: REQUIRE, MOCK, SEED, CLIENT, CASE, PYTHON.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
BIN := .venv/bin
export DOTNET_CLI_TELEMETRY_OPTOUT := 1
export DOTNET_NOLOGO := 1

.PHONY: help help-dev setup conformance test lint bench mock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14
	@echo "more: make help-dev"

help-dev: ## the targets that only developers of this repository need
	@grep -hE '^[a-z-]+:.*#- ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*#- /\t/' | expand -t 24

setup: .venv/.installed ## make .venv with the suite, the mock and the test tools

conformance: setup ## run every client against the mock and print the matrix
	@$(BIN)/conformance run $(if $(CLIENT),--client $(CLIENT)) $(if $(CASE),--case '$(CASE)')

test: setup test-python test-go test-java test-csharp test-matrix ## run every test of every part, the matrix on both legs included

lint: setup lint-python lint-go lint-java lint-csharp ## check format, style and types in every language

bench: setup ## verdicts a second, the mock against the genuine server, and the clients against their bare HTTP stacks
	@$(BIN)/python conformance/bench/bench.py
	@$(BIN)/python mock-server/bench/bench.py
	@$(BIN)/python conformance/bench/clients.py

mock: setup ## serve a local scoring endpoint with keys and a real model
	@$(BIN)/scoring-mock serve

clean: ## remove .venv, build and what the languages' tools left
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find clients conformance mock-server -type d \( -name __pycache__ -o -name bin -o -name obj -o -name target \) -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------------------------------------------

.venv/.installed: requirements-dev.txt mock-server/pyproject.toml conformance/pyproject.toml clients/python/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or later is needed, and '$(PYTHON)' is not that: install it, or say 'make PYTHON=/path/to/python3.11 ...'" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# $(call native,client,program,commands): run the commands where the program is; otherwise say so, and fail if it is required.
define native
	@if command -v $(2) >/dev/null 2>&1; then echo "== $(1): $@"; $(3); \
	elif [[ ",$(REQUIRE)," == *",$(1),"* ]]; then echo "$(1) is required, and '$(2)' is not on PATH" >&2; exit 1; \
	else echo "== $(1): $@ NOT RUN: '$(2)' is not on PATH"; fi
endef

.PHONY: test-python test-go test-java test-csharp test-matrix test-matrix-embedded test-matrix-container
test-python: setup #- unit tests of the suite, the mock and the Python client
	@echo "== python: $@"
	@$(BIN)/pytest -q conformance/tests mock-server/tests
	@COVERAGE_FILE=build/coverage-python $(BIN)/pytest -q clients/python/tests --cov=scoring_client --cov-report=term-missing --cov-fail-under=95
	@$(BIN)/python clients/python/tests/each_python.py

test-go: #- unit tests of the Go client, with its coverage: 95 % at least
	@mkdir -p build
	$(call native,go,go,cd clients/go && go test -race -coverprofile=../../build/coverage-go.out ./scoring && \
	  go tool cover -func=../../build/coverage-go.out | \
	  awk '/^total:/ {print "coverage of client.go: " $$3; few = $$3 + 0 < 95} END {exit few || NR == 0}' && \
	  go test -race ./quickstart ./example ./bench)

test-java: #- unit tests of the Java client, with its coverage: 95 % at least; on JDK 17 and 25 where found
	$(call native,java,mvn,mvn -q -B -f clients/java/pom.xml test && \
	  awk -F$(comma) 'NR > 1 {m += $$8; c += $$9} END {printf "ScoringClient.java: %.1f %% of lines\n"$(comma) 100 * c / (m + c)}' \
	    clients/java/target/site/jacoco/jacoco.csv && clients/java/src/test/each-jdk.sh)

test-csharp: #- unit tests of the C# client, with its coverage: 95 % at least; in three cultures
	$(call native,csharp,dotnet,cd clients/csharp && dotnet test --project tests --coverage --coverage-settings tests/coverage.settings.xml \
	  --coverage-output-format cobertura --coverage-output $(CURDIR)/build/coverage-csharp.xml && \
	  awk -f tests/coverage.awk $(CURDIR)/build/coverage-csharp.xml && for culture in de-DE tr-TR; do \
	  dotnet test --project tests --no-build --culture $$culture --filter-not-class '*ProgramTests' || exit 1; done)

test-matrix: test-matrix-embedded test-matrix-container #- the matrix under pytest, on both legs, and that both say the same
	@if [ -f build/pytest-container/results.json ]; then \
	  $(BIN)/conformance compare build/pytest-embedded/results.json build/pytest-container/results.json; fi

# One seed for both legs, so that their results can be compared.
build/seed: FORCE
	@mkdir -p build && echo "$(or $(SEED),$$RANDOM$$RANDOM)" > $@
.PHONY: FORCE
FORCE:

test-matrix-embedded: setup build/seed #- the matrix with the mock as a subprocess
	@rm -rf build/pytest-embedded build/pytest-container
	$(BIN)/pytest -q conformance/matrix --mock embedded --require "$(CLIENTS_REQUIRED)" --seed "$$(cat build/seed)" \
	  --results build/pytest-embedded --junitxml build/pytest-embedded/junit.xml

test-matrix-container: test-matrix-embedded #- the matrix with the mock in a container
	@if docker info >/dev/null 2>&1; then \
	  echo "== container leg"; \
	  $(BIN)/pytest -q conformance/matrix --mock container --require "$(CLIENTS_REQUIRED)" --seed "$$(cat build/seed)" \
	    --results build/pytest-container --junitxml build/pytest-container/junit.xml; \
	elif [[ ",$(REQUIRE)," == *",docker,"* ]]; then echo "docker is required, and no Docker engine answers" >&2; exit 1; \
	else echo "== container leg NOT RUN: no Docker engine answers"; fi

# REQUIRE names clients, and `docker` for the container leg.
comma := ,
empty :=
space := $(empty) $(empty)
CLIENTS_REQUIRED := $(subst $(space),$(comma),$(filter-out docker,$(subst $(comma),$(space),$(REQUIRE))))

.PHONY: lint-python lint-go lint-java lint-csharp format
lint-python: setup #- ruff and mypy
	@echo "== python: $@"
	$(BIN)/conformance pages --check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy conformance/src mock-server/src conformance/bench/*.py
	MYPYPATH=mock-server/truth:mock-server/bench $(BIN)/mypy --explicit-package-bases mock-server/truth/run.py \
	  mock-server/truth/environment.py mock-server/truth/differential mock-server/bench
	$(BIN)/mypy clients/python/scoring_client.py clients/python/quickstart.py clients/python/example.py \
	  clients/python/bench/bench.py clients/python/tests/*.py \
	  conformance/adapters/python/adapter.py

lint-go: #- gofmt, go vet, staticcheck
	$(call native,go,go,out=$$(gofmt -l clients/go conformance/adapters/go); test -z "$$out" || { echo "gofmt: $$out" >&2; exit 1; }; \
	  (cd clients/go && go vet ./... && go tool -modfile=tools/go.mod staticcheck ./...); \
	  (cd conformance/adapters/go && go vet ./... && go tool -modfile=../../../clients/go/tools/go.mod staticcheck ./...))

lint-java: #- the formatter's check, javac with every warning an error, and Error Prone
	$(call native,java,mvn,mvn -q -B -f clients/java/pom.xml -Perror-prone spotless:check test-compile; \
	  mvn -q -B -f clients/java/bench/pom.xml -Dbuild=$(CURDIR)/build/bench-java spotless:check compile; \
	  mvn -q -B -f conformance/adapters/java/pom.xml spotless:check)

lint-csharp: #- dotnet format and the analyzers
	$(call native,csharp,dotnet,(cd clients/csharp && dotnet format tests --verify-no-changes) && \
	  for folder in clients/csharp/quickstart clients/csharp/example clients/csharp/bench conformance/adapters/csharp; do \
	  dotnet format whitespace $$folder --folder --verify-no-changes || exit 1; done)

.PHONY: truth fuzz-mock
truth: setup #- the mock against the genuine server, the genuine SDKs and a generated client
	@$(BIN)/python mock-server/truth/run.py

fuzz-mock: setup #- 100,000 generated inputs for the mock's request parser
	@$(BIN)/python -m scoring_mock.wire.fuzz
