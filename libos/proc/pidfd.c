/* SPDX-License-Identifier: Apache-2.0 */
/* pidfd_open and friends: a descriptor that names a process and becomes readable when it ends. */
#include "proc.h"
#include <linux/poll.h>

#define PIDFD_NONBLOCK 04000
#define O_RDWR_FLAG    02

static u32 pidfd_poll(struct file *f, struct poll_table *pt)
{
    struct process *p = f->private;
    poll_wait(pt, &p->exit_wait);
    return p->state == PROCESS_ZOMBIE ? POLLIN | POLLRDNORM : 0;
}

static ssize_t pidfd_no_io(struct file *f, struct uio *io, u64 *pos)
{
    return -EINVAL;
}

static void pidfd_release(struct file *f)
{
    process_put(f->private);
}

static void pidfd_info(struct file *f, struct fdinfo *to)
{
    struct process *p = f->private;
    int pid = p->reaped ? -1 : p->pid;
    fdinfo_line(to, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static const struct file_ops g_pidfd_ops = {
    .fdinfo = pidfd_info,
    .read = pidfd_no_io,
    .write = pidfd_no_io,
    .poll = pidfd_poll,
    .release = pidfd_release,
};

int pidfd_create(struct process *p, u32 flags);
int pidfd_to_pid(int fd, bool *nonblock);

int pidfd_create(struct process *p, u32 flags)
{
    struct file *f = file_alloc(&g_pidfd_ops, O_RDWR_FLAG | (flags & PIDFD_NONBLOCK));
    if (!f)
        return -ENOMEM;
    f->private = process_get(p);
    f->kind = "[pidfd]";
    return fd_install(f, true);
}

static struct process *pidfd_process(int fd)
{
    struct file *f = fd_get(fd);
    if (!f)
        return NULL;
    struct process *p = f->ops == &g_pidfd_ops ? process_get(f->private) : NULL;
    file_put(f);
    return p;
}

/* pidfd_send_signal() takes a /proc/PID directory as well: it is older than pidfd_open(). */
static int signal_target(int fd, struct process **out)
{
    *out = pidfd_process(fd);
    if (*out)
        return 0;
    struct file *f = fd_get(fd);
    if (!f)
        return -EBADF;
    int r = g_process_hooks->dir_process(f, out);
    file_put(f);
    return r;
}

int pidfd_to_pid(int fd, bool *nonblock)
{
    struct file *f = fd_get(fd);
    if (!f)
        return -EBADF;
    int pid = f->ops == &g_pidfd_ops ? ((struct process *)f->private)->pid : -EBADF;
    *nonblock = (f->flags & PIDFD_NONBLOCK) != 0;
    file_put(f);
    return pid;
}

long sys_pidfd_open(int pid, u32 flags)
{
    if (pid <= 0 || (flags & ~PIDFD_NONBLOCK))
        return -EINVAL;
    struct process *p = process_find(pid);
    if (!p)
        return -ESRCH;
    int fd = pidfd_create(p, flags);
    process_put(p);
    return fd;
}

long sys_pidfd_send_signal(int pidfd, int signal, uaddr info, u32 flags)
{
    struct process *p;
    i32 signo = 0; /* siginfo_t starts with it */
    long r = signal_target(pidfd, &p);
    if (r < 0)
        return r;
    if (flags != 0)
        r = -EINVAL;
    else if (p->state == PROCESS_ZOMBIE && p->reaped)
        r = -ESRCH;
    else if (info.at && get_user(signo, info) < 0)
        r = -EFAULT;
    else if (info.at && signo != signal)
        r = -EINVAL;
    else if (info.at)
        r = sys_rt_sigqueueinfo(p->pid, signal, info);
    else
        r = sys_kill(p->pid, signal);
    process_put(p);
    return r;
}

long sys_pidfd_getfd(int pidfd, int fd, u32 flags)
{
    struct process *p = pidfd_process(pidfd);
    if (!p)
        return -EBADF;
    long r = -EPERM;
    if (flags != 0) {
        r = -EINVAL;
    } else if (p == current_process() || capable(19 /* CAP_SYS_PTRACE */)) {
        struct file *file = NULL;
        mutex_lock(&g_process_lock);
        struct files *files = p->files;
        if (files)
            ref_get(&files->refs);
        mutex_unlock(&g_process_lock);
        if (files) {
            file = files_file(files, (u64)fd);
            files_put(files);
        }
        r = file ? fd_install(file, true) : files ? -EBADF : -ESRCH;
    }
    process_put(p);
    return r;
}
