# SPDX-License-Identifier: Apache-2.0
# The everyday targets; meson and ninja do the work. BUILD=dir chooses the build directory.
BUILD ?= build
STAGE := $(abspath $(BUILD))/stage
JOBS  ?= $(shell nproc)

.PHONY: all deps stage demo check conformance check-vm bench fuzz install uninstall format lint docs clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD) -j $(JOBS)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

deps: ; scripts/deps.sh build
stage: all ; DESTDIR=$(STAGE) meson install -C $(BUILD) --no-rebuild --quiet

demo: ; scripts/deps.sh build demo && $(MAKE) --no-print-directory stage && scripts/demo.sh $(STAGE)
check: ; scripts/deps.sh build test && { scripts/deps.sh clients || true; } && $(MAKE) --no-print-directory stage && scripts/check.sh $(BUILD)
conformance: stage ; scripts/deps.sh build test conformance && scripts/conformance.sh $(STAGE)
check-vm: stage ; scripts/deps.sh build vm && tests/conformance/vm.sh $(STAGE)
bench: ; scripts/deps.sh build demo bench && $(MAKE) --no-print-directory stage && scripts/bench.sh $(STAGE)
fuzz: ; scripts/deps.sh build fuzz && scripts/fuzz.sh

install: all ; meson install -C $(BUILD) --no-rebuild
uninstall: ; ninja -C $(BUILD) uninstall
format: ; git ls-files '*.c' '*.h' | xargs clang-format -i
lint: all ; scripts/lint.sh $(BUILD)
docs: ; scripts/deps.sh build && $(MAKE) --no-print-directory all && ninja -C $(BUILD) docs
clean: ; rm -rf $(BUILD) build-asan build-fuzz
