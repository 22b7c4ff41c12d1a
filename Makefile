# mcpsiem: make help
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
CACHE       := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mcpsiem
LDFLAGS     := -s -w -X github.com/mcpsiem/mcpsiem/internal/distro.Version=$(VERSION) -X main.version=$(VERSION)
GOBUILD     := go build -ldflags '$(LDFLAGS)'
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.1.4
OPENSEARCH  := $(CACHE)/opensearch-2.19.1
ELASTIC     := $(CACHE)/elasticsearch-8.19.0
BENCHTIME   ?= 1s
FUZZTIME    ?= 20s

export CGO_ENABLED = 0

.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build mcpsiem and mcptap into bin/
	@mkdir -p bin
	$(GOBUILD) -o bin/mcptap ./cmd/mcptap
	$(GOBUILD) -o bin/mcpsiem ./cmd/mcpsiem

.PHONY: run
run: build ## start everything on this machine; Ctrl-C ends it
	bin/mcpsiem up

test/demo/npm/node_modules: test/demo/npm/package-lock.json
	npm ci --prefix test/demo/npm --no-audit --no-fund --loglevel error
	@touch $@

.PHONY: demo
demo: build test/demo/npm/node_modules ## tap real MCP servers with real clients, check that every message is stored exactly once
	@go build -o bin/demo ./test/demo
	@bin/demo $(if $(JSON),--json) $(if $(KEEP),--keep)

.PHONY: scenarios
scenarios: build test/demo/npm/node_modules ## incidents replayed as real MCP traffic, each beside a harmless twin (ONLY=name JSON=1 VERBOSE=1)
	@go build -o bin/scenarios ./test/scenarios
	@bin/scenarios $(if $(JSON),--json) $(if $(VERBOSE),-v) $(if $(ONLY),--only $(ONLY))

.PHONY: test
test: build test/demo/npm/node_modules ## every test, real engines and real servers included, then the demonstration
	go vet ./...
# One package more than there are cores: much of what tests do is wait.
	go test -p 3 -vet=off -ldflags '-s -w' -timeout 10m ./...
	cd test/bench/hec && go test ./... # the Splunk exporter against contrib's HEC receiver
	go build -o bin/demo ./test/demo
	bin/demo

.PHONY: test-deploy
test-deploy: build ## compose, chart, units and release configuration, with the tools that read them (compiles Helm, Compose and goreleaser)
	cd test/deploy && go test ./...

.PHONY: test-page
test-page: build ## the built-in page in a real browser (needs chromium; MCPSIEM_CHROME names one)
	cd test/page && go test -count=1 -timeout 5m ./...

test/grafana/node_modules: test/grafana/package-lock.json
	npm ci --prefix test/grafana --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

.PHONY: test-grafana
test-grafana: test/grafana/node_modules ## the dashboards against the types of Grafana 11 and 12 (needs npm)
	node test/grafana/check.mjs

.PHONY: test-tamper
test-tamper: ## every way of tampering with the sealed trail, and a crash at every step of a removal (make test plays a third)
	MCPSIEM_TEST_TAMPER=all go test -count=1 -timeout 30m -run 'Tampering|Crashes' ./internal/seal ./internal/retention

.PHONY: test-fault
test-fault: build ## long fault suite: kill -9 of every process under load, many rounds (ROUNDS=100)
	go test -count=1 -timeout 2h -run 'Fault' ./test/fault -rounds $(or $(ROUNDS),100)

.PHONY: detect-quality
detect-quality: ## detectors of crossings and cost on made-up traffic of SEEDS=30 seeds: what is found, what is raised for nothing
	@go test -count=1 -timeout 30m ./test/traffic -run Quality -v -seeds $(or $(SEEDS),30)

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (20s each)
	@for pkg in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$pkg/*_test.go | sed 's/func //' | sort -u); do \
	    echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; done; done

.PHONY: bench-evidence
bench-evidence: ## store, seal, verify, export and check EVENTS events (1000000)
	MCPSIEM_BENCH_EVENTS=$(or $(EVENTS),1000000) go test -run '^$$' -bench Whole -benchtime 10x -timeout 6h ./internal/evidence

.PHONY: bench
bench: build ## benchmarks beside the peers, in one run; writes docs/benchmarks.txt
	BENCHTIME=$(BENCHTIME) test/bench/run

.PHONY: bench-dashboards
bench-dashboards: ## every query of every dashboard on EVENTS generated events (10000000), the slowest by name
	go test -count=1 -timeout 3h ./dashboards -run EveryQuery -v -args -events $(or $(EVENTS),10000000)

.PHONY: lint
lint: ## gofmt, vet, staticcheck, vulnerabilities
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt -w'; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go run $(GOVULNCHECK) ./...

.PHONY: appinspect
appinspect: ## Splunk's own inspection of the add-on and the app (needs python3; installs splunk-appinspect into the cache)
	@test -x '$(CACHE)/appinspect/bin/splunk-appinspect' || { python3 -m venv '$(CACHE)/appinspect' && '$(CACHE)/appinspect/bin/pip' install -q splunk-appinspect==4.3.1; }
	@for app in TA-mcpsiem mcpsiem_app; do \
	  '$(CACHE)/appinspect/bin/splunk-appinspect' inspect deploy/splunk/$$app --mode precert | awk '/Report Summary/ {p=1} p'; \
	  '$(CACHE)/appinspect/bin/splunk-appinspect' inspect deploy/splunk/$$app --mode precert | grep -qE '^ *failure: +0$$' || exit 1; done

.PHONY: test-elastic
test-elastic: ## the Elastic exporter, its templates and setup against a real Elasticsearch and a real OpenSearch (needs java 17 and maven; jars from Maven Central go into the cache)
	@test -f '$(OPENSEARCH)/OpenSearchNode.class' || deploy/elastic/node/build opensearch '$(OPENSEARCH)'
	@test -f '$(ELASTIC)/ElasticsearchNode.class' || deploy/elastic/node/build elasticsearch '$(ELASTIC)'
	MCPSIEM_OPENSEARCH='$(OPENSEARCH)' MCPSIEM_ELASTICSEARCH='$(ELASTIC)' go test -tags node -count=1 -timeout 20m -v ./deploy/elastic

.PHONY: train
train: ## train the text scorer on labelled data: make train DATA="DIR [DIR...]" (internal/textscore/README.md)
	go run ./internal/textscore/train $(foreach d,$(DATA),--data $(d)) --out internal/textscore/weights.bin

.PHONY: generate
generate: ## regenerate code, schemas and references from schemas/*.yaml
	go generate ./schemas
	go generate ./internal/configdoc

.PHONY: helm-config
helm-config: ## copy the role configurations into the Helm chart
	cp $(addprefix deploy/config/,ingest.yaml enrich.yaml detect.yaml store.yaml seal.yaml retention.yaml tls.yaml) deploy/helm/mcpsiem/config/

.PHONY: man
man: ## manual pages of mcpsiem into dist/man
	go run -tags manual -ldflags '$(LDFLAGS)' ./cmd/mcpsiem man dist/man

.PHONY: clean
clean: ## remove bin/ and installed npm packages
	rm -rf bin test/demo/npm/node_modules

.PHONY: test-rsyslog
test-rsyslog: ## the syslog exporter against a real rsyslogd (apt-get install rsyslog)
	CGO_ENABLED=0 go test -count=1 -tags rsyslog -run Rsyslog ./exporters/syslog/
