/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets the signals of an open description: F_SETOWN, F_SETSIG, O_ASYNC. */
#include "vfs.h"

#define NSIG_MOST 64

const struct file_async *g_file_async;
static struct mutex g_owner_lock;

/* Made at the first need, and kept as long as the file. */
static struct file_owner *owner_of(struct file *f)
{
    struct file_owner *o;

    mutex_lock(&g_owner_lock);
    if (!f->owner)
        f->owner = kzalloc(sizeof(*f->owner));
    o = f->owner;
    mutex_unlock(&g_owner_lock);
    return o;
}

static bool is_there(i32 type, i32 pid)
{
    struct process *p;
    struct thread *t;
    bool found = false;

    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all) {
        found = found || (type == F_OWNER_PGRP ? p->pgid : p->pid) == pid;
        if (type != F_OWNER_TID)
            continue;
        list_for_each_entry (t, &p->threads, siblings)
            found = found || t->tid == pid;
    }
    mutex_unlock(&g_process_lock);
    return found;
}

int file_set_owner(struct file *f, i32 type, i32 pid, bool force)
{
    struct file_owner *o;

    if (type != F_OWNER_TID && type != F_OWNER_PID && type != F_OWNER_PGRP)
        return -EINVAL;
    if (pid && !is_there(type, pid))
        return -ESRCH;
    o = owner_of(f);
    if (!o)
        return -ENOMEM;
    mutex_lock(&g_owner_lock);
    if (force || !o->pid) {
        o->type = type;
        o->pid = pid;
        o->uid = current_process()->cred.uid;
        o->euid = current_process()->cred.euid;
    }
    mutex_unlock(&g_owner_lock);
    return 0;
}

void file_clear_owner(struct file *f)
{
    mutex_lock(&g_owner_lock);
    if (f->owner)
        *f->owner = (struct file_owner){0};
    mutex_unlock(&g_owner_lock);
}

void file_signal(struct file *f, int fd, int code)
{
    struct file_owner o = {0};

    mutex_lock(&g_owner_lock);
    if (f->owner)
        o = *f->owner;
    mutex_unlock(&g_owner_lock);
    if (o.pid)
        g_file_async->signal(&o, fd, code);
}

int file_set_async(struct file *f, int fd, bool on)
{
    if (!f->ops->poll || (f->inode && S_ISREG(f->inode->mode))) /* always ready */
        return 0;
    return g_file_async->watch(f, fd, on);
}

static long set_signal(struct file *f, long sig)
{
    struct file_owner *o;

    if (sig < 0 || sig > NSIG_MOST)
        return -EINVAL;
    o = owner_of(f);
    if (!o)
        return -ENOMEM;
    __atomic_store_n(&o->sig, (i32)sig, __ATOMIC_RELAXED);
    return 0;
}

long owner_fcntl(struct file *f, int cmd, long arg)
{
    struct file_owner none = {0}, *o = f->owner ? f->owner : &none;
    struct f_owner_ex ex;

    switch (cmd) {
    case F_SETOWN:
        if ((i32)arg == INT32_MIN)
            return -EINVAL;
        return file_set_owner(f, (i32)arg < 0 ? F_OWNER_PGRP : F_OWNER_PID,
                              (i32)arg < 0 ? -(i32)arg : (i32)arg, true);
    case F_GETOWN:
        return o->type == F_OWNER_PGRP ? -o->pid : o->pid;
    case F_SETOWN_EX:
        if (copy_from_user(&ex, user_at((u64)arg), sizeof(ex)) < 0)
            return -EFAULT;
        return file_set_owner(f, ex.type, ex.pid, true);
    case F_GETOWN_EX:
        ex = (struct f_owner_ex){o->type, o->pid};
        return copy_to_user(user_at((u64)arg), &ex, sizeof(ex));
    case F_SETSIG:
        return set_signal(f, arg);
    case F_GETSIG:
        return o->sig;
    default:
        return -EINVAL;
    }
}
