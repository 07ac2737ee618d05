/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's memory. What it gives us may not be mapped, and a fault of the core would end the
 * process: so the kernel copies.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "sgx/emulate/emulate.h"

static int copy(const struct host_thread *t, long call, void *here, uint64_t there, size_t size)
{
    const struct iovec local = {here, size}, remote = {(void *)there, size};
    const long n = host_syscall(call, (long)t->pid, &local, 1L, &remote, 1L, 0L);

    if (n == (long)size || size == 0)
        return 0;
    if (n != -ENOSYS && n != -EPERM)
        return -EFAULT;
    /* A seccomp filter refuses: then as the program itself would. */
    if (call == SYS_process_vm_readv)
        memcpy(here, (const void *)there, size);
    else
        memcpy((void *)there, here, size);
    return 0;
}

int host_read(const struct host_thread *t, void *to, uint64_t from, size_t size)
{
    return copy(t, SYS_process_vm_readv, to, from, size);
}

int host_write(const struct host_thread *t, uint64_t to, const void *from, size_t size)
{
    return copy(t, SYS_process_vm_writev, (void *)from, to, size);
}

int host_read_text(const struct host_thread *t, char *to, uint64_t from, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t part = SGX_PAGE_SIZE - ((from + done) & (SGX_PAGE_SIZE - 1));
        if (part > size - done)
            part = size - done;
        if (host_read(t, to + done, from + done, part) < 0)
            return -EFAULT;
        if (memchr(to + done, 0, part))
            return 0;
        done += part;
    }
    return -ENAMETOOLONG;
}
