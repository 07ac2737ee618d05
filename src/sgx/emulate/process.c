/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads and processes. Dispatch is off in whatever clone makes, so each begins in the core, which
 * turns it on and goes on in the program with a copy of the frame of its clone.
 *
 *     with CLONE_VM   a block of its own, also for vfork: the parent waits on its own signal stack
 *     without         the child is here, in the copy of our handler
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sgx/emulate/emulate.h"

#define ENVIRONMENT_LIMIT 65536
#define PRELOAD           "LD_PRELOAD="

/* Of the static libc: its heap is whole in the child. */
void __malloc_fork_lock_parent(void);
void __malloc_fork_unlock_parent(void);
void __malloc_fork_unlock_child(void);

/* Every lock that a child can come to want: whoever holds one is not there to give it back. */
static void lock_for_fork(void)
{
    emu_word_lock(&g_host_lock);
    host_gates_lock();
    emu_epc_lock();
    __malloc_fork_lock_parent();
}

static void unlock_after_fork(bool child)
{
    if (child)
        __malloc_fork_unlock_child();
    else
        __malloc_fork_unlock_parent();
    emu_epc_unlock();
    host_gates_unlock();
    if (!child)
        emu_word_unlock(&g_host_lock);
}

static void fork_child(struct host_thread *t)
{
    t->pid = (int)host_syscall(SYS_getpid);
    host_block_set_tid(t);
    host_enclu_thread_gone(t);
    host_block_fork(t);
    host_enclu_thread(t);
    atomic_store(&g_host_enclu_off, 0);
    host_device_fork();
    atomic_store(&g_host_lock, 0); /* what others wait for is gone with them */
    host_dispatch();
}

static long fork_now(struct host_thread *t, uint64_t flags, uint64_t ptid, uint64_t ctid)
{
    lock_for_fork();
    const long rc = host_syscall(SYS_clone, (long)flags, 0L, (long)ptid, (long)ctid, 0L);
    unlock_after_fork(rc == 0);
    if (rc == 0)
        fork_child(t);
    return rc;
}

static void close_others(int fd)
{
    if (fd > 0)
        host_syscall(SYS_close_range, 0L, (long)fd - 1, 0L);
    host_syscall(SYS_close_range, (long)fd + 1, (long)UINT32_MAX, 0L);
}

/* Twice, so that the program need not wait for it: its parent is then who adopts orphans. */
long host_process_serve(struct host_thread *t, void (*serve)(int fd), int fd)
{
    lock_for_fork();
    const long rc = host_syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L);
    unlock_after_fork(rc == 0);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        atomic_store(&g_host_lock, 0);
        if (host_syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L) == 0) {
            host_block_set_tid(t);
            close_others(fd);
            serve(fd);
        }
        for (;;)
            host_syscall(SYS_exit_group, 0L);
    }
    while (host_syscall(SYS_wait4, rc, 0L, (long)__WCLONE, 0L) == -EINTR)
        ;
    return 0;
}

/* The frame of `uc`, vector state and all, at the top of the new thread's signal stack. */
static ucontext_t *copy_frame(struct host_thread *t, const ucontext_t *uc, uint8_t **stack)
{
    const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
    const size_t context = offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t);
    uint32_t words[2], size = 512;

    memcpy(words, fp + 464, sizeof(words));
    if (words[0] == 0x46505853u && words[1] > size && words[1] < 16384)
        size = words[1];
    uint8_t *at = (uint8_t *)t + EMU_STACK_BLOCK;
    at = (uint8_t *)(((uint64_t)at - size) & ~63ull);
    memcpy(at, fp, size);
    uint8_t *copy = (uint8_t *)(((uint64_t)at - sizeof(siginfo_t) - context - 64) & ~63ull);
    memcpy(copy, uc, context);
    ((ucontext_t *)copy)->uc_mcontext.fpregs = (void *)at;
    *stack = copy - 128;
    return (ucontext_t *)copy;
}

static long thread_now(struct host_thread *t, const ucontext_t *uc, uint64_t flags, uint64_t stack,
                       uint64_t ptid, uint64_t ctid, uint64_t tls)
{
    uint8_t *start;

    emu_word_lock(&g_host_lock);
    struct host_thread *child = host_block_new();
    struct host_actions *actions = t->actions;
    if (child && !(flags & CLONE_SIGHAND)) {
        actions = malloc(sizeof(*actions));
        if (actions)
            *actions = *t->actions;
        child->own_actions = actions;
    }
    if (child && !actions)
        host_block_free(child);
    emu_word_unlock(&g_host_lock);
    if (!child || !actions)
        return -ENOMEM;
    child->actions = actions;
    child->blocked = t->blocked;
    child->vforked = flags & CLONE_VFORK;
    child->process = !(flags & CLONE_THREAD);
    child->now_fs = flags & CLONE_SETTLS ? tls : t->now_fs;
    child->now_gs = t->now_gs;
    if (flags & CLONE_VFORK)
        child->stack = t->stack; /* Linux: an alternate stack is for a new thread to set up */
    ucontext_t *frame = copy_frame(child, uc, &start);
    frame->uc_mcontext.gregs[REG_RAX] = 0;
    if (stack)
        frame->uc_mcontext.gregs[REG_RSP] = (greg_t)stack;
    frame->uc_stack.ss_sp = (uint8_t *)child + EMU_STACK_AT;
    frame->uc_stack.ss_flags = 0;
    frame->uc_stack.ss_size = EMU_STACK_BLOCK - EMU_STACK_AT;
    child->frame = frame;
    if (child->process)
        atomic_fetch_add(&g_host_enclu_off, 1);
    const long rc = host_clone(flags & ~(uint64_t)CLONE_SETTLS, start, ptid, ctid, child);
    /* A process that shared our memory and has ended or execed, or none at all. A process that
     * shares it for good is found to be gone by reap(). */
    if (rc < 0 || (flags & CLONE_VFORK)) {
        if (child->process)
            atomic_fetch_sub(&g_host_enclu_off, 1);
        emu_word_lock(&g_host_lock);
        host_block_free(child);
        emu_word_unlock(&g_host_lock);
    }
    return rc;
}

