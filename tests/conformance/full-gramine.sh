#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An unmodified Gramine on the software SGX: each program says the same, and ends the same, by gramine-direct and by
# `sgx-emulate gramine-sgx`; and by rune, from an image that brings the signed manifest. full-gramine.sh STAGE
#
# GRAMINE_PREFIX is where Gramine is installed, or GRAMINE_BUILD a build directory of it, which is installed for the occasion
# (meson setup -Ddirect=enabled -Dsgx=enabled). Debian has no package of it, so without both this is skipped.
set -uo pipefail

skip_all() {
    echo "gramine: $*"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}

stage=$(realpath "${1:?usage: full-gramine.sh STAGE}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=${GRAMINE_PREFIX:-}
if [ -z "$prefix" ] && [ -n "${GRAMINE_BUILD:-}" ]; then
    prefix=$work/gramine
    meson configure "$GRAMINE_BUILD" --prefix "$prefix" >/dev/null && ninja -C "$GRAMINE_BUILD" install >"$work/install.log" 2>&1 ||
        { tail -n 5 "$work/install.log"; skip_all "$GRAMINE_BUILD does not build"; }
fi
[ -n "$prefix" ] || skip_all "neither GRAMINE_PREFIX nor GRAMINE_BUILD is set"
for tool in gramine-direct gramine-sgx gramine-manifest gramine-sgx-sign; do
    [ -x "$prefix/bin/$tool" ] || skip_all "no $tool in $prefix/bin"
done
packages=$(echo "$prefix"/lib/python3*/*-packages)
export PATH=$prefix/bin:$PATH PYTHONPATH=$packages RUNE_SGX_EMULATOR_ROOT=$work/root
passed=0 failed=0 skipped=0

cat >"$work/program.c" <<'C'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static volatile int g_got;

static void alarmed(int signo)
{
    g_got = signo;
}

static void skip(int signo, siginfo_t *info, void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += signo == SIGFPE ? 2 : signo == SIGILL ? 2 : 3;
    g_got = signo;
}

static void *add(void *argument)
{
    return (char *)argument + 1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    struct sigaction act = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO};

    if (!strcmp(what, "threads")) {
        pthread_t t[3];
        void *result;
        for (long i = 0; i < 3; i++)
            pthread_create(&t[i], NULL, add, (void *)i);
        for (int i = 0; i < 3; i++, printf("%ld ", (long)result))
            pthread_join(t[i], &result);
    } else if (!strcmp(what, "alarm")) {
        signal(SIGALRM, alarmed);
        alarm(1);
        while (!g_got)
            ;
    } else if (!strcmp(what, "fork")) {
        int status = 0, ends[2];
        char text[4] = "";
        if (pipe(ends) < 0)
            return 1;
        if (fork() == 0) {
            write(ends[1], "hi", 3);
            _exit(5);
        }
        read(ends[0], text, 3);
        wait(&status);
        printf("%s %d ", text, WEXITSTATUS(status));
    } else if (!strcmp(what, "exceptions")) {
        sigaction(SIGILL, &act, NULL);
        sigaction(SIGFPE, &act, NULL);
        sigaction(SIGSEGV, &act, NULL);
        __asm__ volatile("ud2");
        printf("%d ", g_got);
        __asm__ volatile("div %%ecx" : : "a"(1), "d"(0), "c"(0));
        printf("%d ", g_got);
        __asm__ volatile("mov %%rax, (%%rdx)" : : "d"(8L));
        printf("%d ", g_got);
    } else if (!strcmp(what, "memory")) {
        char *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(p, 7, 64 << 20);
        printf("%d ", p[(64 << 20) - 1]);
    }
    printf("%s %d\n", what, (int)g_got);
    return 7;
}
C
gcc -D_GNU_SOURCE -O1 -w -o "$work/program" "$work/program.c" -lpthread || skip_all "no C compiler"
openssl genrsa -3 -out "$work/key.pem" 3072 2>/dev/null

manifest() { # NAME EDMM
    cat >"$work/$1.manifest.template" <<END
loader.log_level = "error"
libos.entrypoint = "$work/program"
loader.insecure__use_cmdline_argv = true
loader.env.LD_LIBRARY_PATH = "/lib/x86_64-linux-gnu"
fs.mounts = [ {path="/lib", uri="file:/lib"}, {path="/lib64", uri="file:/lib64"}, {path="$work/program", uri="file:$work/program"} ]
sgx.enclave_size = "256M"
sgx.max_threads = 8
sgx.debug = true
sgx.edmm_enable = $2
sgx.file_check_policy = "allow_all_but_log"
sgx.allowed_files = ["file:/lib/", "file:/lib64/", "file:$work/program"]
END
    (cd "$work" && gramine-manifest "$1.manifest.template" "$1.manifest" &&
        gramine-sgx-sign --manifest "$1.manifest" --output "$1.manifest.sgx" --key key.pem) >"$work/sign.log" 2>&1 ||
        { tail -n 3 "$work/sign.log"; skip_all "gramine-sgx-sign failed"; }
}

compare() { # NAME ARGUMENT
    local status=0 wanted=0
    (cd "$work" && timeout 100 gramine-direct "$1" "$2") >"$work/wanted" 2>/dev/null || wanted=$?
    (cd "$work" && timeout 300 "$stage/usr/bin/sgx-emulate" gramine-sgx "$1" "$2") >"$work/out" 2>"$work/err" || status=$?
    if [ "$status" = "$wanted" ] && [ "$status" = 7 ] && cmp -s "$work/wanted" "$work/out"; then
        passed=$((passed + 1))
        echo "ok - $1: $2"
    else
        failed=$((failed + 1))
        echo "not ok - $1: $2 (status $status, by gramine-direct $wanted)"
        diff "$work/wanted" "$work/out"
        tail -n 5 "$work/err"
    fi
}

# Gramine asks CPUID whether there is EDMM, and EXINFO, by which it knows a fault of the program's.
cat >"$work/faulting.c" <<'C'
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    return syscall(SYS_arch_prctl, 0x1012, 0L) != 0; /* ARCH_SET_CPUID */
}
C
gcc -D_GNU_SOURCE -o "$work/faulting" "$work/faulting.c" || skip_all "no C compiler"

manifest plain false
for what in hello threads alarm fork memory; do
    compare plain "$what"
done
if "$work/faulting"; then
    manifest edmm true
    compare plain exceptions
    for what in hello threads alarm fork memory exceptions; do
        compare edmm "$what"
    done
else
    echo "skip - exceptions, EDMM: this processor or kernel cannot make CPUID fault"
    skipped=1
fi

# ---- in a container: runtimes/gramine ----

image() {
    local root=$work/bundle/rootfs
    mkdir -p "$root"/{lib64,lib/x86_64-linux-gnu,app,proc,dev,sys,tmp,etc}
    cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64"
    cp -L /lib64/ld-linux-x86-64.so.2 /lib/x86_64-linux-gnu/libc.so.6 "$root/lib/x86_64-linux-gnu"
    cp "$work/program" "$root/app"
    cat >"$root/app/program.manifest.template" <<END
loader.log_level = "error"
libos.entrypoint = "/app/program"
loader.insecure__use_cmdline_argv = true
loader.env.LD_LIBRARY_PATH = "/lib/x86_64-linux-gnu"
fs.mounts = [ {path="/lib", uri="file:/lib"}, {path="/lib64", uri="file:/lib64"}, {path="/app", uri="file:/app"} ]
sgx.enclave_size = "256M"
sgx.max_threads = 8
sgx.trusted_files = ["file:/app/program", "file:/lib/", "file:/lib64/"]
END
    (cd "$root/app" && gramine-manifest --chroot "$root" program.manifest.template program.manifest &&
        gramine-sgx-sign --chroot "$root" --manifest program.manifest --output program.manifest.sgx --key "$work/key.pem") \
        >"$work/sign.log" 2>&1 || { tail -n 3 "$work/sign.log"; skip_all "gramine-sgx-sign --chroot failed"; }
    (cd "$work/bundle" && "$stage/usr/bin/rune" spec)
}

container() { # ARGUMENT
    python3 - "$work/bundle/config.json" "$1" <<'PY'
import json, sys
c = json.load(open(sys.argv[1]))
c["process"].update(args=["program", sys.argv[2]], cwd="/app", terminal=False)
c["annotations"] = {"enclave.type": "simulatedSgx", "enclave.runtime.path": "gramine"}
json.dump(c, open(sys.argv[1], "w"))
PY
    local status=0
    (cd "$work" && gramine-direct plain "$1") >"$work/wanted" 2>/dev/null
    RUNE_GRAMINE=$prefix timeout 300 "$stage/usr/bin/rune" --root "$work/state" run --bundle "$work/bundle" "gramine-$$" \
        >"$work/out" 2>"$work/err" </dev/null || status=$?
    if [ "$status" = 7 ] && cmp -s "$work/wanted" "$work/out"; then
        passed=$((passed + 1))
        echo "ok - rune: $1"
    else
        failed=$((failed + 1))
        echo "not ok - rune: $1 (status $status)"
        diff "$work/wanted" "$work/out"
        tail -n 5 "$work/err"
    fi
}

if [ "$(id -u)" = 0 ]; then
    image
    for what in hello threads alarm fork memory; do
        container "$what"
    done
else
    echo "skip - rune: containers are made as root here"
    skipped=$((skipped + 1))
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
