/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of the host as files: standard input and output of what the host started. They are
 * terminals (with our own job control on top), pipes, sockets or regular files; what comes from
 * them is untrusted.
 */
#include "deployment.h"
#include "tty.h"

#include <asm/ioctls.h>

#define SIG_TTIN 21
#define SIG_TTOU 22
#define CHUNK    (64u << 10)
#define DEV_NULL TTY_DEV(1, 3)

struct host_stream {
    struct inode i; /* its references are the stream's */
    hostfd hfd;
    bool positioned;        /* regular file */
    bool has_kept;          /* read already, but not by the program: atomic */
    bool no_read, no_write; /* the policy keeps this way from the host */
    u8 kept;
    bool is_terminal;
    u32 index; /* of the terminal */
    /* Alive for open files, which hold it; for all else stream_tty(). NULL: none, or no more. */
    struct tty *tty;
};

/* A terminal may control a session, and be opened by its name, when all of its files are closed: it
 * keeps the stream. */
struct host_tty {
    struct tty t;
    struct host_stream *stream; /* a reference */
};

static struct host_tty *g_console; /* under g_tty_lock */

static void uio_skip(struct uio *io, size_t n)
{
    io->left -= n;
    while (n) {
        size_t piece = MIN(n, io->segments->size - io->offset);

        io->offset += piece;
        n -= piece;
        if (io->offset == io->segments->size && io->count > 1) {
            io->segments++;
            io->count--;
            io->offset = 0;
        }
    }
}

static ssize_t host_transfer(struct file *f, struct uio *io, bool write)
{
    struct host_stream *h = f->private;
    size_t room = MIN(io->left, (size_t)CHUNK);
    u8 small[1024], *buf = room <= sizeof(small) ? small : kmalloc(room);
    ssize_t done = 0, r = 0;

    if (!buf)
        return -ENOMEM;
    while (io->left) {
        size_t n = MIN(io->left, room);

        if (write) {
            struct uio saved = *io;

            r = uio_from(io, buf, n);
            if (r <= 0)
                break;
            n = (size_t)r;
            r = host_write(h->hfd, buf, n, -1);
            if (r < (ssize_t)n) { /* take back what was not written */
                *io = saved;
                uio_skip(io, r > 0 ? (size_t)r : 0);
            }
        } else {
            r = host_read(h->hfd, buf, n, -1);
            if (r > 0)
                r = uio_to(io, buf, (size_t)r);
        }
        if (r == -EAGAIN && !done && !(f->flags & O_NONBLOCK)) {
            r = file_wait(f, write ? POLL_OUT : POLL_IN, NO_DEADLINE);
            if (r < 0)
                break;
            continue;
        }
        if (r == -EAGAIN && write && done && !(f->flags & O_NONBLOCK)) {
            r = file_wait(f, POLL_OUT, NO_DEADLINE);
            if (r < 0)
                break;
            continue;
        }
        if (r <= 0)
            break;
        done += r;
        if (!write)
            break; /* one read's worth */
    }
    if (buf != small)
        kfree(buf);
    return done ? done : r;
}

void host_stream_keep(struct file *f, u8 byte)
{
    struct host_stream *h = f->private;

    h->kept = byte;
    __atomic_store_n(&h->has_kept, true, __ATOMIC_RELEASE);
}

static ssize_t host_stream_read(struct file *f, struct uio *io, u64 *pos)
{
    struct host_stream *h = f->private;

    if (unlikely(h->has_kept) && io->left &&
        __atomic_exchange_n(&h->has_kept, false, __ATOMIC_ACQUIRE))
        return uio_to(io, &h->kept, 1);

    if (h->tty) {
        int r = tty_check(h->tty, SIG_TTIN);

        if (r < 0)
            return r;
    }
    return host_transfer(f, io, false);
}

/* TOSTOP is the host terminal's setting: asked only when the caller is in the background. */
static int check_output(struct host_stream *h)
{
    struct process *p = fs_process();
    struct termios t;

    if (!p || !p->session || p->session->tty != h->tty || p->session->foreground == p->pgid)
        return 0;
    if (host_ioctl(h->hfd, TCGETS, &t, sizeof(t)) < 0 || !(t.c_lflag & TOSTOP))
        return 0;
    return tty_check(h->tty, SIG_TTOU);
}

static ssize_t host_stream_write(struct file *f, struct uio *io, u64 *pos)
{
    struct host_stream *h = f->private;
    ssize_t r;

    if (h->tty) {
        r = check_output(h);
        if (r < 0)
            return r;
    }
    r = host_transfer(f, io, true);
    if (r == -EPIPE)
        signal_send_thread(current(), &(struct siginfo_k){.signo = 13, .code = 0x80});
    return r;
}

