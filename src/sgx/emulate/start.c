/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's main(). It runs once, on a thread of the preload library that ends here, so that what
 * a libc tells the kernel of its first thread (TID address, robust list, rseq) is not told of the
 * program's. Then host_attach_thread() for each thread of the program.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

#include <linux/futex.h>
#include <openssl/crypto.h>

#include "sgx/emulate/emulate.h"
#include "sgx/emulated.h"
#include "sgx/emulator/machine.h"

_Static_assert(offsetof(struct host_thread, core_fs) == H_CORE_FS, "layout.h");
_Static_assert(offsetof(struct host_thread, now_fs) == H_NOW_FS, "layout.h");
_Static_assert(offsetof(struct host_thread, now_gs) == H_NOW_GS, "layout.h");
_Static_assert(offsetof(struct host_thread, host_fs) == H_HOST_FS, "layout.h");
_Static_assert(offsetof(struct host_thread, host_gs) == H_HOST_GS, "layout.h");
_Static_assert(offsetof(struct host_thread, frame) == H_FRAME, "layout.h");
_Static_assert(offsetof(struct host_thread, enclu_mask) == H_MASK, "layout.h");
_Static_assert(sizeof(struct host_thread) <= SGX_PAGE_SIZE, "fits the first page of a block");

struct host_handover *g_host_handover;
struct host_thread *g_host_first; /* entry.S */
atomic_uint g_host_lock;
const struct sgx_driver *g_host_driver;

/*
 * The program's heap is its own: a libc that finds no room there takes mappings. These stand in for
 * libc's functions of the names.
 */
void *__sbrk(intptr_t increment);
void *__sbrk(intptr_t increment)
{
    errno = ENOMEM;
    return (void *)-1;
}

void *sbrk(intptr_t increment) __attribute__((alias("__sbrk")));

void host_note(const char *format, ...)
{
    char text[512] = "sgx-emulate: ";
    const size_t head = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + head, sizeof(text) - head - 1, format, args);
    va_end(args);
    const size_t size = strlen(text);
    text[size] = '\n';
    host_syscall(SYS_write, 2L, text, (long)size + 1);
}

int host_dispatch(void)
{
    static const char block = SYSCALL_DISPATCH_FILTER_BLOCK;

    return (int)host_syscall(SYS_prctl, (long)PR_SET_SYSCALL_USER_DISPATCH,
                             (long)PR_SYS_DISPATCH_ON, (long)g_host_handover->region,
                             (long)g_host_handover->region_size, &block);
}

/* Of the libc: its tables of characters are a thread's, and its threads do this as they begin. */
void __ctype_init(void);

int host_attach_thread(struct host_thread *t)
{
    stack_t stack = {.ss_sp = (uint8_t *)t + EMU_STACK_AT,
                     .ss_size = EMU_STACK_BLOCK - EMU_STACK_AT};

    t->pid = (int)host_syscall(SYS_getpid);
    host_block_set_tid(t);
    __ctype_init();
    emu_thread_adopt(&t->core);
    const long rc = host_syscall(SYS_sigaltstack, &stack, 0L);
    if (rc < 0)
        return (int)rc;
    host_cpuid_thread();
    if (!t->process)
        host_enclu_thread(t);
    return host_dispatch();
}

/* The program has no handlers yet: a signal that comes from here on has its default effect. */
int host_attach_first(struct host_thread *t)
{
    const uint64_t mask = g_host_handover->mask & ~HOST_SYNCHRONOUS;
    const int rc = host_attach_thread(t);

    t->blocked = g_host_handover->mask & HOST_SYNCHRONOUS;
    host_syscall(SYS_rt_sigprocmask, (long)SIG_SETMASK, &mask, 0L, (long)sizeof(mask));
    return rc;
}

static int attach_first(struct error *err)
{
    int rc = 0;

    g_host_driver = sgx_driver_emulated(err);
    if (!g_host_driver)
        return -ENOTSUP;
    /* Now, for the program may change its root directory or its user. If not, opening the device
     * says so. */
    (void)sgx_emulated_preload(NULL);
    rc = host_block_setup();
    g_host_first = rc == 0 ? host_block_new() : NULL;
    if (!g_host_first)
        return error_errno(err, ENOMEM, "memory for a thread");
    rc = host_gates_setup();
    if (rc == 0)
        rc = host_vdso_setup(g_host_handover->auxv);
    if (rc == 0)
        rc = host_signals_setup();
    return rc < 0 ? error_errno(err, -rc, "set up") : 0;
}

int main(void)
{
    struct error err = ERROR_INIT;

    g_host_handover = (struct host_handover *)getauxval(AT_HANDOVER);
    if (!g_host_handover) {
        host_note("this is a part of sgx-emulate, and not for use by itself");
        return 2;
    }
    __libc_single_threaded = 0; /* or malloc takes no locks */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
    emu_hosted();
    host_cpuid_setup();
    host_enclu_setup();
    host_device_setup();
    if (attach_first(&err) < 0)
        snprintf(g_host_handover->error, sizeof(g_host_handover->error), "%s", error_text(&err));
    g_host_handover->attach = host_attach;
    __atomic_store_n(&g_host_handover->done, 1u, __ATOMIC_RELEASE);
    host_syscall(SYS_futex, &g_host_handover->done, (long)FUTEX_WAKE, 1L, 0L, 0L, 0L);
    for (;;)
        host_syscall(SYS_exit, 0L);
}
