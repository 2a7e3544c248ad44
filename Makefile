# A fresh machine needs git, make, gcc and cargo (https://rustup.rs). Nothing
# else is installed from here; the first build fetches the crates.

CARGO ?= cargo
DEMO  := target/demo
APGIT := $(CARGO) run --quiet --locked --bin apgit --

.PHONY: help demo test fmt lint unit build generate bench clean-demo

help:
	@echo "make demo      apply examples/contoso to a simulated tenant, then plan again"
	@echo "make test      everything that must pass: fmt, lint, unit"
	@echo "make fmt       formatting only"
	@echo "make lint      clippy, warnings denied"
	@echo "make unit      all tests"
	@echo "make build     the release binary, target/release/apgit"
	@echo "make generate  crds/, schema/ and golden files, from the code"
	@echo "make bench     how long and how much (release build)"

# No questions, no account, no network: waits are skipped on a virtual clock.
demo: clean-demo
	$(APGIT) apply examples/contoso --simulate --auto-approve --state-dir $(DEMO)
	$(APGIT) plan examples/contoso --simulate --state-dir $(DEMO)

clean-demo:
	@rm -rf $(DEMO)

test: fmt lint unit

fmt:
	$(CARGO) fmt --check

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

unit:
	$(CARGO) test --locked --quiet

build:
	$(CARGO) build --release --locked

generate:
	$(APGIT) crds --out crds
	$(APGIT) schema --out schema/apgit.schema.json
	SNAPSHOTS=overwrite INSTA_UPDATE=always $(CARGO) test --locked --quiet

bench:
	$(CARGO) bench --locked --bench fleet
