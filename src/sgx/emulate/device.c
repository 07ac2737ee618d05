/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device. A descriptor of it is the writing end of a pipe, so the kernel keeps account of it:
 * however it is duplicated, passed or closed, the pipe's inode says which enclave it is, and the
 * reading end, which is ours, hangs up with the last one. F_SETSIG marks it, for a process that was
 * given one by another: that process builds an enclave of its own with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sgx/emulate/emulate.h"

#define MARK_ENCLAVE   61L
#define MARK_PROVISION 60L
#define PATH_SIZE      32
#define CHUNK          (32 * SGX_PAGE_SIZE)
#define OWN_FDS        900 /* where our own descriptors go, if the limit allows it */

struct host_device g_host_devices[HOST_DEVICES];
_Atomic unsigned g_host_device_count;
static bool g_verbose;
static const char *g_statistics;

/*
 * For tests and authors of runtimes: RUNE_SGX_EMULATE_VERBOSE says why an ioctl failed, and
 * RUNE_SGX_EMULATE_EPC is a file that gets a line at the end of each enclave.
 */
void host_device_setup(void)
{
    g_verbose = getenv("RUNE_SGX_EMULATE_VERBOSE");
    g_statistics = getenv("RUNE_SGX_EMULATE_EPC");
}

static void note_epc(void)
{
    struct emu_epc_stats s;
    char line[128];

    if (!g_statistics)
        return;
    emu_epc_stats(&s);
    const long fd = host_syscall(SYS_openat, (long)AT_FDCWD, g_statistics,
                                 (long)(O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC), 0600L);
    const int size = snprintf(line, sizeof(line), "%llu written %llu loaded %llu size\n",
                              (unsigned long long)s.written, (unsigned long long)s.loaded,
                              (unsigned long long)s.size);
    if (fd < 0)
        return;
    host_syscall(SYS_write, fd, line, (long)size);
    host_syscall(SYS_close, fd);
}

static bool is_enclave(const char *path)
{
    return strcmp(path, "/dev/sgx_enclave") == 0 || strcmp(path, "/dev/sgx/enclave") == 0;
}

static bool is_provision(const char *path)
{
    return strcmp(path, "/dev/sgx_provision") == 0 || strcmp(path, "/dev/sgx/provision") == 0;
}

static bool read_path(const struct host_thread *t, uint64_t from, char path[PATH_SIZE])
{
    return from && host_read_text(t, path, from, PATH_SIZE) == 0;
}

bool host_device_path(const struct host_thread *t, uint64_t path)
{
    char text[PATH_SIZE];

    return read_path(t, path, text) && (is_enclave(text) || is_provision(text));
}

/* Out of the way of the program's, which counts on the lowest free number. */
static int move_away(int fd)
{
    const long at = host_syscall(SYS_fcntl, (long)fd, (long)F_DUPFD_CLOEXEC, (long)OWN_FDS);

    if (at < 0)
        return fd;
    host_syscall(SYS_close, (long)fd);
    return (int)at;
}

static struct host_device *free_device(void)
{
    for (unsigned i = 0; i < HOST_DEVICES; i++)
        if (!g_host_devices[i].handle)
            return &g_host_devices[i];
    return NULL;
}

static int new_handle(struct host_device *d)
{
    struct error err = ERROR_INIT;
    const int rc = g_host_driver->open(&d->handle, &err);

    if (rc < 0)
        host_note("%s", error_text(&err));
    else if (d->handle->memory_fd >= 0)
        d->handle->memory_fd = move_away(d->handle->memory_fd);
    error_release(&err);
    return rc;
}

static uint64_t pipe_inode(int fd)
{
    struct stat st;

    return host_syscall(SYS_fstat, (long)fd, &st) == 0 && S_ISFIFO(st.st_mode) ? st.st_ino : 0;
}

static long open_pipe(long mark, uint64_t flags, int *watch)
{
    int ends[2];
    const long rc = host_syscall(SYS_pipe2, ends, (long)(flags & O_CLOEXEC));

    if (rc < 0)
        return rc;
    /* The lower number is the program's. */
    const int kept = move_away(ends[0]);
    const long given = host_syscall(SYS_fcntl, (long)ends[1],
                                    (long)(flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD), 0L);
    if (given < 0) {
        host_syscall(SYS_close, (long)kept);
        host_syscall(SYS_close, (long)ends[1]);
        return given;
    }
    host_syscall(SYS_close, (long)ends[1]);
    host_syscall(SYS_fcntl, given, (long)F_SETSIG, mark);
    *watch = kept;
    return given;
}

