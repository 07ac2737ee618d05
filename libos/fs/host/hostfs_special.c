/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FIFOs and UNIX sockets in pass-through mounts: both are the host's, so that programs outside meet
 * those of the enclave there. A FIFO is opened without waiting, and the other side waited for here.
 * A socket's file is opened for its place alone (O_PATH): net/unix_host.c connects by it.
 */
#include "hostfs.h"

#define MS         1000000ull
#define PAUSE_MOST (64 * MS)

int host_pause(struct host_pollfd *p, u64 *pause, u64 deadline)
{
    u64 now = clock_monotonic();
    int r;

    if (deadline != NO_DEADLINE && now >= deadline)
        return -ETIMEDOUT;
    *pause = *pause ? MIN(*pause * 2, PAUSE_MOST) : MS;
    r = thread_wait(MIN(now + *pause, deadline), true, p, p ? 1 : 0);
    return r < 0 && r != -ETIMEDOUT ? r : 0;
}

hostfd hostfs_place_open(struct inode *i)
{
    hostfd fd = host_open_inode(host_of(i), O_PATH, NULL);

    return fd.n == -ENOTDIR || fd.n == -ELOOP ? no_hostfd(-ESTALE) : fd;
}

/*
 * Until somebody writes, or did. Linux tells a reader of a pipe without a writer by its end, so a
 * byte is asked for; one that comes just then is kept for the program.
 */
static int wait_for_writer(hostfd fd, struct file *f)
{
    u64 pause = 0;
    int r = 0;

    while (r == 0) {
        struct host_pollfd p = {.hfd = fd, .events = POLL_IN};
        u8 byte;

        if (host_poll(&p, 1) > 0 && (p.revents & (POLL_IN | POLL_HUP)))
            return 0;
        r = (int)host_read(fd, &byte, 1, -1);
        if (r > 0)
            host_stream_keep(f, byte);
        if (r != 0)
            return r == -EAGAIN ? 0 : MIN(r, 0);
        r = host_pause(&p, &pause, NO_DEADLINE);
    }
    return -ERESTARTSYS;
}

/* Until somebody reads. */
static hostfd wait_for_reader(struct host_inode *h)
{
    u64 pause = 0;
    hostfd fd;
    int r = 0;

    while ((fd = host_open_inode(h, O_WRONLY | O_NONBLOCK, NULL)).n == -ENXIO && r == 0)
        r = host_pause(NULL, &pause, NO_DEADLINE);
    return fd.n == -ENXIO ? no_hostfd(-ERESTARTSYS) : fd;
}

int host_fifo_open(struct inode *i, struct file *f)
{
    u32 access = f->flags & O_ACCMODE;
    bool wait = !(f->flags & O_NONBLOCK);
    hostfd fd;
    int r;

    if (wait && access == O_WRONLY)
        fd = wait_for_reader(host_of(i));
    else
        fd = host_open_inode(host_of(i), (int)access | O_NONBLOCK, NULL);
    if (!hostfd_ok(fd))
        return fd.n == -ENOENT || fd.n == -ENOTDIR || fd.n == -ELOOP ? -ESTALE : fd.n;
    r = host_stream_attach(f, fd);
    if (r == 0 && wait && access == O_RDONLY) {
        r = wait_for_writer(fd, f);
        if (r < 0)
            f->ops->release(f);
    }
    return r;
}
