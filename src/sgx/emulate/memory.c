/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's memory. What it gives us may not be mapped, and a fault of the core would end the
 * process: so the kernel copies.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
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

/* ---- what is mapped ---- */

/* "START-END rwxp OFFSET DEVICE INODE   NAME" */
static bool parse_mapping(char *line, struct host_mapping *out)
{
    char *at;

    out->start = strtoull(line, &at, 16);
    out->end = strtoull(at + 1, &at, 16);
    if (strlen(at) < 1 + sizeof(out->how))
        return false;
    memcpy(out->how, at + 1, sizeof(out->how) - 1);
    out->how[sizeof(out->how) - 1] = 0;
    at += 1 + sizeof(out->how);
    at += strcspn(at, " "); /* offset */
    at += *at == ' ';
    at += strcspn(at, " "); /* device */
    const bool no_file = strtoull(at, &at, 10) == 0;
    out->anonymous = no_file && at[strspn(at, " ")] == 0;
    return true;
}

bool host_mapping_find(uint64_t address, struct host_mapping *out)
{
    char buffer[4096 + 1];
    size_t have = 0;
    bool found = false;

    const long fd = host_syscall(SYS_openat, (long)AT_FDCWD, "/proc/self/maps",
                                 (long)(O_RDONLY | O_CLOEXEC));
    if (fd < 0)
        return false;
    for (long n; !found && (n = host_syscall(SYS_read, fd, buffer + have,
                                             (long)(sizeof(buffer) - 1 - have))) > 0;) {
        have += (size_t)n;
        buffer[have] = 0;
        char *line = buffer, *end;
        for (; !found && (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            found = parse_mapping(line, out) && address >= out->start && address < out->end;
        }
        have -= (size_t)(line - buffer);
        memmove(buffer, line, have);
    }
    host_syscall(SYS_close, fd);
    return found;
}

/* ---- pages that were never written ---- */

#define PAGEMAP_BATCH   256
#define PAGEMAP_THERE   (3ull << 62) /* present, or swapped out */
#define UNTOUCHED_LIMIT (16ull << 20)

void host_source_open(struct host_source *s)
{
    *s = (struct host_source){.pagemap = (int)host_syscall(SYS_openat, (long)AT_FDCWD,
                                                           "/proc/self/pagemap",
                                                           (long)(O_RDONLY | O_CLOEXEC))};
}

void host_source_close(const struct host_source *s)
{
    if (s->pagemap >= 0)
        host_syscall(SYS_close, (long)s->pagemap);
}

uint64_t host_source_untouched(struct host_source *s, uint64_t from, uint64_t size)
{
    uint64_t entries[PAGEMAP_BATCH], done = 0;

    if (s->pagemap < 0)
        return 0;
    if (from < s->mapping.start || from >= s->mapping.end)
        if (!host_mapping_find(from, &s->mapping))
            return 0;
    if (!s->mapping.anonymous || s->mapping.how[0] != 'r' || s->mapping.how[3] != 'p')
        return 0;
    if (size > s->mapping.end - from)
        size = s->mapping.end - from;
    if (size > UNTOUCHED_LIMIT)
        size = UNTOUCHED_LIMIT;
    while (done < size) {
        uint64_t count = (size - done) / SGX_PAGE_SIZE;
        count = count < PAGEMAP_BATCH ? count : PAGEMAP_BATCH;
        const long bytes = (long)(count * sizeof(entries[0]));
        if (host_syscall(SYS_pread64, (long)s->pagemap, entries, bytes,
                         (long)((from + done) / SGX_PAGE_SIZE * sizeof(entries[0]))) != bytes)
            return done;
        for (uint64_t i = 0; i < count; i++, done += SGX_PAGE_SIZE)
            if (entries[i] & PAGEMAP_THERE)
                return done;
    }
    return done;
}