void host_process_child(struct host_thread *t)
{
    if (host_attach_thread(t) < 0)
        emu_die("sgx-emulate: a new thread cannot be set up");
}

void host_process_clone(struct host_thread *t, ucontext_t *uc, uint64_t flags, uint64_t stack,
                        uint64_t ptid, uint64_t ctid, uint64_t tls)
{
    greg_t *regs = uc->uc_mcontext.gregs;

    if (flags & CLONE_VM) {
        regs[REG_RAX] = (greg_t)thread_now(t, uc, flags, stack, ptid, ctid, tls);
        return;
    }
    regs[REG_RAX] = (greg_t)fork_now(t, flags & ~(uint64_t)CLONE_SETTLS, ptid, ctid);
    if (regs[REG_RAX] != 0)
        return;
    if (stack)
        regs[REG_RSP] = (greg_t)stack;
    if (flags & CLONE_SETTLS)
        t->now_fs = tls;
}

_Noreturn void host_process_exit(struct host_thread *t, uint64_t status)
{
    host_enclu_thread_gone(t);
    atomic_store(&t->dead, t->vforked ? 0 : (int)host_syscall(SYS_gettid));
    for (;;)
        host_syscall(SYS_exit, (long)status);
}

/* ---- exec: the program's environment, with LD_PRELOAD ---- */

/* The value of LD_PRELOAD with our library in it; NULL when it is there already. */
static char *preload_entry(const char *now)
{
    const char *path = g_host_handover->preload;
    const size_t size = strlen(PRELOAD) + strlen(path) + 1 + (now ? strlen(now) : 0) + 1;
    char *entry = malloc(size);

    if (entry)
        snprintf(entry, size, PRELOAD "%s%s%s", path, now && *now ? ":" : "", now ? now : "");
    return entry;
}

/* A copy of the array with one entry more, or NULL: nothing to do, or no memory. */
static uint64_t *with_preload(const struct host_thread *t, uint64_t environment)
{
    uint64_t *list = NULL, entry;
    size_t count = 0, room = 0, at = SIZE_MAX;
    char text[4096], *made = NULL;
    const char *path = g_host_handover->preload;

    for (;; count++) {
        if (environment && (count >= ENVIRONMENT_LIMIT ||
                            host_read(t, &entry, environment + count * 8, sizeof(entry)) < 0)) {
            free(list);
            return NULL; /* the kernel says what is wrong with it */
        }
        if (!environment)
            entry = 0;
        if (count + 2 > room) {
            room = room ? 2 * room : 64;
            uint64_t *grown = reallocarray(list, room, sizeof(*grown));
            if (!grown) {
                free(list);
                return NULL;
            }
            list = grown;
        }
        list[count] = entry;
        if (!entry)
            break;
        char head[sizeof(PRELOAD)] = "";
        if (host_read(t, head, entry, sizeof(PRELOAD) - 1) < 0 || strcmp(head, PRELOAD) != 0)
            continue;
        if (host_read_text(t, text, entry, sizeof(text)) < 0)
            continue;
        if (strstr(text, path)) {
            free(list);
            return NULL;
        }
        at = count;
    }
    made = preload_entry(at == SIZE_MAX ? NULL : text + strlen(PRELOAD));
    if (!made) {
        free(list);
        return NULL;
    }
    if (at == SIZE_MAX) {
        list[count] = (uint64_t)made;
        list[count + 1] = 0;
    } else {
        list[at] = (uint64_t)made;
    }
    return list; /* goes with the memory of this process, or stays: see exec_failed() */
}

/* In the program's own context, for the new program inherits the signal mask. */
void host_process_exec(struct host_thread *t, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const bool at = regs[REG_RAX] == SYS_execveat;
    const int environment = at ? REG_R10 : REG_RDX;

    emu_word_lock(&g_host_lock);
    uint64_t *list = with_preload(t, (uint64_t)regs[environment]);
    emu_word_unlock(&g_host_lock);
    t->restore_rdx = (uint64_t)regs[environment];
    t->after_exec = (uint64_t)regs[REG_RIP];
    t->exec_register = environment;
    if (list)
        regs[environment] = (greg_t)list;
    regs[REG_RIP] = (greg_t)host_gate_exec();
}

bool host_process_exec_failed(struct host_thread *t, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;

    if ((uint64_t)regs[REG_RIP] != host_gate_exec() + 2)
        return false;
    regs[t->exec_register] = (greg_t)t->restore_rdx;
    regs[REG_RIP] = (greg_t)t->after_exec;
    return true;
}
