# How long each fuzz target runs.
FUZZTIME ?= 30s

.DEFAULT_GOAL := help
.PHONY: help test e2e bench-e2e demo race lint fuzz bench update fmt

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: ## run all tests
	go test ./...

e2e: ## run the end-to-end tests; the first run builds a Kubernetes API server for minutes
	@# Built first, as the go command holds back what tests say, and counts their time.
	go run ./test/box/kubebox
	go test -tags e2e -count=1 -timeout 30m ./test/...

bench-e2e: ## measure how fast a cluster of 5,000 Ingresses converges
	go test -tags e2e -run '^$$' -bench . -benchtime 1x -timeout 30m ./test/e2e

demo: ## start an API server, a controller and a gateway to play with
	go run ./test/demo

race: ## run all tests with the race detector (needs a C compiler)
	go test -race ./...

lint: ## check format, modules, Go, Rego and CUE
	@bash .ci/lint

fuzz: ## run every fuzz target for FUZZTIME, 30s each by default
	@list=$$(go test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { t[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, t[i]; n = 0 }' | { \
		status=0; \
		while read -r package target; do \
			echo "$$target in $$package"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || status=1; \
		done; \
		exit $$status; \
	}

bench: ## run all benchmarks
	go test -run '^$$' -bench . -benchmem ./...

update: ## rewrite the golden files of the packages that have any; read the diff
	@packages=$$(grep -rlE --include='*_test.go' 'flag\.Bool(Var)?\(.*"update"' . | sed 's,/[^/]*$$,,' | sort -u); \
	if [ -z "$$packages" ]; then echo 'no test has a flag "update"'; exit 1; fi; \
	echo go test $$packages -update; \
	go test $$packages -update

fmt: ## format Go, Rego and CUE
	go fmt ./...
	go tool -modfile=tools/go.mod opa fmt -w policies $(wildcard examples/*/bundle/policies)
	go tool -modfile=tools/go.mod cue fmt --files cue $(wildcard examples/*/bundle)
