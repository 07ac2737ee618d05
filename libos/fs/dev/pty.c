/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pseudo-terminals inside the enclave. A pair has one lock, the line discipline's state (the
 * slave's input) and the output that the master reads. The slave side is a struct tty; the pair
 * lives until both sides are closed.
 *
 *   master write --> line discipline (ldisc.c): signals, echo, editing --> input --> slave read
 *   slave write  --> output processing (ONLCR...) --> output --> master read
 */
#include "pty.h"
#include "memfs.h"

#include <asm/ioctls.h>

#define SIG_HUP  1
#define SIG_INT  2
#define SIG_QUIT 3
#define SIG_CONT 18
#define SIG_TSTP 20

static struct pty *pty_of(struct tty *t)
{
    return container_of(t, struct pty, t);
}

/* ---- slave ---- */

static ssize_t slave_read(struct file *f, struct uio *io, u64 *pos)
{
    struct pty *p = f->private;
    u64 deadline = NO_DEADLINE;
    ssize_t r, done = 0;

    if (!p->master_open)
        return 0; /* hung up */
    r = tty_check(&p->t, SIG_TTIN);
    if (r < 0)
        return r;
    if (!io->left)
        return 0;
    for (;;) {
        u32 min, time;

        mutex_lock(&p->lock);
        r = ldisc_read(&p->ld, io);
        min = p->ld.termios.c_lflag & ICANON ? 1 : p->ld.termios.c_cc[VMIN];
        time = p->ld.termios.c_lflag & ICANON ? 0 : p->ld.termios.c_cc[VTIME];
        if (r == -EAGAIN && !p->master_open)
            r = 0;
        mutex_unlock(&p->lock);
        if (r > 0) {
            pty_wake(p);
            done += r;
            if ((u32)done >= min || !io->left)
                return done;
        } else if (r != -EAGAIN) {
            return done ? done : r;
        }
        if (f->flags & O_NONBLOCK)
            return done ? done : -EAGAIN;
        if (min == 0 && time == 0)
            return done;
        /* VTIME counts from the first byte, or from now when VMIN is 0. */
        if (time && (min == 0 || done) && (r > 0 || deadline == NO_DEADLINE))
            deadline = clock_monotonic() + (u64)time * 100000000;
        r = wait_event(&p->queue, ldisc_input_size(&p->ld) || !p->master_open, deadline);
        if (r == -ETIMEDOUT)
            return done;
        if (r < 0)
            return done ? done : -ERESTARTSYS;
        r = tty_check(&p->t, SIG_TTIN);
        if (r < 0)
            return done ? done : r;
    }
}

static ssize_t slave_write(struct file *f, struct uio *io, u64 *pos)
{
    struct pty *p = f->private;
    ssize_t done = 0, r;

    if (!p->master_open)
        return -EIO;
    if (p->ld.termios.c_lflag & TOSTOP) {
        r = tty_check(&p->t, SIG_TTOU);
        if (r < 0)
            return r;
    }
    while (io->left) {
        mutex_lock(&p->lock);
        r = p->master_open ? ldisc_write(&p->ld, io) : -EIO;
        mutex_unlock(&p->lock);
        if (r > 0) {
            pty_wake(p);
            done += r;
            continue;
        }
        if (r != -EAGAIN)
            return done ? done : r;
        if (f->flags & O_NONBLOCK)
            return done ? done : -EAGAIN;
        r = wait_event(&p->queue, ldisc_output_room(&p->ld) || !p->master_open, NO_DEADLINE);
        if (r < 0)
            return done ? done : -ERESTARTSYS;
    }
    return done;
}

static u32 slave_poll(struct file *f, struct poll_table *pt)
{
    struct pty *p = f->private;
    u32 events = 0;

    poll_wait(pt, &p->queue);
    mutex_lock(&p->lock);
    if (ldisc_readable(&p->ld))
        events |= POLL_IN | POLL_RDNORM;
    if (ldisc_output_room(&p->ld))
        events |= POLL_OUT | POLL_WRNORM;
    if (!p->master_open)
        events |= POLL_HUP | POLL_IN | POLL_OUT | POLL_ERR;
    mutex_unlock(&p->lock);
    return events;
}

/* ---- slave: ioctl, opening, closing ---- */

