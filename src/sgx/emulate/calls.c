/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of the program: those that the core must see, and a gate for all others. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <asm/prctl.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "sgx/emulate/emulate.h"

#define ARCH_GET_CPUID_ 0x1011u
#define ARCH_SET_CPUID_ 0x1012u
#define PASS            LONG_MIN /* to a gate */

/* The arguments as the kernel takes them */
struct call {
    uint64_t number, a[6];
};

/* ---- files ---- */

static long opens(struct host_thread *t, uint64_t path, uint64_t flags)
{
    if (!host_device_path(t, path))
        return PASS;
    emu_word_lock(&g_host_lock);
    const long fd = host_device_open(t, path, flags);
    emu_word_unlock(&g_host_lock);
    return fd;
}

/* stat, access and such of the device: /dev/null is as good. */
static long looks(struct host_thread *t, const struct call *c, unsigned path)
{
    uint64_t a[6];

    if (!host_device_path(t, c->a[path]))
        return PASS;
    memcpy(a, c->a, sizeof(a));
    a[path] = (uint64_t) "/dev/null";
    return host_syscall((long)c->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static long ioctls(struct host_thread *t, const struct call *c)
{
    if (_IOC_TYPE(c->a[1]) != SGX_MAGIC)
        return PASS;
    long rc = PASS;
    emu_word_lock(&g_host_lock);
    struct host_device *d = host_device_of((int)c->a[0]);
    if (d || host_device_adopt((int)c->a[0], c->a[1], &d))
        rc = host_device_ioctl(t, d, c->a[1], c->a[2]);
    emu_word_unlock(&g_host_lock);
    return rc;
}

/* Descriptors that may be the device's, or our own, are closed: [first, last]. */
static long closes(const struct call *c, uint64_t first, uint64_t last)
{
    long rc = PASS;

    if (atomic_load(&g_host_device_count) == 0)
        return PASS;
    emu_word_lock(&g_host_lock);
    if (first == last && host_device_is_own((int)first)) {
        rc = c->number == SYS_close ? -EBADF : -EBUSY;
    } else if (first == last) {
        if (host_device_of((int)first)) {
            rc = host_syscall((long)c->number, c->a[0], c->a[1], c->a[2]);
            host_device_closed();
        }
    } else { /* close_range: around our own */
        rc = 0;
        for (uint64_t fd = first; rc == 0 && fd <= last && fd < 1 << 20;) {
            uint64_t end = fd;
            while (end <= last && end < 1 << 20 && !host_device_is_own((int)end))
                end++;
            if (end > fd)
                rc = host_syscall(SYS_close_range, (long)fd,
                                  (long)(end > last || end == 1 << 20 ? last : end - 1),
                                  (long)c->a[2]);
            fd = end + 1;
        }
        host_device_closed();
    }
    emu_word_unlock(&g_host_lock);
    return rc;
}

/* ---- memory ---- */

/* What the program has not mapped, so that it is a hole to it, may be a page of site.c. */
static long around_sites(const struct call *c)
{
    const uint64_t end = c->a[0] + c->a[1];
    long rc = 0;

    if (c->number == SYS_mmap)
        host_note("memory cannot be mapped where sgx-emulate has some of its own: %#llx",
                  (unsigned long long)c->a[0]);
    if (c->number != SYS_munmap)
        return -ENOMEM;
    if (c->a[0] & (SGX_PAGE_SIZE - 1))
        return -EINVAL;
    for (uint64_t at = c->a[0]; rc == 0 && at < end; at += SGX_PAGE_SIZE) {
        const uint64_t stop = host_sites_next(at, end);
        if (stop > at) {
            emu_word_lock(&g_host_lock);
            rc = host_munmap(at, stop - at);
            emu_word_unlock(&g_host_lock);
        }
        at = stop;
    }
    return rc;
}

static long maps(const struct call *c)
{
    const int flags = (int)c->a[3], prot = (int)c->a[2];
    long rc = PASS;

    if ((flags & MAP_FIXED) && host_sites_next(c->a[0], c->a[0] + c->a[1]) < c->a[0] + c->a[1])
        return around_sites(c);
    if (atomic_load(&g_host_device_count) == 0)
        return PASS;
    emu_word_lock(&g_host_lock);
    struct host_device *d = flags & MAP_ANONYMOUS ? NULL : host_device_of((int)c->a[4]);
    if (d) {
        rc = host_mmap(d, c->a[0], c->a[1], prot, flags);
    } else if ((flags & MAP_FIXED) && host_maps_touch(c->a[0], c->a[1])) {
        /* Enclave memory gives way to a reservation; for anything else there is no room. */
        if ((flags & MAP_ANONYMOUS) && prot == PROT_NONE)
            rc = host_munmap(c->a[0], c->a[1]);
        else
            rc = -ENOMEM;
        if (rc == 0)
            rc = (long)c->a[0];
        else
            host_note("ordinary memory cannot be mapped in an enclave's range: %#llx",
                      (unsigned long long)c->a[0]);
    }
    emu_word_unlock(&g_host_lock);
    return rc;
}

static long changes(const struct call *c)
{
    const bool moves = c->number == SYS_mremap && (c->a[3] & MREMAP_FIXED);
    long rc = PASS;

    if (host_sites_next(c->a[0], c->a[0] + c->a[1]) < c->a[0] + c->a[1] ||
        (moves && host_sites_next(c->a[4], c->a[4] + c->a[2]) < c->a[4] + c->a[2]))
        return around_sites(c);
    if (!host_maps_touch(c->a[0], c->a[1])) /* without the lock: a hint */
        return PASS;
    emu_word_lock(&g_host_lock);
    if (host_maps_touch(c->a[0], c->a[1])) {
        switch (c->number) {
        case SYS_mprotect:
        case SYS_pkey_mprotect:
            rc = host_mprotect(c->a[0], c->a[1], (int)c->a[2]);
            break;
        case SYS_munmap:
            rc = host_munmap(c->a[0], c->a[1]);
            break;
        case SYS_madvise:
            rc = c->a[2] == MADV_DONTFORK || c->a[2] == MADV_DONTDUMP || c->a[2] == MADV_DODUMP
                     ? 0
                     : -EINVAL;
            break;
        default: /* mremap */
            rc = -EFAULT;
        }
    }
    emu_word_unlock(&g_host_lock);
    return rc;
}

/* ---- of a thread ---- */

static long arch_prctls(struct host_thread *t, const struct call *c)
{
    switch (c->a[0]) {
    case ARCH_SET_FS:
        if (c->a[1] >= 1ull << 47)
            return -EPERM;
        t->now_fs = c->a[1];
        return 0;
    case ARCH_SET_GS:
        if (c->a[1] >= 1ull << 47)
            return -EPERM;
        t->now_gs = c->a[1];
        return 0;
    case ARCH_GET_FS:
        return host_write(t, c->a[1], &t->now_fs, sizeof(t->now_fs));
    case ARCH_GET_GS:
        return host_write(t, c->a[1], &t->now_gs, sizeof(t->now_gs));
    case ARCH_GET_CPUID_:
        return 1;
    case ARCH_SET_CPUID_:
        return c->a[1] == 1 ? 0 : -ENODEV;
    default:
        return PASS;
    }
}

static long prctls(const struct call *c)
{
    if (c->a[0] != PR_SET_SYSCALL_USER_DISPATCH || c->a[1] == PR_SYS_DISPATCH_OFF)
        return PASS;
    host_note("this program uses Syscall User Dispatch itself, which sgx-emulate needs: it gets "
              "EINVAL, as from a kernel without");
    return -EINVAL;
}

/* PASS: to a gate. */
static long serve(struct host_thread *t, ucontext_t *uc, const struct call *c)
{
    struct open_how how;

    switch (c->number) {
    case SYS_open:
        return opens(t, c->a[0], c->a[1]);
    case SYS_openat:
        return opens(t, c->a[1], c->a[2]);
    case SYS_openat2:
        return host_read(t, &how, c->a[2], sizeof(how)) < 0 ? PASS : opens(t, c->a[1], how.flags);
    case SYS_stat:
    case SYS_lstat:
    case SYS_access:
        return looks(t, c, 0);
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_faccessat:
    case SYS_faccessat2:
        return looks(t, c, 1);
    case SYS_ioctl:
        return ioctls(t, c);
    case SYS_connect:
        return host_aesm_address(t, c->a[1], c->a[2]) ? host_aesm_connect(t, (int)c->a[0]) : PASS;
    case SYS_close:
        return closes(c, (uint32_t)c->a[0], (uint32_t)c->a[0]);
    case SYS_dup2:
    case SYS_dup3:
        return c->a[0] == c->a[1] ? PASS : closes(c, (uint32_t)c->a[1], (uint32_t)c->a[1]);
    case SYS_close_range:
        return closes(c, (uint32_t)c->a[0], (uint32_t)c->a[1]);
    case SYS_mmap:
        return maps(c);
    case SYS_mprotect:
    case SYS_pkey_mprotect:
    case SYS_munmap:
    case SYS_madvise:
    case SYS_mremap:
        return changes(c);
    case SYS_rt_sigaction:
        return host_sigaction(t, (int)c->a[0], c->a[1], c->a[2], c->a[3]);
    case SYS_rt_sigprocmask:
        return host_sigprocmask(t, uc, (int)c->a[0], c->a[1], c->a[2], c->a[3]);
    case SYS_sigaltstack:
        return host_sigaltstack(t, uc, c->a[0], c->a[1]);
    case SYS_arch_prctl:
        return arch_prctls(t, c);
    case SYS_prctl:
        return prctls(c);
    case SYS_clone3: /* libcs take clone then */
        return -ENOSYS;
    case SYS_exit:
        host_process_exit(t, c->a[0]);
    default:
        return PASS;
    }
}

bool host_call_is_plain(uint64_t number)
{
    static const uint16_t seen[] = {
        SYS_open,           SYS_openat,       SYS_openat2,        SYS_stat,        SYS_lstat,
        SYS_access,         SYS_newfstatat,   SYS_statx,          SYS_faccessat,   SYS_faccessat2,
        SYS_ioctl,          SYS_close,        SYS_dup2,           SYS_dup3,        SYS_close_range,
        SYS_mmap,           SYS_mprotect,     SYS_pkey_mprotect,  SYS_munmap,      SYS_madvise,
        SYS_mremap,         SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_sigaltstack, SYS_arch_prctl,
        SYS_prctl,          SYS_clone3,       SYS_exit,           SYS_clone,       SYS_fork,
        SYS_vfork,          SYS_connect,      SYS_execve,         SYS_execveat,    SYS_rt_sigreturn,
        SYS_restart_syscall};

    for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++)
        if (seen[i] == number)
            return false;
    return true;
}

void host_call(struct host_thread *t, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const struct call c = {(uint64_t)regs[REG_RAX],
                           {(uint64_t)regs[REG_RDI], (uint64_t)regs[REG_RSI],
                            (uint64_t)regs[REG_RDX], (uint64_t)regs[REG_R10],
                            (uint64_t)regs[REG_R8], (uint64_t)regs[REG_R9]}};

    switch (c.number) {
    case SYS_rt_sigreturn:
        host_sigreturn(t, uc);
        return;
    case SYS_clone:
        host_process_clone(t, uc, c.a[0], c.a[1], c.a[2], c.a[3], c.a[4]);
        return;
    case SYS_fork:
        host_process_clone(t, uc, SIGCHLD, 0, 0, 0, 0);
        return;
    case SYS_vfork:
        host_process_clone(t, uc, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
        return;
    case SYS_execve:
    case SYS_execveat:
        host_process_exec(t, uc);
        return;
    default:
        break;
    }
    const long rc = serve(t, uc, &c);
    if (rc != PASS) {
        regs[REG_RAX] = (greg_t)rc;
        return;
    }
    const uint64_t gate = host_gate(t, (uint64_t)regs[REG_RIP], c.number,
                                    host_call_is_plain(c.number));
    if (gate)
        regs[REG_RIP] = (greg_t)gate;
    else /* no room for another: without its signals, then */
        regs[REG_RAX] = (greg_t)host_syscall((long)c.number, c.a[0], c.a[1], c.a[2], c.a[3], c.a[4],
                                             c.a[5]);
}
