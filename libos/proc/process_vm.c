/* SPDX-License-Identifier: Apache-2.0 */
/* process_vm_readv, process_vm_writev, kcmp: looking into other processes. */
#include "proc.h"
#include <linux/capability.h>
#include <linux/kcmp.h>

#define IOVECS_MAX 1024

struct iovec_k {
    u64 base, size;
};

bool process_may_access(const struct process *p)
{
    const struct cred *me = &current_process()->cred, *c = &p->cred;
    if (p == current_process() || capable(CAP_SYS_PTRACE))
        return true;
    return p->dumpable == 1 && me->uid == c->uid && me->uid == c->euid && me->uid == c->suid &&
           me->gid == c->gid && me->gid == c->egid && me->gid == c->sgid &&
           (c->cap_permitted & ~me->cap_permitted) == 0;
}

/* The caller's to free; total: bytes of all. */
static int vectors_in(uaddr from, u64 count, struct iovec_k **out, u64 *total)
{
    *out = NULL;
    *total = 0;
    if (count > IOVECS_MAX)
        return -EINVAL;
    struct iovec_k *v = kmalloc(MAX(count, 1ul) * sizeof(*v));
    if (!v)
        return -ENOMEM;
    int r = copy_from_user(v, from, count * sizeof(*v));
    for (u64 i = 0; r == 0 && i < count; i++) {
        if (v[i].size > INT64_MAX - *total)
            r = -EINVAL;
        else
            *total += v[i].size;
    }
    if (r == 0)
        *out = v;
    else
        kfree(v);
    return r;
}

static int find_mm(i32 pid, struct mm **out)
{
    int r = -ESRCH;
    mutex_lock(&g_process_lock);
    struct thread *t = thread_find(pid);
    if (t && t->process->mm) {
        r = process_may_access(t->process) ? 0 : -EPERM;
        if (r == 0)
            *out = mm_get(t->process->mm);
    }
    mutex_unlock(&g_process_lock);
    return r;
}

struct cursor {
    struct iovec_k *v;
    u64 count, at; /* at: in the first of v */
};

/* What is left of the first piece that has something. */
static u64 piece(struct cursor *c)
{
    while (c->count && c->at == c->v->size) {
        c->v++;
        c->count--;
        c->at = 0;
    }
    return c->count ? c->v->size - c->at : 0;
}

static long transfer(struct mm *mm, struct cursor here, struct cursor there, bool write)
{
    char *buf = page_alloc(1);
    long done = 0, r = buf ? 0 : -ENOMEM;
    while (r == 0 && piece(&here) && piece(&there)) {
        u64 local = here.v->base + here.at, remote = there.v->base + there.at;
        size_t n = MIN(MIN(piece(&here), piece(&there)), PAGE_SIZE - (remote & ~PAGE_MASK)), got;
        if (write && copy_from_user(buf, user_at(local), n) < 0)
            r = -EFAULT;
        got = r < 0 ? 0 : mm_access(mm, remote, buf, n, write, false);
        if (!write && got && copy_to_user(user_at(local), buf, got) < 0)
            got = 0;
        if (got < n)
            r = -EFAULT;
        done += (long)got;
        here.at += got;
        there.at += got;
        if (signal_pending())
            break;
    }
    if (buf)
        page_free(buf, 1);
    return done ? done : r;
}

static long process_vm(int pid, uaddr local, u64 local_count, uaddr remote, u64 remote_count,
                       u64 flags, bool write)
{
    struct iovec_k *ours, *theirs = NULL;
    struct mm *mm = NULL;
    u64 here, there;
    if (flags)
        return -EINVAL;
    long r = vectors_in(local, local_count, &ours, &here);
    if (r < 0)
        return r;
    if (here)
        r = vectors_in(remote, remote_count, &theirs, &there);
    if (r == 0 && here && there)
        r = find_mm(pid, &mm);
    if (mm)
        r = transfer(mm, (struct cursor){ours, local_count, 0},
                     (struct cursor){theirs, remote_count, 0}, write);
    mm_put(mm);
    kfree(ours);
    kfree(theirs);
    return r;
}

long sys_process_vm_readv(int pid, uaddr local, u64 local_count, uaddr remote, u64 remote_count,
                          u64 flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, false);
}

long sys_process_vm_writev(int pid, uaddr local, u64 local_count, uaddr remote, u64 remote_count,
                           u64 flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, true);
}

/* ---- kcmp ---- */

/* What of p a type and a descriptor name, with a reference where there is one. */
struct object {
    const void *which;
    struct files *files; /* KCMP_FILE: to look in without g_process_lock */
};

static struct object object_of(const struct process *p, long type)
{
    switch (type) {
    case KCMP_VM:
        return (struct object){.which = p->mm};
    case KCMP_FILES:
        return (struct object){.which = p->files};
    case KCMP_FS:
        return (struct object){.which = p->fs};
    case KCMP_SIGHAND:
        return (struct object){.which = p->sighand};
    case KCMP_FILE:
        if (p->files)
            ref_get(&p->files->refs);
        return (struct object){.files = p->files};
    case KCMP_IO: /* as Linux: who never set a priority has no context, and none is like none */
        return (struct object){.which = p->ioprio ? p : NULL};
    default: /* KCMP_SYSVSEM: the same with what its end would undo */
        return (struct object){.which = p->sem_undo ? p : NULL};
    }
}

static long order(const void *v, const void *w)
{
    return v == w ? 0 : v < w ? 1 : 2;
}

static long compare_files(struct files *a, u64 fd_a, struct files *b, u64 fd_b)
{
    struct file *v = a ? files_file(a, fd_a) : NULL, *w = b ? files_file(b, fd_b) : NULL;
    long r = v && w ? order(v, w) : -EBADF;
    if (v)
        file_put(v);
    if (w)
        file_put(w);
    files_put(a);
    files_put(b);
    return r;
}

long sys_kcmp(int pid1, int pid2, int type, u64 index1, u64 index2)
{
    struct object v = {0}, w = {0};
    if (type < 0 || type >= KCMP_TYPES || type == KCMP_EPOLL_TFD)
        return type == KCMP_EPOLL_TFD ? -EOPNOTSUPP : -EINVAL;
    long r = -ESRCH;
    mutex_lock(&g_process_lock);
    struct thread *x = thread_find(pid1), *y = thread_find(pid2);
    if (x && y && !(process_may_access(x->process) && process_may_access(y->process))) {
        r = -EPERM;
    } else if (x && y) {
        v = object_of(x->process, type);
        w = object_of(y->process, type);
        r = order(v.which, w.which);
    }
    mutex_unlock(&g_process_lock);
    return r == 0 && type == KCMP_FILE ? compare_files(v.files, index1, w.files, index2) : r;
}
