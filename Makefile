# SPDX-License-Identifier: Apache-2.0
# The everyday targets; meson and ninja do the work. `make help` lists them.
#   BUILD=dir    the build directory (build)
#   NO_DEPS=1    install no Debian packages: say which are missing, and stop
BUILD ?= build
STAGE := $(abspath $(BUILD))/stage
JOBS  ?= $(shell nproc)

.PHONY: all help deps stage demo demo-attest check conformance check-vm check-k8s packages repository bench fuzz install uninstall format lint docs clean

all: $(BUILD)/build.ninja ## build everything
	ninja -C $(BUILD) -j $(JOBS)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

help: ## show this list
	@sed -n 's/^#   //p; s/^\([a-z0-9-]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

deps: ## install the Debian packages that the build needs
	scripts/deps.sh build
stage: $(BUILD)/build.ninja ## build the programs, without unit tests, and install them in BUILD/stage
	ninja -C $(BUILD) -j $(JOBS) $$(scripts/default-targets.py $(BUILD))
	DESTDIR=$(STAGE) meson install -C $(BUILD) --no-rebuild --quiet

demo: ## an ordinary Debian image with Python, plainly and in an enclave
	scripts/deps.sh build demo
	$(MAKE) --no-print-directory stage
	scripts/demo.sh $(STAGE)
demo-attest: ## a tenant accepts one enclave over RA-TLS, and refuses five others
	scripts/deps.sh build demo
	$(MAKE) --no-print-directory stage
	scripts/demo-attest.sh $(STAGE)
check: ## all tests of the gate
	scripts/deps.sh build test
	scripts/deps.sh clients & $(MAKE) --no-print-directory stage; status=$$?; wait; exit $$status
	scripts/check.sh $(BUILD)
conformance: stage ## the suites of others, whole (an hour)
	scripts/deps.sh build test conformance packages
	scripts/conformance.sh $(STAGE)
check-vm: stage ## cgroup v2, systemd, CRIU and AppArmor, in an emulated machine
	scripts/deps.sh build vm
	tests/conformance/vm.sh $(STAGE)
check-k8s: stage ## pods on a real Kubernetes node, built from Debian's source
	scripts/deps.sh build k8s
	K8S_BASE=$(abspath $(BUILD))/k8s RUNE_STAGE=$(STAGE) tests/k8s/check.sh
packages: ## Debian and RPM packages, in build/packages
	scripts/deps.sh build packages
	JOBS=$(JOBS) scripts/packages.sh $(BUILD)/packages deb rpm
repository: packages ## signed apt and dnf repositories of them
	scripts/packages.sh $(BUILD)/packages repository
bench: ## figures beside runc and crun, in one run
	scripts/deps.sh build demo bench
	$(MAKE) --no-print-directory stage
	scripts/bench.sh $(STAGE)
fuzz: ## fuzz every parser, and the LibOS by a hostile host
	scripts/deps.sh build fuzz
	scripts/fuzz.sh

install: all ## install below the prefix of the build
	meson install -C $(BUILD) --no-rebuild
uninstall: ## remove what install installed
	ninja -C $(BUILD) uninstall
format: ## format all C files
	git ls-files '*.c' '*.h' | xargs clang-format -i
lint: all ## formatting, rules of style, shellcheck, cppcheck, clang-tidy
	scripts/lint.sh $(BUILD)
docs: ## man pages, and the generated pages of docs/
	scripts/deps.sh build
	$(MAKE) --no-print-directory all
	ninja -C $(BUILD) docs
	libos/calls/syscalls_doc.py --output docs/syscalls.md
	abi/boundary_doc.py --output docs/security-boundary.md
clean: ## remove the build directories
	rm -rf $(BUILD) build-asan build-fuzz
