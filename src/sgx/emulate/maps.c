/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings of the device. Before ECREATE they are places that are kept free; from then on all of
 * ELRANGE belongs to the emulator, and what is mapped in it is known here and, by protection,
 * there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "sgx/emulate/emulate.h"

#define PAGE_MASK (SGX_PAGE_SIZE - 1)

static uint64_t up(uint64_t length)
{
    return (length + PAGE_MASK) & ~PAGE_MASK;
}

/* [start, end) has `prot`, or with prot < 0 is not mapped any more. */
static int set(struct host_device *d, uint64_t start, uint64_t end, int prot)
{
    struct host_map fresh[64];
    size_t room = d->map_count + 3, count = 0;
    struct host_map *list = room > sizeof(fresh) / sizeof(fresh[0]) ? calloc(room, sizeof(*list))
                                                                    : fresh;
    bool placed = prot < 0;

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < d->map_count; i++) {
        const struct host_map m = d->maps[i];
        if (!placed && m.start >= start) {
            list[count++] = (struct host_map){start, end, prot};
            placed = true;
        }
        if (m.start < start)
            list[count++] = (struct host_map){m.start, m.end < start ? m.end : start, m.prot};
        if (!placed && m.end > start) {
            list[count++] = (struct host_map){start, end, prot};
            placed = true;
        }
        if (m.end > end)
            list[count++] = (struct host_map){m.start > end ? m.start : end, m.end, m.prot};
    }
    if (!placed)
        list[count++] = (struct host_map){start, end, prot};
    int rc = 0;
    if (count > d->map_room) {
        struct host_map *grown = reallocarray(d->maps, 2 * count, sizeof(*grown));
        if (grown) {
            d->maps = grown;
            d->map_room = 2 * count;
        } else {
            rc = -ENOMEM;
        }
    }
    if (rc == 0) {
        if (count)
            memcpy(d->maps, list, count * sizeof(*list));
        d->map_count = count;
    }
    if (list != fresh)
        free(list);
    return rc;
}

static bool covered(const struct host_device *d, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < d->map_count && start < end; i++)
        if (d->maps[i].start <= start && start < d->maps[i].end)
            start = d->maps[i].end;
    return start >= end;
}

static bool touches(const struct host_device *d, uint64_t start, uint64_t end)
{
    const struct sgx_handle *h = d->handle;

    if (!h)
        return false;
    if (h->created && start < h->base + h->size && end > h->base)
        return true;
    for (size_t i = 0; i < d->map_count; i++)
        if (d->maps[i].start < end && d->maps[i].end > start)
            return true;
    return false;
}

static struct host_device *at(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < HOST_DEVICES; i++)
        if (touches(&g_host_devices[i], start, end))
            return &g_host_devices[i];
    return NULL;
}

bool host_maps_touch(uint64_t addr, uint64_t length)
{
    return atomic_load(&g_host_device_count) && length && at(addr & ~PAGE_MASK, up(addr + length));
}

static int drive(struct host_device *d, uint64_t start, uint64_t end, int prot)
{
    struct error err = ERROR_INIT;
    const int rc = g_host_driver->map(d->handle, start, end - start, prot, &err);

    error_release(&err);
    return rc;
}

long host_mmap(struct host_device *d, uint64_t addr, uint64_t length, int prot, int flags)
{
    const struct sgx_handle *h = d->handle;

    if (!length || (addr & PAGE_MASK && (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))))
        return -EINVAL;
    length = up(length);
    addr &= ~PAGE_MASK;
    if (!h->created) {
        const int where = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) | MAP_PRIVATE |
                          MAP_ANONYMOUS | MAP_NORESERVE;
        const long p = host_syscall(SYS_mmap, (long)addr, (long)length, (long)PROT_NONE,
                                    (long)where, -1L, 0L);
        if (p < 0)
            return p;
        const int rc = set(d, (uint64_t)p, (uint64_t)p + length, prot);
        return rc < 0 ? rc : p;
    }
    if (!emu_inside(h, addr, length))
        return -EACCES;
    if ((flags & MAP_FIXED_NOREPLACE) && !(flags & MAP_FIXED)) {
        for (size_t i = 0; i < d->map_count; i++)
            if (d->maps[i].start < addr + length && d->maps[i].end > addr)
                return -EEXIST;
    }
    int rc = drive(d, addr, addr + length, prot);
    if (rc == 0)
        rc = set(d, addr, addr + length, prot);
    return rc < 0 ? rc : (long)addr;
}

/* The part of [addr, end) that belongs to d; what is before and behind is the kernel's. */
static void part(const struct host_device *d, uint64_t addr, uint64_t end, uint64_t *start,
                 uint64_t *stop)
{
    const struct sgx_handle *h = d->handle;
    uint64_t low = h->created ? h->base : d->maps[0].start;
    const uint64_t high = h->created ? h->base + h->size : d->maps[d->map_count - 1].end;

    if (low < EMU_MIN_ADDRESS)
        low = EMU_MIN_ADDRESS;
    *start = addr > low ? addr : low;
    *stop = end < high ? end : high;
}

