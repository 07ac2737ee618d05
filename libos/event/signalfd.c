/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signalfd: pending signals as something to read. As in Linux it is always about the process that
 * reads or polls. An epoll item stays in the queue of the process that added it, so the file keeps
 * such processes (their structures) until it is closed.
 */
#include "event.h"
#include "poll.h"
#include "process.h"
#include <linux/signalfd.h>

struct watcher {
    struct watcher *next;
    struct process *process;
};

struct signalfd {
    u64 mask;
    struct spinlock lock;
    struct watcher *watchers;
};

static const struct file_ops signalfd_ops;

static u64 mask_of(const struct signalfd *s)
{
    return __atomic_load_n(&s->mask, __ATOMIC_ACQUIRE);
}

static void encode(const struct siginfo_k *info, struct signalfd_siginfo *out)
{
    memset(out, 0, sizeof(*out));
    out->ssi_signo = (u32)info->signo;
    out->ssi_errno = info->err;
    out->ssi_code = info->code;
    out->ssi_pid = (u32)info->pid;
    out->ssi_uid = info->uid;
    out->ssi_status = info->status;
    out->ssi_tid = info->timer_id;
    out->ssi_overrun = info->overrun;
    out->ssi_int = (i32)info->value;
    out->ssi_ptr = info->value;
    out->ssi_addr = info->addr;
}

static ssize_t signalfd_read(struct file *f, struct uio *io, u64 *pos)
{
    struct signalfd *s = f->private;
    struct process *p = current_process();
    struct signalfd_siginfo out;
    struct siginfo_k info;
    ssize_t done = 0, r;

    if (io->left < sizeof(out))
        return -EINVAL;
    while (io->left >= sizeof(out)) {
        memset(&info, 0, sizeof(info));
        if (signal_dequeue(mask_of(s), &info) == 0) {
            if (done > 0 || (f->flags & O_NONBLOCK) != 0)
                break;
            if (wait_event(&p->signal_wait, (signal_pending_set() & mask_of(s)) != 0, NO_DEADLINE) <
                0)
                return -ERESTARTSYS;
            continue;
        }
        encode(&info, &out);
        r = uio_to(io, &out, sizeof(out));
        if (r < 0)
            return done > 0 ? done : r;
        done += r;
    }
    return done > 0 ? done : -EAGAIN;
}

/* The process's structure, and its queue, stay as long as this file. */
static bool keep_process(struct signalfd *s, struct process *p)
{
    struct watcher *w, *fresh = kmalloc(sizeof(*fresh));
    bool known = false;

    if (fresh == NULL)
        return false;
    spin_lock(&s->lock);
    for (w = s->watchers; w != NULL; w = w->next)
        known |= w->process == p;
    if (!known) {
        fresh->process = process_get(p);
        fresh->next = s->watchers;
        s->watchers = fresh;
    }
    spin_unlock(&s->lock);
    if (known)
        kfree(fresh);
    return true;
}

static u32 signalfd_poll(struct file *f, struct poll_table *pt)
{
    struct signalfd *s = f->private;

    if (pt != NULL && pt->wait != NULL && keep_process(s, current_process()))
        poll_wait(pt, &current_process()->signal_wait);
    return (signal_pending_set() & mask_of(s)) != 0 ? POLLIN | POLLRDNORM : 0;
}

static void signalfd_release(struct file *f)
{
    struct signalfd *s = f->private;
    struct watcher *w;

    while ((w = s->watchers) != NULL) {
        s->watchers = w->next;
        process_put(w->process);
        kfree(w);
    }
    kfree(s);
}

static void signalfd_info(struct file *f, struct fdinfo *to)
{
    fdinfo_line(to, "sigmask:\t%016llx\n", (unsigned long long)mask_of(f->private));
}

static const struct file_ops signalfd_ops = {
    .fdinfo = signalfd_info,
    .read = signalfd_read,
    .poll = signalfd_poll,
    .release = signalfd_release,
};

static long signalfd_change(int fd, u64 mask)
{
    struct file *f = fd_get(fd);
    long r = fd;

    if (f == NULL)
        return -EBADF;
    if (f->ops != &signalfd_ops) {
        r = -EINVAL;
    } else {
        __atomic_store_n(&((struct signalfd *)f->private)->mask, mask, __ATOMIC_RELEASE);
        waitq_wake(&current_process()->signal_wait, UINT32_MAX);
    }
    file_put(f);
    return r;
}

static long signalfd_user(int fd, uaddr user, size_t size, u32 flags)
{
    struct signalfd *s;
    struct file *f;
    u64 mask;

    if ((flags & ~(u32)(O_CLOEXEC | O_NONBLOCK)) != 0 || size != sizeof(mask))
        return -EINVAL;
    if (copy_from_user(&mask, user, sizeof(mask)) < 0)
        return -EFAULT;
    mask &= ~(1ull << (9 - 1) | 1ull << (19 - 1)); /* SIGKILL, SIGSTOP */
    if (fd != -1)
        return signalfd_change(fd, mask);
    s = kzalloc(sizeof(*s));
    f = s != NULL ? file_alloc(&signalfd_ops, O_RDWR | (flags & O_NONBLOCK)) : NULL;
    if (f == NULL) {
        kfree(s);
        return -ENOMEM;
    }
    s->mask = mask;
    f->private = s;
    f->kind = "signalfd";
    return fd_install(f, (flags & O_CLOEXEC) != 0);
}

long sys_signalfd(int fd, uaddr mask, u64 mask_size)
{
    return signalfd_user(fd, mask, mask_size, 0);
}

long sys_signalfd4(int fd, uaddr mask, u64 mask_size, int flags)
{
    return signalfd_user(fd, mask, mask_size, (u32)flags);
}
