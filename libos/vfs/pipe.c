/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes and FIFOs: a ring in enclave memory, made at the first write. */
#include "vfs.h"

#define PIPE_SIZE_DEFAULT 65536u
#define PIPE_SIZE_SHORT   8192u /* of who has too many */
#define PIPE_ATOMIC       4096u /* PIPE_BUF */
#define SIGPIPE           13
#define FIONREAD_CMD      0x541b

/* /proc/sys/fs/pipe-max-size; and pipe-user-pages-soft, of all users together. */
static u32 g_size_max = 1u << 20;
static u32 g_pages; /* atomic: what the pipes may hold */

/* What one write with O_DIRECT (pipe(2)) made: a read takes it alone, and all of it. */
struct packet {
    struct packet *next;
    u64 at; /* where in the stream */
    u32 size;
};

struct pipe {
    struct inode i; /* of an anonymous pipe; a FIFO has its own */
    struct mutex lock;
    u8 *buf;
    u32 size, head, used; /* head: next byte to read; size is a power of two */
    u64 read_at;          /* bytes read so far */
    struct packet *packets, **packets_end;
    u32 readers, writers;
    u32 opened_read, opened_write; /* ever: what a blocked open of a FIFO waits for */
    struct waitq read_queue, write_queue;
};

u32 pipe_size_max(void)
{
    return __atomic_load_n(&g_size_max, __ATOMIC_RELAXED);
}

static u32 round_size(u64 size)
{
    u32 r = PAGE_SIZE;

    while (r < size)
        r *= 2;
    return r;
}

int pipe_set_size_max(u64 size)
{
    if (size == 0 || size > 1ull << 30)
        return -EINVAL;
    __atomic_store_n(&g_size_max, round_size(size), __ATOMIC_RELAXED);
    return 0;
}

static bool may_have_more(void)
{
    return __atomic_load_n(&g_pages, __ATOMIC_RELAXED) <= PIPE_PAGES_SOFT ||
           fs_capable(CAP_SYS_RESOURCE) || fs_capable(CAP_SYS_ADMIN);
}

static void set_size(struct pipe *p, u32 size)
{
    __atomic_add_fetch(&g_pages, size / PAGE_SIZE - p->size / PAGE_SIZE, __ATOMIC_RELAXED);
    p->size = size;
}

static void drop_packet(struct pipe *p)
{
    struct packet *k = p->packets;

    p->packets = k->next;
    if (!p->packets)
        p->packets_end = &p->packets;
    kfree(k);
}

static void pipe_free(struct pipe *p)
{
    __atomic_sub_fetch(&g_pages, p->size / PAGE_SIZE, __ATOMIC_RELAXED);
    while (p->packets)
        drop_packet(p);
    if (p->buf)
        page_free(p->buf, p->size / PAGE_SIZE);
    kfree(p);
}

static void pipe_inode_destroy(struct inode *i)
{
    pipe_free(container_of(i, struct pipe, i));
}

static int pipe_reopen(struct inode *i, struct file *f);
static struct super g_pipe_super = {.type = "pipefs", .dev = 0xd, .magic = 0x50495045};
static const struct inode_ops g_pipe_inode_ops = {.open = pipe_reopen,
                                                  .destroy = pipe_inode_destroy};

static struct pipe *pipe_new(void)
{
    struct pipe *p = kzalloc(sizeof(*p));

    if (!p)
        return NULL;
    inode_init(&p->i, &g_pipe_super, &g_pipe_inode_ops, S_IFIFO | 0600);
    p->i.uid = fs_uid();
    p->i.gid = fs_gid();
    p->packets_end = &p->packets;
    __atomic_add_fetch(&g_pages, PIPE_SIZE_DEFAULT / PAGE_SIZE, __ATOMIC_RELAXED);
    p->size = PIPE_SIZE_DEFAULT;
    if (!fs_capable(CAP_SYS_RESOURCE))
        set_size(p, MIN(PIPE_SIZE_DEFAULT, pipe_size_max()));
    if (!may_have_more())
        set_size(p, MIN(PIPE_SIZE_SHORT, p->size));
    waitq_init(&p->read_queue);
    waitq_init(&p->write_queue);
    return p;
}

/* The state was changed under p->lock before: a waiter is in the queue before it looks at the
 * state, so this cannot miss it. */
static inline void wake(struct waitq *q)
{
    waitq_wake(q, UINT32_MAX);
}

/* ---- ring; p->lock held ---- */

static void ring_skip(struct pipe *p, u32 n)
{
    p->head = (p->head + n) & (p->size - 1);
    p->used -= n;
    p->read_at += n;
}

