/* SPDX-License-Identifier: Apache-2.0 */
/* pidfd_open and friends: a descriptor that names a process and becomes readable when it ends. */
#include "proc.h"
#include <linux/ioctl.h>
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

/* struct pidfd_info of Linux 6.13 and later; the first 64 bytes are its first version. */
struct pidfd_info {
    u64 mask, cgroup_id;
    u32 pid, tgid, ppid;
    u32 ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    i32 exit_code;
};
#define PIDFD_GET_INFO_TYPE 0xff /* of ioctl numbers */
#define PIDFD_GET_INFO_NR   11
#define INFO_PID            0x1ull
#define INFO_CREDS          0x2ull
#define INFO_EXIT           0x8ull /* when asked for, and the process has been waited for */

static long info_fill(struct process *p, struct pidfd_info *info, u64 wanted)
{
    long r = 0;
    mutex_lock(&g_process_lock);
    if (p->reaped) {
        r = wanted & INFO_EXIT ? 0 : -ESRCH;
        info->mask = INFO_EXIT;
        info->exit_code = (i32)p->exit_status;
    } else {
        const struct cred *c = &p->cred;
        *info = (struct pidfd_info){.mask = INFO_PID | INFO_CREDS,
                                    .pid = (u32)p->pid,
                                    .tgid = (u32)p->pid,
                                    .ppid = p->parent ? (u32)p->parent->pid : 0,
                                    .ruid = c->uid,
                                    .rgid = c->gid,
                                    .euid = c->euid,
                                    .egid = c->egid,
                                    .suid = c->suid,
                                    .sgid = c->sgid,
                                    .fsuid = c->fsuid,
                                    .fsgid = c->fsgid};
    }
    mutex_unlock(&g_process_lock);
    return r;
}

static long pidfd_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct pidfd_info info = {0};
    u32 size = _IOC_SIZE(cmd);
    u64 wanted;
    if (_IOC_TYPE(cmd) != PIDFD_GET_INFO_TYPE || _IOC_NR(cmd) != PIDFD_GET_INFO_NR ||
        _IOC_DIR(cmd) != (_IOC_READ | _IOC_WRITE))
        return -ENOTTY;
    if (!arg || size < sizeof(info))
        return -EINVAL;
    if (get_user(wanted, user_at(arg)) < 0)
        return -EFAULT;
    long r = info_fill(f->private, &info, wanted);
    if (r < 0)
        return r;
    /* What a later version of the structure has besides is zero. */
    if (size > sizeof(info) && clear_user(user_at(arg + sizeof(info)), size - sizeof(info)) < 0)
        return -EFAULT;
    return copy_to_user(user_at(arg), &info, sizeof(info)) < 0 ? -EFAULT : 0;
}

static const struct file_ops g_pidfd_ops = {
    .ioctl = pidfd_ioctl,
    .fdinfo = pidfd_info,
    .read = pidfd_no_io,
    .write = pidfd_no_io,
    .poll = pidfd_poll,
    .release = pidfd_release,
};

int pidfd_create(struct process *p, u32 flags)
{
    struct file *f = file_alloc(&g_pidfd_ops, O_RDWR_FLAG | (flags & PIDFD_NONBLOCK));
    if (!f)
        return -ENOMEM;
    f->private = process_get(p);
    f->kind = "[pidfd]";
    return fd_install(f, true);
}

struct process *pidfd_process(int fd, bool *nonblock)
{
    struct file *f = fd_get(fd);
    if (!f)
        return NULL;
    struct process *p = f->ops == &g_pidfd_ops ? process_get(f->private) : NULL;
    if (nonblock)
        *nonblock = (f->flags & PIDFD_NONBLOCK) != 0;
    file_put(f);
    return p;
}

/* pidfd_send_signal() takes a /proc/PID directory as well: it is older than pidfd_open(). */
static int signal_target(int fd, struct process **out)
{
    *out = pidfd_process(fd, NULL);
    if (*out)
        return 0;
    struct file *f = fd_get(fd);
    if (!f)
        return -EBADF;
    int r = g_process_hooks->dir_process(f, out);
    file_put(f);
    return r;
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
    else if (info.at && get_user(signo, info) < 0)
        r = -EFAULT;
    else if (info.at && signo != signal)
        r = -EINVAL;
    else
        r = process_signal(p, signal, info);
    process_put(p);
    return r;
}

long sys_pidfd_getfd(int pidfd, int fd, u32 flags)
{
    struct process *p = pidfd_process(pidfd, NULL);
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