long host_device_open(const struct host_thread *t, uint64_t path, uint64_t flags)
{
    char text[PATH_SIZE];
    int watch;

    if (!read_path(t, path, text))
        return -EFAULT;
    if (flags & O_DIRECTORY)
        return -ENOTDIR;
    if (is_provision(text)) {
        const long fd = open_pipe(MARK_PROVISION, flags, &watch);
        if (fd >= 0)
            host_syscall(SYS_close, (long)watch);
        return fd;
    }
    struct host_device *d = free_device();
    if (!d)
        return -ENFILE;
    *d = (struct host_device){0};
    int rc = new_handle(d);
    if (rc < 0)
        return rc;
    const long fd = open_pipe(MARK_ENCLAVE, flags, &d->watch);
    if (fd < 0) {
        g_host_driver->close(d->handle);
        d->handle = NULL;
        return fd;
    }
    d->inode = pipe_inode((int)fd);
    atomic_fetch_add(&g_host_device_count, 1);
    return fd;
}

struct host_device *host_device_of(int fd)
{
    if (atomic_load(&g_host_device_count) == 0)
        return NULL;
    const uint64_t inode = pipe_inode(fd);
    for (unsigned i = 0; inode && i < HOST_DEVICES; i++)
        if (g_host_devices[i].handle && g_host_devices[i].inode == inode)
            return &g_host_devices[i];
    return NULL;
}

static bool has_mark(int fd, long mark)
{
    return pipe_inode(fd) && host_syscall(SYS_fcntl, (long)fd, (long)F_GETSIG) == mark;
}

/* An ioctl of SGX on a descriptor of the device that another process opened */
bool host_device_adopt(int fd, uint64_t request, struct host_device **out)
{
    struct host_device *d = free_device();

    if (_IOC_TYPE(request) != SGX_MAGIC || !d || !has_mark(fd, MARK_ENCLAVE))
        return false;
    *d = (struct host_device){.watch = -1, .inode = pipe_inode(fd)};
    if (new_handle(d) < 0)
        return false;
    atomic_fetch_add(&g_host_device_count, 1);
    *out = d;
    return true;
}

bool host_device_is_own(int fd)
{
    for (unsigned i = 0; i < HOST_DEVICES; i++) {
        const struct host_device *d = &g_host_devices[i];
        if (d->handle && fd >= 0 &&
            (fd == d->watch || fd == d->handle->memory_fd || fd == d->handle->backing_fd))
            return true;
    }
    return false;
}

void host_device_settle(struct host_device *d)
{
    if (!d->closed || d->map_count || host_anybody_in(d->handle))
        return;
    note_epc();
    g_host_driver->close(d->handle);
    free(d->maps);
    if (d->watch >= 0)
        host_syscall(SYS_close, (long)d->watch);
    *d = (struct host_device){0};
    atomic_fetch_sub(&g_host_device_count, 1);
}

void host_device_closed(void)
{
    for (unsigned i = 0; i < HOST_DEVICES; i++) {
        struct host_device *d = &g_host_devices[i];
        struct pollfd p = {.fd = d->watch};
        if (!d->handle || d->closed)
            continue;
        if (d->watch >= 0)
            d->closed = host_syscall(SYS_poll, &p, 1L, 0L) == 1 && (p.revents & POLLHUP);
        if (d->closed)
            host_device_settle(d);
    }
}

/*
 * In the child of a fork the descriptors are there, and no enclave memory (it is not copied). What
 * was not created yet may be.
 */
void host_device_fork(void)
{
    for (unsigned i = 0; i < HOST_DEVICES; i++) {
        struct host_device *d = &g_host_devices[i];
        if (!d->handle || !d->handle->created)
            continue;
        host_syscall(SYS_close, (long)d->watch);
        if (d->handle->memory_fd >= 0)
            host_syscall(SYS_close, (long)d->handle->memory_fd);
        emu_forget(d->handle);
        *d = (struct host_device){0};
        atomic_fetch_sub(&g_host_device_count, 1);
    }
}

/* ---- ioctls ---- */

static int report(int rc, struct error *err)
{
    if (rc < 0 && g_verbose)
        host_note("%s", error_text(err));
    error_release(err);
    return rc;
}

static int create(struct host_thread *t, struct host_device *d, uint64_t arg)
{
    struct sgx_enclave_create request;
    struct error err = ERROR_INIT;
    struct sgx_secs secs;
    uint64_t base;

    if (host_read(t, &request, arg, sizeof(request)) < 0 ||
        host_read(t, &secs, request.src, sizeof(secs)) < 0)
        return -EFAULT;
    if (d->handle->created)
        return -EINVAL;
    int rc = host_maps_reserve(d, secs.base, secs.size, &err);
    if (rc == 0)
        rc = g_host_driver->reserve(d->handle, secs.base, secs.size, false, &base, &err);
    if (rc == 0)
        rc = g_host_driver->create(d->handle, &secs, &err);
    if (rc == 0)
        rc = host_maps_apply(d, &err);
    if (rc < 0 && !d->handle->created && d->handle->reserved) { /* another try may follow */
        g_host_driver->close(d->handle);
        if (new_handle(d) < 0)
            host_note("the device is lost after an ECREATE that failed");
    }
    return report(rc, &err);
}

