/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the emulator keeps for a host thread: a block, aligned to its size, whose start is struct
 * emu_thread and whose rest are two stacks, one for signals and one for leaves of rewritten sites.
 * A handler finds the struct by rounding its stack pointer down, which needs no TLS.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sgx/emulator/emulator.h"

#ifndef PR_SYS_DISPATCH_INCLUSIVE_ON
#define PR_SYS_DISPATCH_INCLUSIVE_ON 2
#endif

static __thread struct emu_thread *g_self __attribute__((tls_model("initial-exec")));
static pthread_key_t g_key;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;

static void thread_exit(void *block)
{
    stack_t off = {.ss_flags = SS_DISABLE};

    g_self = NULL;
    sigaltstack(&off, NULL);
    munmap(block, EMU_STACK_BLOCK);
}

static void make_key(void)
{
    if (pthread_key_create(&g_key, thread_exit) != 0)
        emu_die("no key for thread data");
}

void *emu_thread_block(void)
{
    uint8_t *raw = mmap(NULL, 2 * EMU_STACK_BLOCK, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    uint8_t *block = (uint8_t *)(((uintptr_t)raw + EMU_STACK_BLOCK - 1) &
                                 -(uintptr_t)EMU_STACK_BLOCK);
    if (block > raw)
        munmap(raw, block - raw);
    munmap(block + EMU_STACK_BLOCK, raw + EMU_STACK_BLOCK - block);
    if (mprotect(block, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE) < 0 ||
        mprotect(block + 2 * SGX_PAGE_SIZE, EMU_LEAF_STACK_TOP - 2 * SGX_PAGE_SIZE,
                 PROT_READ | PROT_WRITE) < 0 ||
        mprotect(block + EMU_STACK_AT, EMU_STACK_BLOCK - EMU_STACK_AT, PROT_READ | PROT_WRITE) <
            0) {
        munmap(block, EMU_STACK_BLOCK);
        return NULL;
    }
    return block;
}

struct emu_thread *emu_thread_current(void)
{
    return g_self;
}

void emu_thread_adopt(struct emu_thread *t)
{
    g_self = t;
}

struct emu_thread *emu_thread_self(void)
{
    if (g_self)
        return g_self;
    pthread_once(&g_once, make_key);
    struct emu_thread *t = emu_thread_block();
    if (!t)
        return NULL;
    stack_t stack = {.ss_sp = (uint8_t *)t + EMU_STACK_AT,
                     .ss_size = EMU_STACK_BLOCK - EMU_STACK_AT};
    t->magic = EMU_THREAD_MAGIC;
    if (sigaltstack(&stack, NULL) < 0 || pthread_setspecific(g_key, t) != 0) {
        munmap(t, EMU_STACK_BLOCK);
        return NULL;
    }
    return g_self = t;
}

/*
 * A `syscall` instruction in ELRANGE must raise #UD. Newer kernels take the range to trap; older
 * ones the range to let pass, which must not wrap, so that it serves for an ELRANGE below all code
 * of the host (emulated_reserve chooses such). For another ELRANGE an old kernel lets the
 * instruction through. A kernel or seccomp filter that refuses altogether ends the program: the
 * application's system calls would go to the host.
 */
void emu_thread_guard_syscalls(struct emu_thread *t, struct sgx_handle *e)
{
    static char block = SYSCALL_DISPATCH_FILTER_BLOCK;
    const uint64_t end = e->base + e->size;

    if (emu_is_hosted() || (t->guard_base == e->base && t->guard_size == e->size))
        return;
    t->guard_base = e->base;
    t->guard_size = e->size;
    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_INCLUSIVE_ON, e->base, e->size,
              &block) == 0)
        return;
    if (end <= 1ull << 46 &&
        prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, end, UINT64_MAX - end, &block) < 0)
        emu_die("the kernel (older than 5.11?) or a seccomp filter refuses Syscall User Dispatch, "
                "prctl(PR_SET_SYSCALL_USER_DISPATCH), without which an enclave cannot be emulated");
}