static i64 host_stream_seek(struct file *f, i64 off, int whence)
{
    struct host_stream *h = f->private;

    return h->positioned ? host_lseek(h->hfd, off, whence) : -ESPIPE;
}

static u32 host_stream_poll(struct file *f, struct poll_table *pt)
{
    struct host_stream *h = f->private;

    if (h->positioned)
        return POLL_IN | POLL_OUT | POLL_RDNORM | POLL_WRNORM;
    return poll_host(pt, h->hfd, POLL_IN | POLL_OUT) |
           (unlikely(h->has_kept) ? POLL_IN | POLL_RDNORM : 0);
}

/* Requests that go to the host, and the size of their argument. */
static const struct host_request {
    u32 cmd;
    u16 size;
    bool changes;
} g_host_requests[] = {
    {TCGETS, sizeof(struct termios), false},
    {TCSETS, sizeof(struct termios), true},
    {TCSETSW, sizeof(struct termios), true},
    {TCSETSF, sizeof(struct termios), true},
    {TCGETS2, sizeof(struct termios2), false},
    {TCSETS2, sizeof(struct termios2), true},
    {TCSETSW2, sizeof(struct termios2), true},
    {TCSETSF2, sizeof(struct termios2), true},
    {TIOCGWINSZ, 8, false},
    {TIOCSWINSZ, 8, true},
    {FIONREAD, 4, false},
    {TIOCOUTQ, 4, false},
};

static long host_stream_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct host_stream *h = f->private;
    u8 buf[64];
    long r;

    if (h->tty) {
        r = tty_ioctl(h->tty, f, cmd, arg);
        if (r != -ENOIOCTLCMD)
            return r;
    }
    for (size_t k = 0; k < ARRAY_SIZE(g_host_requests); k++) {
        const struct host_request *q = &g_host_requests[k];

        if (q->cmd != cmd)
            continue;
        if (!h->tty && cmd != FIONREAD)
            return -ENOTTY;
        if (q->changes && h->tty) {
            r = tty_check(h->tty, SIG_TTOU);
            if (r < 0)
                return r;
        }
        memset(buf, 0, sizeof(buf));
        if (q->changes && copy_from_user(buf, user_at(arg), q->size) < 0)
            return -EFAULT;
        r = host_ioctl(h->hfd, cmd, buf, q->size);
        if (r < 0)
            return r;
        return q->changes ? 0 : copy_to_user(user_at(arg), buf, q->size);
    }
    if (h->tty && (cmd == TCSBRK || cmd == TCXONC || cmd == TCFLSH)) /* the argument is a number */
        return host_ioctl(h->hfd, cmd, NULL, (size_t)arg);
    return -ENOTTY;
}

static int host_stream_fsync(struct file *f, bool data_only)
{
    struct host_stream *h = f->private;

    return h->positioned ? host_fsync(h->hfd, data_only) : -EINVAL;
}

static void host_stream_release(struct file *f)
{
    struct host_stream *h = f->private;

    tty_put(h->tty);
    inode_put(&h->i);
}

static const struct file_ops g_stream_ops = {
    .read = host_stream_read,
    .write = host_stream_write,
    .poll = host_stream_poll,
    .ioctl = host_stream_ioctl,
    .fsync = host_stream_fsync,
    .release = host_stream_release,
};
static const struct file_ops g_positioned_ops = {
    .read = host_stream_read,
    .write = host_stream_write,
    .seek = host_stream_seek,
    .poll = host_stream_poll,
    .ioctl = host_stream_ioctl,
    .fsync = host_stream_fsync,
    .release = host_stream_release,
};

/* The terminal that the stream is of, +1; NULL: it is none, or its end is near. */
static struct tty *stream_tty(struct host_stream *h)
{
    struct tty *t = h->is_terminal ? tty_by_index(h->index) : NULL;

    if (t && t != __atomic_load_n(&h->tty, __ATOMIC_ACQUIRE)) {
        tty_put(t);
        t = NULL;
    }
    return t;
}

static int host_stream_getattr(struct inode *i, struct kstat *st)
{
    struct host_stream *h = container_of(i, struct host_stream, i);
    struct tty *t = stream_tty(h);
    struct host_stat hs;

    *st = (struct kstat){
        .dev = t ? 0x17 : 0xd,
        .ino = t ? t->index + 3 : i->ino,
        .mode = t ? S_IFCHR | t->mode : i->mode,
        .nlink = 1,
        .uid = t ? t->uid : i->uid,
        .gid = t ? t->gid : i->gid,
        .rdev = t ? TTY_DEV(TTY_MAJOR_PTS, t->index) : i->rdev,
        .blksize = PAGE_SIZE,
        .atime = i->atime,
        .mtime = i->mtime,
        .ctime = i->ctime,
        .btime = i->ctime,
    };
    tty_put(t);
    if (h->positioned && host_stat(h->hfd, "", true, &hs) == 0) {
        st->size = hs.size;
        st->blocks = hs.blocks;
    }
    return 0;
}