/* The next pages of the request; *done: how many bytes of them are there now. */
static int add_some(struct host_thread *t, struct host_device *d, struct host_source *source,
                    const struct sgx_enclave_add_pages *r, const struct sgx_secinfo *secinfo,
                    uint8_t *buffer, uint64_t *done, struct error *err)
{
    const uint64_t from = r->src + r->count, to = r->offset + r->count;
    const uint64_t zeros = host_source_untouched(source, from, r->length - r->count);
    const bool measure = r->flags & SGX_PAGE_MEASURE;
    uint64_t size = r->length - r->count;

    *done = 0;
    if (zeros)
        return emu_add_zeros(d->handle, to, zeros, secinfo, measure, done, err);
    if (size > CHUNK)
        size = CHUNK;
    const int rc = host_read(t, buffer, from, size);
    return rc < 0
               ? rc
               : g_host_driver->add_pages(d->handle, buffer, to, size, secinfo, measure, done, err);
}

static int add_pages(struct host_thread *t, struct host_device *d, uint64_t arg)
{
    struct sgx_enclave_add_pages request;
    struct host_source source = {.pagemap = -1};
    struct sgx_secinfo secinfo;
    struct error err = ERROR_INIT;
    int rc = 0;

    if (host_read(t, &request, arg, sizeof(request)) < 0)
        return -EFAULT;
    if (!request.length || ((request.length | request.src | request.offset) & (SGX_PAGE_SIZE - 1)))
        return -EINVAL;
    if (host_read(t, &secinfo, request.secinfo, sizeof(secinfo)) < 0)
        return -EFAULT;
    uint8_t *buffer = aligned_alloc(SGX_PAGE_SIZE, CHUNK);
    if (!buffer)
        return -ENOMEM;
    if (request.length >= CHUNK)
        host_source_open(&source);
    request.count = 0;
    while (rc == 0 && request.count < request.length) {
        uint64_t done;
        rc = add_some(t, d, &source, &request, &secinfo, buffer, &done, &err);
        request.count += done;
    }
    host_source_close(&source);
    free(buffer);
    if (host_write(t, arg, &request, sizeof(request)) < 0 && rc == 0)
        rc = -EFAULT;
    return report(rc, &err);
}

static int init(struct host_thread *t, struct host_device *d, uint64_t arg)
{
    struct sgx_enclave_init request;
    struct sgx_sigstruct sigstruct;
    struct error err = ERROR_INIT;

    if (host_read(t, &request, arg, sizeof(request)) < 0 ||
        host_read(t, &sigstruct, request.sigstruct, sizeof(sigstruct)) < 0)
        return -EFAULT;
    return report(g_host_driver->init(d->handle, &sigstruct, &err), &err);
}

static int provision(struct host_thread *t, struct host_device *d, uint64_t arg)
{
    struct sgx_enclave_provision request;

    if (host_read(t, &request, arg, sizeof(request)) < 0)
        return -EFAULT;
    if (!has_mark((int)request.fd, MARK_PROVISION))
        return host_syscall(SYS_fcntl, (long)request.fd, (long)F_GETFD) < 0 ? -EBADF : -EINVAL;
    return g_host_driver->provision(d->handle, NULL);
}

/* The three of SGX2 are alike: a structure in, the same with results out. */
static int modify(struct host_thread *t, struct host_device *d, uint64_t request, uint64_t arg)
{
    union {
        struct sgx_enclave_restrict_permissions restricts;
        struct sgx_enclave_modify_types types;
        struct sgx_enclave_remove_pages removes;
    } u;
    const size_t size = _IOC_SIZE(request);
    struct error err = ERROR_INIT;
    int rc;

    if (size > sizeof(u) || host_read(t, &u, arg, size) < 0)
        return -EFAULT;
    if (request == SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS)
        rc = g_host_driver->restrict_permissions(d->handle, &u.restricts, &err);
    else if (request == SGX_IOC_ENCLAVE_MODIFY_TYPES)
        rc = g_host_driver->modify_types(d->handle, &u.types, &err);
    else
        rc = g_host_driver->remove_pages(d->handle, &u.removes, &err);
    if (host_write(t, arg, &u, size) < 0)
        rc = -EFAULT;
    return report(rc, &err);
}

long host_device_ioctl(struct host_thread *t, struct host_device *d, uint64_t request, uint64_t arg)
{
    switch (request) {
    case SGX_IOC_ENCLAVE_CREATE:
        return create(t, d, arg);
    case SGX_IOC_ENCLAVE_ADD_PAGES:
        return add_pages(t, d, arg);
    case SGX_IOC_ENCLAVE_INIT:
        return init(t, d, arg);
    case SGX_IOC_ENCLAVE_PROVISION:
        return provision(t, d, arg);
    case SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS:
    case SGX_IOC_ENCLAVE_MODIFY_TYPES:
    case SGX_IOC_ENCLAVE_REMOVE_PAGES:
        return modify(t, d, request, arg);
    default:
        return -ENOTTY;
    }
}
