# A fresh machine needs git, make, gcc and cargo (https://rustup.rs); the first
# build fetches the crates. `make test` needs Python 3.11 besides and fetches
# the clients that others wrote, from PyPI into target/, cargo-deny from crates.io,
# and where Go is, age, sops and a Kubernetes API server. Root on Debian gets Chromium
# from there, too. Nothing else is installed from here, and nothing needs root.

CARGO ?= cargo
PYTHON ?= python3
DEMO  := target/demo
APGIT := $(CARGO) run --quiet --locked --bin apgit --

.PHONY: help demo test test-words tools control-plane fmt lint deny unit browser test-clients soak fuzz build generate bench bench-cluster clean-demo

help:
	@echo "make demo      apply examples/contoso to a simulated tenant, plan again, remove a device"
	@echo "make test      everything that must pass: fmt, lint, deny, control-plane, browser, unit, test-clients"
	@echo "make fmt       formatting only"
	@echo "make lint      clippy, warnings denied"
	@echo "make deny      licences, sources and unwanted crates (cargo deny)"
	@echo "make unit      all tests in Rust"
	@echo "make tools     age and sops, built with Go, for the tests"
	@echo "make control-plane  a Kubernetes API server and Helm, built with Go, for the tests"
	@echo "make browser   Chromium and its driver for the tests of the page (Debian's packages, as root)"
	@echo "make test-clients  clients that others wrote, against apgit simulate (PYTHON=python3.12)"
	@echo "make soak      the seeded runs again, on a thousand seeds each and more"
	@echo "make fuzz      broken input of all kinds for SECONDS=600 (FUZZ_SEED=7 plays a seed again)"
	@echo "make build     the release binary, target/release/apgit"
	@echo "make generate  crds/, schema/, deploy/kustomize and golden files, from code and chart"
	@echo "make bench-cluster  the same of the operator, with a large fleet in a cluster"
	@echo "make bench     how long and how much (release build)"

# No questions, no account, no network: waits are skipped on a virtual clock.
# The first run compiles for some minutes, and cargo shows how far it is.
demo: clean-demo
	@echo "apgit is compiled first, where it is not yet: some minutes, once"
	$(CARGO) build --locked --bin apgit
	$(APGIT) apply examples/contoso --simulate --auto-approve --state-dir $(DEMO)
	$(APGIT) plan examples/contoso --simulate --state-dir $(DEMO)
	$(APGIT) plan examples/contoso-next --simulate --state-dir $(DEMO)
	$(APGIT) apply examples/contoso-next --simulate --auto-approve --state-dir $(DEMO)

clean-demo:
	@rm -rf $(DEMO)

test: test-words fmt lint deny tools control-plane browser unit test-clients

test-words:
	@echo "Formatting, lints, cargo-deny (built from crates.io once), age and sops (built with"
	@echo "Go once, where it is), a Kubernetes API server and Helm (likewise, some eight minutes and"
	@echo "5 GB of caches), Chromium (for root on Debian), all tests in Rust, and clients that others wrote (Python 3.11, fetched from"
	@echo "PyPI once, some 650 MB)."
	@echo "With Rust alone: make unit"

fmt:
	$(CARGO) fmt --check

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