static int host_stream_setattr(struct inode *i, const struct setattr *a)
{
    struct host_stream *h = container_of(i, struct host_stream, i);
    struct tty *t;

    if (a->valid & SETATTR_SIZE)
        return h->positioned ? host_ftruncate(h->hfd, a->size) : -EINVAL;
    t = stream_tty(h);
    if (!t) {
        setattr_copy(i, a);
        return 0;
    }
    tty_setattr(t, a);
    tty_put(t);
    return 0;
}

static int host_stream_reopen(struct inode *i, struct file *f)
{
    struct host_stream *h = container_of(i, struct host_stream, i);
    u32 access = f->flags & O_ACCMODE;

    if ((access != O_WRONLY && h->no_read) || (access != O_RDONLY && h->no_write))
        return -EACCES;
    if (h->is_terminal && !stream_tty(h)) /* the file's reference */
        return -EIO;
    inode_get(i);
    f->ops = h->positioned ? &g_positioned_ops : &g_stream_ops;
    f->private = h;
    f->host_fd = h->hfd;
    return 0;
}

static void host_stream_destroy(struct inode *i)
{
    struct host_stream *h = container_of(i, struct host_stream, i);

    host_close(h->hfd);
    kfree(h);
}

static struct super g_host_super = {.type = "hostio", .dev = 0xd, .magic = 0x50495045};
static const struct inode_ops g_host_stream_inode_ops = {
    .getattr = host_stream_getattr,
    .setattr = host_stream_setattr,
    .open = host_stream_reopen,
    .destroy = host_stream_destroy,
};

static struct host_stream *stream_new(hostfd hfd)
{
    struct host_stream *h = kzalloc(sizeof(*h));
    struct host_stat hs = {.mode = S_IFIFO | 0600};

    if (!h)
        return NULL;
    host_stat(hfd, "", true, &hs); /* only its type matters; a wrong one gives errors, no more */
    inode_init(&h->i, &g_host_super, &g_host_stream_inode_ops, (hs.mode & S_IFMT) | 0600);
    h->i.ino = file_new_id();
    h->i.rdev = S_ISCHR(hs.mode) ? hs.rdev : 0;
    h->hfd = hfd;
    h->positioned = S_ISREG(hs.mode);
    return h;
}

int host_stream_attach(struct file *f, hostfd hfd)
{
    struct host_stream *h = stream_new(hfd);

    if (!h) {
        host_close(hfd);
        return -ENOMEM;
    }
    f->private = h; /* its reference goes with ops->release */
    f->host_fd = hfd;
    f->ops = h->positioned ? &g_positioned_ops : &g_stream_ops;
    f->kind = "pipe";
    return 0;
}

static struct file *stream_file(struct host_stream *h, u32 flags)
{
    struct file *f = file_alloc(h->positioned ? &g_positioned_ops : &g_stream_ops, flags);

    if (!f)
        return NULL;
    f->private = h;
    inode_get(&h->i); /* released by ops->release, as the terminal is */
    if (h->tty)
        tty_get(h->tty);
    f->inode = inode_get(&h->i);
    f->host_fd = h->hfd;
    f->kind = S_ISSOCK(h->i.mode) ? "socket" : "pipe";
    f->id = h->i.ino;
    if (S_ISREG(h->i.mode) && (flags & O_ACCMODE) != O_RDONLY)
        f->counts_writer = ++h->i.writers > 0;
    return f;
}

/* ---- terminals ---- */

static int host_tty_open(struct tty *t, struct file *f)
{
    struct host_tty *h = container_of(t, struct host_tty, t);

    inode_get(&h->stream->i);
    tty_get(t);
    f->ops = &g_stream_ops;
    f->private = h->stream;
    f->host_fd = h->stream->hfd;
    return 0;
}

static void host_tty_destroy(struct tty *t)
{
    struct host_tty *h = container_of(t, struct host_tty, t);

    mutex_lock(&g_tty_lock);
    if (g_console == h)
        g_console = NULL;
    mutex_unlock(&g_tty_lock);
    __atomic_store_n(&h->stream->tty, NULL, __ATOMIC_RELEASE);
    inode_put(&h->stream->i);
    kfree(h);
}

static bool is_host_terminal(hostfd hfd)
{
    struct termios t;

    return host_ioctl(hfd, TCGETS, &t, sizeof(t)) >= 0;
}