static long slave_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct pty *p = f->private;
    long r;
    u32 n;

    if (!p->master_open)
        return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
    r = tty_ioctl(&p->t, f, cmd, arg);
    if (r != -ENOIOCTLCMD)
        return r;
    switch (cmd) {
    case FIONREAD:
    case TIOCOUTQ:
        mutex_lock(&p->lock);
        n = cmd == FIONREAD ? ldisc_input_size(&p->ld) : ldisc_output_size(&p->ld);
        mutex_unlock(&p->lock);
        return put_user((i32)n, user_at(arg));
    default:
        return pty_ioctl(p, true, cmd, arg);
    }
}

static void slave_release(struct file *f)
{
    struct pty *p = f->private;

    mutex_lock(&p->lock);
    p->slave_open--;
    mutex_unlock(&p->lock);
    pty_wake(p);
    tty_put(&p->t);
}

static const struct file_ops g_slave_ops = {
    .read = slave_read,
    .write = slave_write,
    .poll = slave_poll,
    .ioctl = slave_ioctl,
    .release = slave_release,
};

static int slave_open(struct tty *t, struct file *f)
{
    struct pty *p = pty_of(t);
    int r = 0;

    mutex_lock(&p->lock);
    if (p->locked || !p->master_open) {
        r = -EIO;
    } else {
        p->slave_open++;
        p->slave_was_open = true;
    }
    mutex_unlock(&p->lock);
    if (r < 0)
        return r;
    tty_get(t);
    f->ops = &g_slave_ops;
    f->private = p;
    pty_wake(p);
    return 0;
}

static void pty_destroy(struct tty *t)
{
    struct pty *p = pty_of(t);

    ldisc_free(&p->ld);
    kfree(p);
}

/* ---- master ---- */

static ssize_t master_read(struct file *f, struct uio *io, u64 *pos)
{
    struct pty *p = f->private;
    ssize_t r;

    if (!io->left)
        return 0;
    for (;;) {
        mutex_lock(&p->lock);
        r = p->packet && ldisc_output_ready(&p->ld) ? uio_zero(io, 1) : 0; /* TIOCPKT_DATA */
        if (r >= 0) {
            ssize_t data = ldisc_output_read(&p->ld, io);

            r = data == -EFAULT ? data : data < 0 && r == 0 ? data : MAX(data, 0) + r;
        }
        if (r == -EAGAIN && p->slave_was_open && !p->slave_open)
            r = -EIO; /* the last slave is gone: what Linux says */
        mutex_unlock(&p->lock);
        if (r > 0)
            pty_wake(p);
        if (r != -EAGAIN || (f->flags & O_NONBLOCK))
            return r;
        r = wait_event(&p->queue,
                       ldisc_output_ready(&p->ld) || (p->slave_was_open && !p->slave_open),
                       NO_DEADLINE);
        if (r < 0)
            return -ERESTARTSYS;
    }
}

/* Signals are sent without the pair's lock. */
static void send_signals(struct pty *p, u32 signals)
{
    for (int sig = 1; signals; sig++, signals >>= 1)
        if (signals & 1)
            tty_signal_foreground(&p->t, sig);
}

static ssize_t master_write(struct file *f, struct uio *io, u64 *pos)
{
    struct pty *p = f->private;
    ssize_t done = 0, r;
    u8 buf[256];

    while (io->left) {
        struct uio before = *io;
        size_t n = MIN(io->left, sizeof(buf)), used;
        u32 signals = 0;

        r = uio_from(io, buf, n);
        if (r <= 0)
            return done ? done : r;
        mutex_lock(&p->lock);
        used = ldisc_input(&p->ld, buf, (size_t)r, &signals);
        mutex_unlock(&p->lock);
        send_signals(p, signals);
        pty_wake(p);
        done += (ssize_t)used;
        if (used == (size_t)r)
            continue;
        *io = before;
        if (used)
            uio_from(io, buf, used);
        if (f->flags & O_NONBLOCK)
            return done ? done : -EAGAIN;
        r = wait_event(&p->queue, ldisc_input_room(&p->ld), NO_DEADLINE);
        if (r < 0)
            return done ? done : -ERESTARTSYS;
    }
    return done;
}