# Licences, sources and crates that must not come in, for all platforms. What
# is not here is installed once, under target/; where it cannot be had, the
# tests look at what is built on this machine.
DENY_VERSION := 0.20.2
TOOLS := $(CURDIR)/target/tools
deny: export PATH := $(TOOLS)/bin:$(PATH)
deny:
	@if $(CARGO) deny --version >/dev/null 2>&1 || \
		$(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --quiet --root $(TOOLS) --target-dir $(TOOLS)/build; \
	then $(CARGO) deny --locked check bans licenses sources; \
	else echo "cargo deny cannot be had here" >&2; fi

# What encrypts hashes for people, for one test with the real thing.
AGE := filippo.io/age/cmd
AGE_VERSION := v1.2.1
SOPS := github.com/getsops/sops/v3/cmd/sops
SOPS_VERSION := v3.9.4
tools: export GOBIN := $(TOOLS)/bin
tools:
	@if ! command -v go >/dev/null; then echo "no Go here: age and sops are not tested" >&2; else \
		{ test -x $(GOBIN)/age-keygen || go install $(AGE)/age@$(AGE_VERSION) $(AGE)/age-keygen@$(AGE_VERSION); } && \
		{ test -x $(GOBIN)/sops || go install $(SOPS)@$(SOPS_VERSION); } || \
		echo "age and sops cannot be had here" >&2; fi

# A real API server and Helm, for tests/cluster: kept in the user's cache, not
# under target/, for they take some minutes and change seldom.
control-plane:
	@sh tests/cluster/control-plane/build.sh
	@sh tests/cluster/chart-tools/build.sh

# For the tests of the page. Where it is not, and cannot be installed, they say so;
# in a pipeline they fail.
browser:
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then :; \
	elif test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		{ apt-get install -qq --no-install-recommends chromium chromium-driver >/dev/null 2>&1 || \
		{ apt-get update -qq && apt-get install -qq --no-install-recommends chromium chromium-driver >/dev/null; }; } || \
		echo "Chromium cannot be had here: the page is not tested in it" >&2; \
	else echo "no Chromium here: the page is not tested in it (Debian: chromium, chromium-driver)" >&2; fi

unit: export PATH := $(TOOLS)/bin:$(PATH)
unit:
	$(CARGO) test --locked --quiet

# Microsoft's Python SDK and IntuneCD, unchanged, against the real binary.
test-clients:
	$(CARGO) build --locked --quiet --bin apgit
	$(PYTHON) tests/clients/run.py

# Every seed prints when it fails; SOAK_SEEDS=10000 takes more.
# APPROVED_SEEDS=17..18 plays one seed of the road's own promise again.
SOAK_SEEDS ?= 1000
APPROVED_SEEDS ?= 10000
soak:
	SOAK_SEEDS=$(SOAK_SEEDS) APPROVED_SEEDS=$(APPROVED_SEEDS) $(CARGO) test --locked --test it -- soak:: switches:: approved::

# All targets share the time. What fails is written to tests/fuzz/kept.
SECONDS ?= 600
fuzz:
	FUZZ_SECONDS=$(SECONDS) $(CARGO) test --locked --test fuzz -- --nocapture --test-threads=1

# The binary says nothing of the machine it was built on.
CARGO_HOME ?= $(HOME)/.cargo
TRIMMED = --remap-path-prefix=$(CARGO_HOME)=cargo --remap-path-prefix=$(CURDIR)=apgit
build:
	RUSTFLAGS="$(RUSTFLAGS) $(TRIMMED)" $(CARGO) build --release --locked
	@if grep -aq -e "$(CARGO_HOME)/" -e "$(CURDIR)/" target/release/apgit; then echo "a path of this machine is in the binary" >&2; exit 1; fi

generate:
	$(APGIT) crds --out crds
	cp crds/*.yaml deploy/chart/files/crds/
	@if command -v go >/dev/null; then sh deploy/kustomize/render.sh deploy/kustomize; \
		else echo "no Go here: deploy/kustomize is not rendered" >&2; fi
	$(APGIT) schema --out schema/apgit.schema.json
	$(APGIT) schema --markdown --out docs/reference.md
	SNAPSHOTS=overwrite INSTA_UPDATE=always $(CARGO) test --locked --quiet

# A large fleet in a cluster: IN_SETS=1000 SINGLE=200 are fewer.
bench-cluster:
	$(CARGO) test --locked --release --test cluster -- --ignored --nocapture large::

# CASES='apply-1000 retag' takes those alone; all of them need ten minutes and
# a gigabyte under target/.
CASES ?=
bench:
	$(CARGO) bench --locked --bench fleet -- $(CASES)