/* h->tty, whose reference is the caller's. */
static int make_tty(struct host_stream *h, bool host_keys)
{
    struct host_tty *t = kzalloc(sizeof(*t));
    int r;

    if (!t)
        return -ENOMEM;
    ref_init(&t->t.refs);
    t->t.open = host_tty_open;
    t->t.destroy = host_tty_destroy;
    t->t.mode = 0620;
    t->t.gid = 5;
    t->t.host_keys = host_keys;
    t->stream = h;
    r = tty_register(&t->t);
    if (r < 0) {
        kfree(t);
        return r;
    }
    inode_get(&h->i); /* the terminal's */
    h->tty = &t->t;
    h->is_terminal = true;
    h->index = t->t.index;
    h->i.mode = S_IFCHR | 0620;
    mutex_lock(&g_tty_lock);
    if (!g_console)
        g_console = t;
    mutex_unlock(&g_tty_lock);
    return 0;
}

struct tty *host_console(void)
{
    struct tty *t;

    mutex_lock(&g_tty_lock);
    t = g_console && ref_get_live(&g_console->t.refs) ? &g_console->t : NULL;
    mutex_unlock(&g_tty_lock);
    return t;
}

/* A file on a terminal gets the name of its node, so that ttyname(3) finds it. */
static void name_tty(struct file *f, struct host_stream *h)
{
    char path[32];
    struct dentry *d;

    snprintf(path, sizeof(path), "/dev/pts/%u", h->tty->index);
    if (path_lookup(AT_FDCWD, path, 0, &d) < 0)
        return;
    if (S_ISCHR(d->inode->mode)) { /* as if opened there */
        f->dentry = d;
        inode_put(f->inode);
        f->inode = inode_get(d->inode);
    } else {
        dentry_put(d);
    }
}

void fs_take_terminal(struct process *p)
{
    struct host_stream *h;

    for (int k = 0; k < 3; k++) {
        struct file *f = p->files->fds[k].file;

        if (!f || f->ops != &g_stream_ops)
            continue;
        h = f->private;
        if (h->tty) {
            tty_set_controlling(h->tty, p);
            return;
        }
    }
}

static void install(struct files *files, int k, struct file *f)
{
    mutex_lock(&files->lock);
    files->fds[k].file = f;
    files->fds[k].cloexec = false;
    files->next = MAX(files->next, (u32)k + 1);
    mutex_unlock(&files->lock);
}

/* Descriptor k is not the host's: what is written is dropped, and there is nothing to read. */
static int install_null(struct files *files, int k)
{
    struct file *f;
    int r = path_open(AT_FDCWD, "/dev/null", k == 0 ? O_RDONLY : O_WRONLY, 0, &f);

    if (r == 0 && !(S_ISCHR(f->inode->mode) && f->inode->rdev == DEV_NULL)) {
        file_put(f);
        r = -ENODEV;
    }
    if (r < 0) {
        log_error("standard input or output does not go to the host, and /dev/null is not there: "
                  "error %d",
                  -r);
        return r;
    }
    install(files, k, f);
    return 0;
}

/* A terminal goes both ways, and whether it is one is the host's word. */
static bool may_be_terminal(void)
{
    return g_deployment.policy.stdin_host && g_deployment.policy.stdout_host;
}

static bool is_for_host(int k)
{
    return k == 0 ? g_deployment.policy.stdin_host : g_deployment.policy.stdout_host;
}

int fs_install_stdio(struct files *files, const hostfd hfds[3], bool terminal)
{
    struct host_stream *tty = NULL, *h;
    int r = 0;

    for (int k = 0; k < 3; k++) {
        struct tty *made = NULL;
        struct file *f;

        /* A descriptor that is not there would be the first file that the program opens. */
        if (!hostfd_ok(hfds[k]) || !is_for_host(k)) {
            int null = install_null(files, k);

            if (hostfd_ok(hfds[k]))
                host_close(hfds[k]);
            r = r < 0 ? r : null;
            continue;
        }
        h = stream_new(hfds[k]);
        if (!h) {
            host_close(hfds[k]);
            r = -ENOMEM;
            continue;
        }
        h->no_read = !g_deployment.policy.stdin_host;
        h->no_write = !g_deployment.policy.stdout_host;
        if (tty && S_ISCHR(h->i.mode) &&
            (terminal || h->i.rdev == tty->i.rdev)) { /* one terminal, three descriptors of it */
            inode_put(&h->i);
            h = tty;
            inode_get(&h->i);
        } else if (may_be_terminal() && S_ISCHR(h->i.mode) && is_host_terminal(h->hfd)) {
            int e = make_tty(h, terminal);

            r = r < 0 ? r : e;
            made = h->tty;
            tty = made ? h : NULL;
        }
        f = stream_file(h, h->tty ? O_RDWR : k == 0 ? O_RDONLY : O_WRONLY);
        if (f && h->tty)
            name_tty(f, h);
        if (!f) {
            r = -ENOMEM;
            tty = NULL; /* it may end here */
        }
        tty_put(made);
        inode_put(&h->i);
        if (!f)
            continue;
        install(files, k, f);
    }
    return r;
}