static u32 master_poll(struct file *f, struct poll_table *pt)
{
    struct pty *p = f->private;
    u32 events = 0;

    poll_wait(pt, &p->queue);
    mutex_lock(&p->lock);
    if (ldisc_output_ready(&p->ld))
        events |= POLL_IN | POLL_RDNORM;
    if (ldisc_input_room(&p->ld))
        events |= POLL_OUT | POLL_WRNORM;
    if (p->slave_was_open && !p->slave_open)
        events |= POLL_HUP;
    mutex_unlock(&p->lock);
    return events;
}

static long open_peer(struct pty *p, u32 flags)
{
    struct file *f;
    char path[32];
    int r;

    snprintf(path, sizeof(path), "/dev/pts/%u", p->t.index);
    r = path_open(AT_FDCWD, path, flags, 0, &f);
    if (r < 0)
        return r;
    /* What is mounted there may be the host's, and not devpts. */
    if (f->ops != &g_slave_ops || f->private != p) {
        file_put(f);
        return -EIO;
    }
    return fd_install(f, (flags & O_CLOEXEC) != 0);
}

static long master_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct pty *p = f->private;
    i32 v;
    u32 n;

    switch (cmd) {
    case TIOCGPTN:
        return put_user((u32)p->t.index, user_at(arg));
    case TIOCSPTLCK:
        if (get_user(v, user_at(arg)) < 0)
            return -EFAULT;
        p->locked = v != 0;
        return 0;
    case TIOCGPTLCK:
        return put_user((i32)p->locked, user_at(arg));
    case TIOCGPTPEER:
        return open_peer(p, (u32)arg);
    case TIOCSIG:
        /* As keys can: the group may be another user's, in whose terminal its owner runs. */
        if (arg != SIG_INT && arg != SIG_QUIT && arg != SIG_TSTP)
            return -EINVAL;
        tty_signal_foreground(&p->t, (int)arg);
        return 0;
    case TIOCGPGRP:
    case TIOCGSID:
        mutex_lock(&g_tty_lock);
        v = !p->t.session ? 0 : cmd == TIOCGPGRP ? p->t.session->foreground : p->t.session->sid;
        mutex_unlock(&g_tty_lock);
        return v ? put_user(v, user_at(arg)) : -ENOTTY;
    case FIONREAD:
    case TIOCOUTQ:
        mutex_lock(&p->lock);
        n = cmd == FIONREAD ? ldisc_output_size(&p->ld) : ldisc_input_size(&p->ld);
        mutex_unlock(&p->lock);
        return put_user((i32)n, user_at(arg));
    case TIOCPKT:
        if (get_user(v, user_at(arg)) < 0)
            return -EFAULT;
        p->packet = v != 0;
        return 0;
    case TIOCGPKT:
        return put_user((i32)p->packet, user_at(arg));
    default:
        return pty_ioctl(p, false, cmd, arg);
    }
}

static void master_release(struct file *f)
{
    struct pty *p = f->private;
    struct session *s;
    i32 group;
    struct siginfo_k info = {.signo = SIG_HUP, .code = 0x80};

    mutex_lock(&p->lock);
    p->master_open--;
    mutex_unlock(&p->lock);
    pty_wake(p);
    tty_unregister(&p->t); /* the number is free, the node gone */
    mutex_lock(&g_tty_lock);
    s = p->t.session;
    group = s ? s->foreground : 0;
    mutex_unlock(&g_tty_lock);
    if (group > 0) {
        signal_send_group(group, &info);
        info.signo = SIG_CONT;
        signal_send_group(group, &info);
    }
    tty_put(&p->t);
}

static const struct file_ops g_master_ops = {
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = master_ioctl,
    .release = master_release,
};

u32 g_pts_gid = 5, g_pts_mode = 0620;

int ptmx_open(struct inode *i, struct file *f)
{
    struct pty *p = kzalloc(sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    ref_init(&p->t.refs);
    p->t.open = slave_open;
    p->t.destroy = pty_destroy;
    p->t.mode = g_pts_mode;
    p->t.uid = fs_uid();
    p->t.gid = g_pts_gid;
    p->locked = true;
    p->master_open = 1;
    waitq_init(&p->queue);
    r = ldisc_init(&p->ld);
    if (r == 0)
        r = tty_register(&p->t);
    if (r < 0) {
        ldisc_free(&p->ld);
        kfree(p);
        return r;
    }
    f->ops = &g_master_ops;
    f->private = p;
    return 0;
}
