/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the core keeps for a thread: a block as src/sgx/emulator/thread.c has it, found by rounding
 * the signal stack's pointer down, and a TLS of the core's libc.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "sgx/emulate/emulate.h"

/* Of the static libc: a TLS with its TCB, as a thread of it would have. */
void *_dl_allocate_tls(void *block);
void _dl_deallocate_tls(void *tcb, _Bool free_tcb);

#define TCB_SEARCHED 0x400

/* The start of the TCB, which is ABI: compilers know the canary's place. */
struct tcb {
    void *tcb, *dtv, *self;
    int multiple_threads, gscope;
    uintptr_t sysinfo, stack_guard, pointer_guard;
};

static struct host_thread *g_host_threads;
struct host_actions g_host_actions;

/*
 * Where the libc keeps a thread's TID, by which its locks know their owner. There is no name for
 * it, but on the thread that the kernel started it has a value that is known.
 */
static size_t g_tid_at;

int host_block_setup(void)
{
    const int tid = (int)host_syscall(SYS_gettid);
    const uint8_t *self;

    __asm__("mov %%fs:0, %0" : "=r"(self));
    for (size_t at = sizeof(struct tcb); at < TCB_SEARCHED; at += sizeof(int)) {
        if (memcmp(self + at, &tid, sizeof(tid)) == 0) {
            g_tid_at = at;
            return 0;
        }
    }
    return -ENOSYS;
}

void host_block_set_tid(struct host_thread *t)
{
    const int tid = (int)host_syscall(SYS_gettid);

    memcpy((uint8_t *)t->core_fs + g_tid_at, &tid, sizeof(tid));
}

static struct tcb *new_tls(void)
{
    struct tcb *tcb = _dl_allocate_tls(NULL), *self;

    if (!tcb)
        return NULL;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    tcb->tcb = tcb->self = tcb;
    tcb->multiple_threads = 1;
    tcb->stack_guard = self->stack_guard;
    tcb->pointer_guard = self->pointer_guard;
    return tcb;
}

/* Blocks of threads that are gone: by now off their stacks. */
static void reap(void)
{
    for (struct host_thread **at = &g_host_threads; *at;) {
        struct host_thread *t = *at;
        const int tid = atomic_load(&t->dead);
        if (tid && host_syscall(SYS_tgkill, (long)t->pid, (long)tid, 0L) == -ESRCH) {
            *at = t->next;
            host_block_free(t);
        } else {
            at = &t->next;
        }
    }
}

struct host_thread *host_block_new(void)
{
    struct host_thread *t;

    reap();
    t = host_of(emu_thread_block());
    struct tcb *tls = t ? new_tls() : NULL;
    if (!tls) {
        if (t)
            munmap(t, EMU_STACK_BLOCK);
        return NULL;
    }
    t->core.magic = EMU_THREAD_MAGIC;
    t->core_fs = (uint64_t)tls;
    t->stack.flags = SS_DISABLE;
    t->actions = &g_host_actions;
    t->next = g_host_threads;
    g_host_threads = t;
    return t;
}

void host_block_free(struct host_thread *t)
{
    for (struct host_thread **at = &g_host_threads; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    host_enclu_thread_gone(t);
    if (t->own_actions)
        free(t->actions);
    _dl_deallocate_tls((void *)t->core_fs, true);
    munmap(t, EMU_STACK_BLOCK);
}

void host_block_fork(struct host_thread *keep)
{
    while (g_host_threads) {
        struct host_thread *t = g_host_threads;
        g_host_threads = t->next;
        if (t != keep)
            host_block_free(t);
    }
    keep->next = NULL;
    g_host_threads = keep;
}

bool host_anybody_in(const struct sgx_handle *e)
{
    for (const struct host_thread *t = g_host_threads; t; t = t->next)
        if (t->core.tcs && t->core.enclave == e)
            return true;
    return false;
}