static ssize_t ring_read(struct pipe *p, struct uio *io, size_t n)
{
    ssize_t done = 0;

    n = MIN(n, (size_t)p->used);
    while (n) {
        u32 part = (u32)MIN(n, (size_t)(p->size - p->head));
        ssize_t r = uio_to(io, p->buf + p->head, part);

        if (r <= 0)
            return done ? done : r;
        ring_skip(p, (u32)r);
        done += r;
        n -= (size_t)r;
        if ((u32)r < part)
            break;
    }
    if (p->used == 0)
        p->head = 0; /* stay in the same cache lines */
    return done;
}

/* Up to the next packet, or that packet: what of it finds no room is lost. */
static ssize_t read_some(struct pipe *p, struct uio *io)
{
    struct packet *k = p->packets;
    u64 end;
    ssize_t r;

    if (!k)
        return ring_read(p, io, io->left);
    if (k->at > p->read_at)
        return ring_read(p, io, MIN(io->left, (size_t)(k->at - p->read_at)));
    end = k->at + k->size;
    r = ring_read(p, io, MIN(io->left, (size_t)k->size));
    if (r < 0)
        return r;
    ring_skip(p, (u32)(end - p->read_at));
    drop_packet(p);
    if (p->used == 0)
        p->head = 0;
    return r;
}

static ssize_t ring_write(struct pipe *p, struct uio *io, size_t n)
{
    ssize_t done = 0;

    while (n) {
        u32 tail = (p->head + p->used) & (p->size - 1);
        u32 part = (u32)MIN(n, (size_t)(p->size - tail));
        ssize_t r = uio_from(io, p->buf + tail, part);

        if (r <= 0)
            return done ? done : r;
        p->used += (u32)r;
        done += r;
        n -= (size_t)r;
        if ((u32)r < part)
            break;
    }
    return done;
}

/* ---- file operations ---- */

/* Until there is something to read, be it the end of the data. */
static int wait_readable(struct pipe *p)
{
    int r = wait_event(&p->read_queue,
                       __atomic_load_n(&p->used, __ATOMIC_ACQUIRE) ||
                           !__atomic_load_n(&p->writers, __ATOMIC_ACQUIRE),
                       NO_DEADLINE);

    return r < 0 ? -ERESTARTSYS : 0;
}

static ssize_t pipe_read(struct file *f, struct uio *io, u64 *pos)
{
    struct pipe *p = f->private;
    ssize_t r;

    if (!io->left)
        return 0;
    for (;;) {
        mutex_lock(&p->lock);
        if (p->used) {
            r = read_some(p, io);
            mutex_unlock(&p->lock);
            wake(&p->write_queue);
            return r;
        }
        r = !p->writers ? 0 : f->flags & O_NONBLOCK ? -EAGAIN : 1;
        mutex_unlock(&p->lock);
        if (r <= 0)
            return r;
        r = wait_readable(p);
        if (r < 0)
            return r;
    }
}

static ssize_t broken_pipe(void)
{
    thread_raise(THREAD_SIGPIPE);
    return -EPIPE;
}

static int ring_allocate(struct pipe *p)
{
    if (!p->buf)
        p->buf = page_alloc(p->size / PAGE_SIZE);
    return p->buf ? 0 : -ENOMEM;
}

/* One packet into a ring that has room for it. */
static ssize_t write_packet(struct pipe *p, struct uio *io)
{
    struct packet *k = kmalloc(sizeof(*k));
    ssize_t r;

    if (!k)
        return -ENOMEM;
    k->next = NULL;
    k->at = p->read_at + p->used;
    r = ring_write(p, io, MIN(io->left, (size_t)PIPE_ATOMIC));
    if (r <= 0) {
        kfree(k);
        return r;
    }
    k->size = (u32)r;
    *p->packets_end = k;
    p->packets_end = &k->next;
    return r;
}

/* Bytes that have to find room together. */
static u32 write_need(bool packets, const struct uio *io)
{
    if (packets)
        return (u32)MIN(io->left, (size_t)PIPE_ATOMIC);
    return io->left > PIPE_ATOMIC ? 1 : (u32)io->left; /* need not be atomic: as it fits */
}

static ssize_t pipe_write(struct file *f, struct uio *io, u64 *pos)
{
    struct pipe *p = f->private;
    ssize_t done = 0, r = 0;
    /* Once: F_SETFL of another thread must not come between what is needed and what is written. */
    const bool packets = (f->flags & O_DIRECT) != 0;
    u32 need = write_need(packets, io);

    while (io->left) {
        if (packets)
            need = write_need(packets, io);
        mutex_lock(&p->lock);
        r = !p->readers ? -EPIPE : ring_allocate(p);
        if (r == 0 && p->size - p->used >= need) {
            r = packets ? write_packet(p, io)
                        : ring_write(p, io, MIN(io->left, (size_t)(p->size - p->used)));
            mutex_unlock(&p->lock);
            waitq_wake_data(&p->read_queue);
            if (r <= 0)
                break;
            done += r;
            continue;
        }
        mutex_unlock(&p->lock);
        if (r == -EPIPE)
            return done ? done : broken_pipe();
        if (r == 0 && (f->flags & O_NONBLOCK))
            r = -EAGAIN;
        if (r < 0)
            break;
        r = wait_event(&p->write_queue,
                       !__atomic_load_n(&p->readers, __ATOMIC_ACQUIRE) ||
                           p->size - __atomic_load_n(&p->used, __ATOMIC_ACQUIRE) >= need,
                       NO_DEADLINE);
        if (r < 0) {
            r = -ERESTARTSYS;
            break;
        }
    }
    return done ? done : r;
}