long host_mprotect(uint64_t addr, uint64_t length, int prot)
{
    const uint64_t end = addr + up(length);
    struct host_device *d = at(addr, end);
    uint64_t start, stop;

    if (addr & PAGE_MASK)
        return -EINVAL;
    part(d, addr, end, &start, &stop);
    if (start >= stop || !covered(d, start, stop))
        return -ENOMEM;
    long rc = d->handle->created ? drive(d, start, stop, prot) : 0;
    if (rc == 0)
        rc = set(d, start, stop, prot);
    if (rc == 0 && addr < start)
        rc = host_syscall(SYS_mprotect, (long)addr, (long)(start - addr), (long)prot);
    if (rc == 0 && stop < end)
        rc = host_syscall(SYS_mprotect, (long)stop, (long)(end - stop), (long)prot);
    return rc;
}

long host_munmap(uint64_t addr, uint64_t length)
{
    const uint64_t end = addr + up(length);
    uint64_t start, stop;
    struct host_device *d;
    long rc = 0;

    if (addr & PAGE_MASK)
        return -EINVAL;
    while (rc == 0 && addr < end && (d = at(addr, end))) {
        part(d, addr, end, &start, &stop);
        if (addr < start)
            rc = host_syscall(SYS_munmap, (long)addr, (long)(start - addr));
        if (rc == 0 && d->handle->created)
            rc = start < stop ? drive(d, start, stop, PROT_NONE) : 0;
        else if (rc == 0)
            rc = host_syscall(SYS_munmap, (long)start, (long)(stop - start));
        if (rc == 0)
            rc = set(d, start, stop, -1);
        host_device_settle(d);
        addr = stop;
    }
    if (rc == 0 && addr < end)
        rc = host_syscall(SYS_munmap, (long)addr, (long)(end - addr));
    return rc;
}

/* ---- ECREATE ---- */

/* A line of /proc/self/maps that lies in ELRANGE: a reservation goes, memory in use stays. */
static int clear_line(char *line, uint64_t base, uint64_t size, struct error *err)
{
    char *p;
    uint64_t start = strtoull(line, &p, 16);
    uint64_t end = strtoull(p + 1, &p, 16);

    if (end <= base || start >= base + size)
        return 0;
    if (strncmp(p, " ---p", 5) != 0 && strncmp(p, " ---s", 5) != 0)
        return error_code(err, EINVAL,
                          "ECREATE: other memory of the program lies in ELRANGE, which sgx-emulate "
                          "cannot: %s",
                          line);
    start = start > base ? start : base;
    end = end < base + size ? end : base + size;
    host_syscall(SYS_munmap, (long)start, (long)(end - start));
    return 0;
}

/* What is reserved in ELRANGE goes, for the emulator takes it whole. */
int host_maps_reserve(struct host_device *d, uint64_t base, uint64_t size, struct error *err)
{
    int rc = 0;

    if (size & (size - 1) || size > 1ull << 47 || base > (1ull << 47) - size)
        return error_code(err, EINVAL, "ECREATE: bad ELRANGE");
    const long fd = host_syscall(SYS_openat, (long)AT_FDCWD, "/proc/self/maps",
                                 (long)(O_RDONLY | O_CLOEXEC));
    if (fd < 0) { /* without /proc: what the device was mapped at */
        for (size_t i = 0; i < d->map_count; i++)
            host_syscall(SYS_munmap, (long)d->maps[i].start,
                         (long)(d->maps[i].end - d->maps[i].start));
        return 0;
    }
    size_t room = 1 << 20, have = 0;
    char *text = malloc(room);
    for (long n = 1; text && n > 0 && have<room - 1; have += n> 0 ? (size_t)n : 0)
        n = host_syscall(SYS_read, fd, text + have, (long)(room - 1 - have));
    host_syscall(SYS_close, fd);
    if (!text)
        return error_errno(err, ENOMEM, "ECREATE");
    text[have] = 0;
    for (char *line = text, *end; rc == 0 && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        rc = clear_line(line, base, size, err);
    }
    free(text);
    return rc;
}

/* What was mapped before. Outside of ELRANGE it is of no use. */
int host_maps_apply(struct host_device *d, struct error *err)
{
    const struct sgx_handle *h = d->handle;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < d->map_count; i++) {
        const struct host_map m = d->maps[i];
        if (emu_inside(h, m.start, m.end - m.start))
            rc = g_host_driver->map(d->handle, m.start, m.end - m.start, m.prot, err);
    }
    return rc;
}
