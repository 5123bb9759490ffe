# Two commands matter: `make run` and `make test`. What is built lies under CARGO_TARGET_DIR, outside the tree.

CARGO_TARGET_DIR ?= $(HOME)/.cache/berth/target
export CARGO_TARGET_DIR
CARGO ?= cargo
# Passed on: make run ARGS="--listen 127.0.0.1:5001", make bench ARGS="--only pull"
ARGS ?=
ARCH := $(shell uname -m)
DIST ?= $(CARGO_TARGET_DIR)/dist

.PHONY: help run test install build lint bench soak release runner-as-released

help:
	@echo 'make run      build the registry and serve on 127.0.0.1:5000; it prints how to push'
	@echo 'make test     install what the tests need, then run every test'
	@echo 'make lint     formatting, clippy, and the rules for dependencies'
	@echo 'make bench    Berth beside docker-registry, nginx, skopeo, podman, crun and runc: a table and a JSON file'
	@echo 'make soak     the fault tests with many more rounds; takes hours'
	@echo 'make release  static binaries in $(DIST)'

run:
	$(CARGO) build --package berth-registry --bin berth-registry
	exec "$(CARGO_TARGET_DIR)/debug/berth-registry" serve $(ARGS)

# Tools first, so that a machine without them fails in seconds and not after the build. The registry's binary is built
# by itself because the tests of other members start it.
test: install build
	@trap .ci/sweep EXIT INT TERM; .ci/phase tests $(CARGO) test --workspace $(ARGS)

install:
	@.ci/phase install .ci/install

build:
	@.ci/phase 'build binaries' $(CARGO) build --workspace --bins
	@.ci/phase 'build tests' $(CARGO) test --workspace --no-run

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@.ci/dependencies

bench: install runner-as-released
	$(CARGO) build --release --package berth-registry --package berth-copier --package berth-conformance
	BERTH_REGISTRY_BIN="$(CARGO_TARGET_DIR)/release/berth-registry" BERTH_COPIER_BIN="$(CARGO_TARGET_DIR)/release/berth-copier" \
		BERTH_RUNNER_BIN="$(RUNNER)" \
		"$(CARGO_TARGET_DIR)/release/berth-conformance" bench --json "$(CARGO_TARGET_DIR)/bench.json" $(ARGS)

soak: install
	$(CARGO) build --workspace --bins
	"$(CARGO_TARGET_DIR)/debug/berth-conformance" soak $(ARGS)

# A named target keeps the C library's static linking away from build scripts and procedural macros, which are loaded
# by the compiler. Packages and the container image are built from these binaries.
#
# The runner has a profile of its own, for size, and is built by itself: beside the others it would get their features.
# Its code is not relocated: that would write to a page for each few pointers, in the supervisor of every container.
TARGET := $(ARCH)-unknown-linux-gnu
STATIC := -C target-feature=+crt-static
# Nothing unwinds. Curves and ciphers for AVX-512 alone take more than a megabyte; curves with ADX half of one, for tens
# of microseconds of a connection's greeting. AES, ChaCha and hashes keep their fastest form below AVX-512.
SMALL := -fno-asynchronous-unwind-tables -fno-unwind-tables -DOPENSSL_SMALL -DMY_ASSEMBLER_IS_TOO_OLD_FOR_ADX_AVX2
# The compiler's own linker, where it has one for this target; another one keeps the tables that nothing reads.
LLD = $(wildcard $(shell rustc --print sysroot)/lib/rustlib/$(TARGET)/bin/gcc-ld/ld.lld)
TABLELESS := -C link-arg=-Wl,--no-eh-frame-hdr -C link-arg=-Wl,-T,$(CURDIR)/runner/small.ld
RUNNER = $(CARGO_TARGET_DIR)/runner/$(TARGET)/dist/berth-runner

runner-as-released:
	CFLAGS_$(subst -,_,$(TARGET))='$(SMALL)' \
		RUSTFLAGS='$(STATIC) -C relocation-model=static -C force-unwind-tables=no' $(CARGO) rustc --profile dist --package berth-runner --bin berth-runner \
		--target $(TARGET) --target-dir "$(CARGO_TARGET_DIR)/runner" -- $(if $(LLD),$(TABLELESS))

release: runner-as-released
	RUSTFLAGS='$(STATIC)' $(CARGO) build --release --workspace --exclude berth-runner --bins --target $(TARGET)
	mkdir -p "$(DIST)"
	cd "$(CARGO_TARGET_DIR)/$(TARGET)/release" && \
		for program in berth-*; do test -x "$$program" -a ! -d "$$program" && cp "$$program" "$(DIST)/"; done; \
		cp "$(RUNNER)" "$(DIST)/" && \
		cd "$(DIST)" && sha256sum berth-* >SHA256SUMS && ls -l "$(DIST)"
	@.ci/size "$(DIST)/berth-runner" $(if $(LLD),10,12)
	@echo 'release: static binaries only; the Debian package and the container image are not built yet'