static u32 pipe_poll(struct file *f, struct poll_table *pt)
{
    struct pipe *p = f->private;
    u32 events = 0, access = f->flags & O_ACCMODE;

    if (pt && access != O_WRONLY)
        poll_wait(pt, &p->read_queue);
    if (pt && access != O_RDONLY)
        poll_wait(pt, &p->write_queue);
    mutex_lock(&p->lock);
    if (access != O_WRONLY) {
        if (p->used)
            events |= POLL_IN | POLL_RDNORM;
        if (!p->writers && p->opened_write)
            events |= POLL_HUP;
    }
    if (access != O_RDONLY) {
        if (p->size - p->used >= PIPE_ATOMIC)
            events |= POLL_OUT | POLL_WRNORM;
        if (!p->readers)
            events |= POLL_ERR;
    }
    mutex_unlock(&p->lock);
    return events;
}

static long pipe_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct pipe *p = f->private;

    if (cmd != FIONREAD_CMD)
        return -ENOTTY;
    return put_user((i32)__atomic_load_n(&p->used, __ATOMIC_RELAXED), user_at(arg));
}

static void pipe_count(struct pipe *p, u32 flags, int by)
{
    u32 access = flags & O_ACCMODE;

    if (access != O_WRONLY) {
        p->readers += (u32)by;
        p->opened_read += by > 0;
    }
    if (access != O_RDONLY) {
        p->writers += (u32)by;
        p->opened_write += by > 0;
    }
}

static void pipe_release(struct file *f)
{
    struct pipe *p = f->private;

    mutex_lock(&p->lock);
    pipe_count(p, f->flags, -1);
    if (!p->readers && !p->writers) { /* a FIFO forgets what nobody read */
        ring_skip(p, p->used);
        while (p->packets)
            drop_packet(p);
        p->head = 0;
        p->opened_write = p->opened_read = 0;
    }
    mutex_unlock(&p->lock);
    wake(&p->read_queue);
    wake(&p->write_queue);
}

static const struct file_ops g_pipe_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .release = pipe_release,
};

bool file_is_pipe(struct file *f)
{
    return f->ops == &g_pipe_ops;
}

static struct file *pipe_end(struct pipe *p, u32 flags)
{
    struct file *f = file_alloc(&g_pipe_ops, flags);

    if (!f)
        return NULL;
    f->private = p;
    f->inode = inode_get(&p->i);
    f->kind = "pipe";
    f->id = p->i.ino;
    pipe_count(p, flags, 1);
    return f;
}

int pipe_create(struct file **r, struct file **w, u32 flags)
{
    struct pipe *p = pipe_new();

    if (!p)
        return -ENOMEM;
    p->i.ino = file_new_id();
    *r = pipe_end(p, O_RDONLY | (flags & O_NONBLOCK));
    *w = *r ? pipe_end(p, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT))) : NULL;
    if (*r && !*w)
        file_put(*r);
    inode_put(&p->i);
    return *w ? 0 : -ENFILE;
}

/* ---- opening by name ---- */

static int pipe_attach(struct pipe *p, struct file *f, bool wait)
{
    u32 access = f->flags & O_ACCMODE, seen;
    int r = 0;

    mutex_lock(&p->lock);
    if (access == O_WRONLY && (f->flags & O_NONBLOCK) && !p->readers) {
        mutex_unlock(&p->lock);
        return -ENXIO;
    }
    pipe_count(p, f->flags, 1);
    seen = access == O_RDONLY ? p->opened_write : p->opened_read;
    wait = wait && !(f->flags & O_NONBLOCK) &&
           ((access == O_RDONLY && !p->writers) || (access == O_WRONLY && !p->readers));
    mutex_unlock(&p->lock);
    wake(&p->read_queue);
    wake(&p->write_queue);
    if (wait && access == O_RDONLY)
        r = wait_event(&p->read_queue, __atomic_load_n(&p->opened_write, __ATOMIC_ACQUIRE) != seen,
                       NO_DEADLINE);
    else if (wait)
        r = wait_event(&p->write_queue, __atomic_load_n(&p->opened_read, __ATOMIC_ACQUIRE) != seen,
                       NO_DEADLINE);
    f->private = p;
    if (r < 0) {
        pipe_release(f);
        return -ERESTARTSYS;
    }
    f->ops = &g_pipe_ops;
    return 0;
}

