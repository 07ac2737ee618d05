/* SPDX-License-Identifier: Apache-2.0 */
/* Ocalls: the frame, and data of descriptors. */
#include "host_call.h"
#include "measured.h"

#include <asm/fcntl.h>

#define ERRNO_MAX 4095

void host_lied(const char *what)
{
    panic("the host broke the contract of the boundary: %s", what);
}

static struct host_memory *data_at(u32 off, size_t n)
{
    BUG_ON(off % 8 != 0 || off > BOUNDARY_DATA_SIZE || n > BOUNDARY_DATA_SIZE - off);
    return hostmem_at(g_host_ops->area(), offsetof(struct boundary_area, data) + off);
}

i64 host_call(u32 number, const u64 *args, size_t count)
{
    struct host_memory *a = g_host_ops->area();

    for (size_t i = 0; i < count; i++)
        hostmem_store(a, offsetof(struct boundary_area, args) + 8 * i, args[i]);
    g_host_ops->call(number);
    return (i64)hostmem_load(a, offsetof(struct boundary_area, ret));
}

void host_put(u32 off, const void *src, size_t n)
{
    if (hostmem_write(data_at(off, n), src, n) != 0)
        host_lied("the area is gone");
}

void host_get(u32 off, void *dst, size_t n)
{
    if (hostmem_read(dst, data_at(off, n), n) != 0)
        host_lied("the area is gone");
}

u64 host_out(u32 index)
{
    return hostmem_load(g_host_ops->area(), offsetof(struct boundary_area, out) + 8ul * index);
}

u64 host_out_max(u32 index, u64 max, const char *what)
{
    u64 v = host_out(index);

    if (v > max)
        host_lied(what);
    speculation_barrier();
    return v;
}

/* Here passes each answer that says how much, which or whether: no instruction behind runs on one
 * that the check would refuse. */
i64 host_count(i64 r, u64 max)
{
    if (r < -ERRNO_MAX || (r >= 0 && (u64)r > max))
        host_lied("a count or errno out of range");
    speculation_barrier();
    return r;
}

int host_zero(i64 r)
{
    return (int)host_count(r, 0);
}

hostfd host_fd(i64 r)
{
    return (hostfd){(i32)host_count(r, INT32_MAX)};
}

ssize_t host_read(hostfd hfd, void *buf, size_t n, off_t off)
{
    size_t done = 0;

    do {
        size_t piece = MIN(n - done, (size_t)BOUNDARY_DATA_SIZE);
        i64 r = host_count(HOST_CALL(READ, hfd.n, piece, off < 0 ? (u64)-1 : (u64)off + done),
                           piece);

        if (r < 0)
            return done > 0 ? (ssize_t)done : r;
        host_get(0, (u8 *)buf + done, (size_t)r);
        done += (size_t)r;
        if ((size_t)r < piece)
            break;
    } while (done < n);
    return (ssize_t)done;
}

ssize_t host_write(hostfd hfd, const void *buf, size_t n, off_t off)
{
    size_t done = 0;

    do {
        size_t piece = MIN(n - done, (size_t)BOUNDARY_DATA_SIZE);
        i64 r;

        host_put(0, (const u8 *)buf + done, piece);
        r = host_count(HOST_CALL(WRITE, hfd.n, piece, off < 0 ? (u64)-1 : (u64)off + done), piece);
        if (r < 0)
            return done > 0 ? (ssize_t)done : r;
        done += (size_t)r;
        if ((size_t)r < piece)
            break;
    } while (done < n);
    return (ssize_t)done;
}

int host_close(hostfd hfd)
{
    return host_zero(HOST_CALL(CLOSE, hfd.n));
}

hostfd host_dup(hostfd hfd)
{
    return host_fd(HOST_CALL(DUP, hfd.n));
}

off_t host_lseek(hostfd hfd, off_t off, int whence)
{
    return host_count(HOST_CALL(LSEEK, hfd.n, (u64)off, whence), INT64_MAX);
}