static int pipe_reopen(struct inode *i, struct file *f)
{
    /* Through /proc/self/fd: unlike a FIFO it never waits for the other side. */
    return pipe_attach(container_of(i, struct pipe, i), f, false);
}

int fifo_open(struct inode *i, struct file *f)
{
    struct pipe *p;

    mutex_lock(&i->lock);
    if (!i->bound)
        i->bound = pipe_new();
    p = i->bound;
    mutex_unlock(&i->lock);
    return p ? pipe_attach(p, f, true) : -ENOMEM;
}

void fifo_destroy(struct inode *i)
{
    if (i->bound)
        pipe_free(i->bound);
}

/* ---- F_SETPIPE_SZ, F_GETPIPE_SZ ---- */

#define F_SETPIPE_SZ_CMD 1031

long pipe_fcntl(struct file *f, u32 cmd, long arg)
{
    struct pipe *p = f->private;
    u32 size;
    u8 *buf;
    long r;

    if (!file_is_pipe(f))
        return -EBADF;
    if (cmd != F_SETPIPE_SZ_CMD)
        return p->size;
    if (arg < 0 || arg > (1l << 30))
        return -EINVAL;
    size = round_size((u64)arg);
    if (size > pipe_size_max() && !fs_capable(CAP_SYS_RESOURCE))
        return -EPERM;
    if (size > p->size && !may_have_more())
        return -EPERM;
    buf = page_alloc(size / PAGE_SIZE);
    if (!buf)
        return -ENOMEM;
    mutex_lock(&p->lock);
    if (p->used > size) {
        r = -EBUSY;
        page_free(buf, size / PAGE_SIZE);
    } else {
        for (u32 k = 0; k < p->used; k++)
            buf[k] = p->buf[(p->head + k) & (p->size - 1)];
        if (p->buf)
            page_free(p->buf, p->size / PAGE_SIZE);
        p->buf = buf;
        p->head = 0;
        set_size(p, size);
        r = size;
    }
    mutex_unlock(&p->lock);
    wake(&p->write_queue);
    return r;
}

size_t pipe_room(struct file *f)
{
    struct pipe *p = f->private;
    size_t room;

    mutex_lock(&p->lock);
    room = p->readers ? p->size - p->used : 1;
    mutex_unlock(&p->lock);
    return room;
}

bool pipe_is_same(struct file *a, struct file *b)
{
    return file_is_pipe(a) && file_is_pipe(b) && a->private == b->private;
}

/* What `in` holds, copied into `out`, left in `in`. */
ssize_t pipe_tee(struct file *in, struct file *out, size_t n, bool nonblock)
{
    struct pipe *p = in->private;
    ssize_t r = 0;
    u8 *buf;

    if ((in->flags & O_ACCMODE) == O_WRONLY || (out->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    while (!__atomic_load_n(&p->used, __ATOMIC_ACQUIRE)) {
        if (!__atomic_load_n(&p->writers, __ATOMIC_ACQUIRE))
            return 0;
        if (nonblock || (in->flags & O_NONBLOCK))
            return -EAGAIN;
        r = wait_readable(p);
        if (r < 0)
            return r;
    }
    mutex_lock(&p->lock);
    n = MIN(n, (size_t)p->used);
    buf = kmalloc(n ? n : 1);
    if (!buf) {
        mutex_unlock(&p->lock);
        return -ENOMEM;
    }
    for (size_t k = 0; k < n; k++)
        buf[k] = p->buf[(p->head + k) & (p->size - 1)];
    mutex_unlock(&p->lock);
    if (n)
        r = file_write_kernel(out, buf, n, NULL);
    kfree(buf);
    return r;
}

/* ---- system calls ---- */

long sys_pipe2(uaddr user_fds, int flags)
{
    struct file *r, *w;
    i32 fds[2];
    int err;

    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    err = pipe_create(&r, &w, (u32)flags);
    if (err < 0)
        return err;
    fds[0] = fd_install(r, (flags & O_CLOEXEC) != 0);
    if (fds[0] < 0) {
        file_put(w);
        return fds[0];
    }
    fds[1] = fd_install(w, (flags & O_CLOEXEC) != 0);
    if (fds[1] < 0) {
        fd_close(fds[0]);
        return fds[1];
    }
    if (copy_to_user(user_fds, fds, sizeof(fds)) < 0) {
        fd_close(fds[0]);
        fd_close(fds[1]);
        return -EFAULT;
    }
    return 0;
}

long sys_pipe(uaddr fds)
{
    return sys_pipe2(fds, 0);
}