int host_ioctl(hostfd hfd, u32 cmd, void *arg, size_t arg_size)
{
    i64 r;

    if (arg_size > 4096)
        return -EINVAL;
    if (arg != NULL)
        host_put(0, arg, arg_size);
    r = host_count(HOST_CALL(IOCTL, hfd.n, cmd, arg_size), INT32_MAX);
    if (r >= 0 && arg != NULL)
        host_get(0, arg, arg_size);
    return (int)r;
}

_Static_assert(sizeof(struct host_pollfd) == sizeof(struct boundary_pollfd),
               "the same three fields");
_Static_assert(sizeof(struct host_epoll_event) == sizeof(struct boundary_epoll_event), "and here");

#define POLL_MAX (BOUNDARY_DATA_SIZE / sizeof(struct boundary_pollfd))

static void get_revents(struct host_pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct boundary_pollfd p;

        host_get((u32)(i * sizeof(p)), &p, sizeof(p));
        fds[i].revents = p.revents;
    }
}

int host_poll(struct host_pollfd *fds, size_t count)
{
    int r;

    if (count > POLL_MAX)
        return -EINVAL;
    host_put(0, fds, count * sizeof(*fds));
    r = (int)host_count(HOST_CALL(POLL, count), count);
    if (r >= 0)
        get_revents(fds, count);
    return r;
}

i64 host_thread_wait(u64 timeout, struct host_pollfd *fds, size_t count)
{
    i64 r;

    if (count > POLL_MAX)
        return -EINVAL;
    if (count > 0)
        host_put(0, fds, count * sizeof(*fds));
    r = host_count(HOST_CALL(WAIT, timeout, count), count);
    if (count > 0)
        get_revents(fds, count);
    return r;
}

hostfd host_epoll_create(void)
{
    return host_fd(HOST_CALL(EPOLL_CREATE, 0));
}

int host_epoll_ctl(hostfd epfd, int op, hostfd hfd, u32 events, u32 data)
{
    return host_zero(HOST_CALL(EPOLL_CTL, epfd.n, op, hfd.n, events, data));
}

int host_epoll_wait(hostfd epfd, struct host_epoll_event *events, size_t count)
{
    int r;

    count = MIN(count, BOUNDARY_DATA_SIZE / sizeof(struct boundary_epoll_event));
    r = (int)host_count(HOST_CALL(EPOLL_WAIT, epfd.n, count), count);
    if (r > 0)
        host_get(0, events, (size_t)r * sizeof(*events));
    return r;
}

int host_fsync(hostfd hfd, bool data_only)
{
    return host_zero(HOST_CALL(FSYNC, hfd.n, data_only));
}

int host_ftruncate(hostfd hfd, u64 size)
{
    return host_zero(HOST_CALL(FTRUNCATE, hfd.n, size));
}

static u64 lock_length(u64 start, u64 end)
{
    return end >= INT64_MAX ? 0 : end - start + 1;
}

int host_lock(hostfd hfd, bool whole, int type, u64 start, u64 end)
{
    return host_zero(HOST_CALL(LOCK, hfd.n, whole ? BOUNDARY_LOCK_FILE : BOUNDARY_LOCK_RANGE, type,
                               start, lock_length(start, end)));
}

int host_lock_test(hostfd hfd, bool *write, u64 *start, u64 *end)
{
    int r = host_zero(HOST_CALL(LOCK, hfd.n, BOUNDARY_LOCK_TEST, *write ? F_WRLCK : F_RDLCK, *start,
                                lock_length(*start, *end)));
    u64 type = host_out(0), at = host_out(1), length = host_out(2);

    if (r < 0 || type == F_UNLCK)
        return r;
    if ((type != F_RDLCK && type != F_WRLCK) || at > INT64_MAX || length > INT64_MAX - at)
        host_lied("lock");
    *write = type == F_WRLCK;
    *start = at;
    *end = length ? at + length - 1 : INT64_MAX;
    return 1;
}

int host_fallocate(hostfd hfd, int mode, u64 off, u64 n)
{
    return host_zero(HOST_CALL(FALLOCATE, hfd.n, mode, off, n));
}
