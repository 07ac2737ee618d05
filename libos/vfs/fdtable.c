/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor tables. */
#include "vfs.h"

#define FD_MAX (1u << 20)

struct files *files_create(void)
{
    struct files *t = kzalloc(sizeof(*t));

    if (!t)
        return NULL;
    ref_init(&t->refs);
    t->size = 64;
    t->fds = kzalloc(t->size * sizeof(*t->fds));
    if (!t->fds) {
        kfree(t);
        return NULL;
    }
    return t;
}

struct files *files_copy(struct files *old)
{
    struct files *t = kzalloc(sizeof(*t));

    if (!t)
        return NULL;
    ref_init(&t->refs);
    mutex_lock(&old->lock);
    t->size = old->size;
    t->next = old->next;
    t->fds = kmalloc(t->size * sizeof(*t->fds));
    if (t->fds) {
        memcpy(t->fds, old->fds, t->size * sizeof(*t->fds));
        for (u32 i = 0; i < t->size; i++)
            if (t->fds[i].file)
                file_get(t->fds[i].file);
    }
    mutex_unlock(&old->lock);
    if (!t->fds) {
        kfree(t);
        return NULL;
    }
    return t;
}

/* A descriptor of table t no longer means f: POSIX locks go, then the reference. */
static void close_file(struct files *t, struct file *f)
{
    if (f->inode && f->inode->locks && !(f->flags & O_PATH))
        locks_release_owner(f, t);
    if (f->ops->flush)
        f->ops->flush(f);
    file_put(f);
}

void files_put(struct files *t)
{
    if (!t || !ref_put(&t->refs))
        return;
    for (u32 i = 0; i < t->size; i++)
        if (t->fds[i].file)
            close_file(t, t->fds[i].file);
    kfree(t->fds);
    kfree(t);
}

void files_close_on_exec(struct files *t)
{
    for (u32 i = 0; i < t->size; i++) {
        struct file *f = NULL;

        mutex_lock(&t->lock);
        if (t->fds[i].file && t->fds[i].cloexec) {
            f = t->fds[i].file;
            t->fds[i].file = NULL;
            t->fds[i].cloexec = false;
            t->next = MIN(t->next, i);
        }
        mutex_unlock(&t->lock);
        if (f)
            close_file(t, f);
    }
}

struct file *files_file(struct files *t, u64 fd)
{
    struct file *f = NULL;

    mutex_lock(&t->lock);
    if (fd < t->size && t->fds[fd].file)
        f = file_get(t->fds[fd].file);
    mutex_unlock(&t->lock);
    return f;
}

struct file *fd_get(int fd)
{
    return fd < 0 ? NULL : files_file(current_process()->files, (u32)fd);
}

struct fdref fdref_get(int fd)
{
    struct process *p = current_process();
    struct files *t = p->files;
    struct fdref r = {NULL, false};

    /* Only this thread can change the table: neither lock nor count. */
    if (likely(__atomic_load_n(&t->refs.n, __ATOMIC_RELAXED) == 1 && p->thread_count == 1)) {
        if (fd >= 0 && (u32)fd < t->size)
            r.file = t->fds[fd].file;
        if (r.file && unlikely(r.file->flags & O_PATH))
            r.file = NULL;
        return r;
    }
    r.file = fd_get(fd);
    r.owned = r.file != NULL;
    if (r.file && (r.file->flags & O_PATH)) {
        file_put(r.file);
        r = (struct fdref){NULL, false};
    }
    return r;
}

static int table_grow(struct files *t, u32 want)
{
    u32 size = t->size;
    struct fd_entry *fds;

    while (size < want)
        size *= 2;
    fds = kzalloc(size * sizeof(*fds));
    if (!fds)
        return -ENOMEM;
    memcpy(fds, t->fds, t->size * sizeof(*fds));
    kfree(t->fds);
    t->fds = fds;
    t->size = size;
    return 0;
}

static u32 fd_limit(void)
{
    u64 soft = current_process()->rlimits[LIMIT_NOFILE].soft;

    return soft > FD_MAX ? FD_MAX : (u32)soft;
}

int fd_install_min(int min, struct file *f, bool cloexec)
{
    struct files *t = current_process()->files;
    u32 fd, limit = fd_limit();
    int r;

    mutex_lock(&t->lock);
    fd = MAX(t->next, (u32)min);
    while (fd < t->size && t->fds[fd].file)
        fd++;
    r = fd >= limit ? -EMFILE : 0;
    if (r == 0 && fd >= t->size)
        r = table_grow(t, fd + 1);
    if (r == 0) {
        t->fds[fd].file = f;
        t->fds[fd].cloexec = cloexec;
        if ((u32)min <= t->next)
            t->next = fd + 1;
    }
    mutex_unlock(&t->lock);
    if (r < 0) {
        file_put(f);
        return r;
    }
    return (int)fd;
}

int fd_install(struct file *f, bool cloexec)
{
    return fd_install_min(0, f, cloexec);
}

int fd_install_at(int fd, struct file *f, bool cloexec)
{
    struct files *t = current_process()->files;
    struct file *old = NULL;
    int r = 0;

    mutex_lock(&t->lock);
    if (fd < 0 || (u32)fd >= fd_limit())
        r = -EBADF;
    else if ((u32)fd >= t->size)
        r = table_grow(t, (u32)fd + 1);
    if (r == 0) {
        old = t->fds[fd].file;
        t->fds[fd].file = f;
        t->fds[fd].cloexec = cloexec;
    }
    mutex_unlock(&t->lock);
    if (r < 0)
        file_put(f);
    else if (old)
        close_file(t, old);
    return r < 0 ? r : fd;
}

int fd_close(int fd)
{
    struct files *t = current_process()->files;
    struct file *f = NULL;

    mutex_lock(&t->lock);
    if (fd >= 0 && (u32)fd < t->size) {
        f = t->fds[fd].file;
        t->fds[fd].file = NULL;
        t->fds[fd].cloexec = false;
        if (f)
            t->next = MIN(t->next, (u32)fd);
    }
    mutex_unlock(&t->lock);
    if (!f)
        return -EBADF;
    close_file(t, f);
    return 0;
}

/* ---- system calls ---- */

long sys_close(int fd)
{
    return fd_close(fd);
}

long sys_dup(int fd)
{
    struct file *file = fd_get(fd);

    return file ? fd_install(file, false) : -EBADF;
}

long sys_dup3(int from, int to, int flags)
{
    struct file *file;

    if ((flags & ~O_CLOEXEC) || from == to)
        return -EINVAL;
    if (to < 0 || (u32)to >= fd_limit())
        return -EBADF;
    file = fd_get(from);
    return file ? fd_install_at(to, file, (flags & O_CLOEXEC) != 0) : -EBADF;
}

long sys_dup2(int from, int to)
{
    struct file *file;

    if (from != to)
        return sys_dup3(from, to, 0);
    file = fd_get(from);
    if (!file)
        return -EBADF;
    file_put(file);
    return to;
}

int files_unshare(struct process *p)
{
    struct files *old = p->files, *own;

    if (__atomic_load_n(&old->refs.n, __ATOMIC_RELAXED) == 1)
        return 0;
    own = files_copy(old);
    if (!own)
        return -ENOMEM;
    mutex_lock(&g_process_lock); /* others look at it: pidfd_getfd() */
    p->files = own;
    mutex_unlock(&g_process_lock);
    files_put(old);
    return 0;
}

#define CLOSE_RANGE_UNSHARE_FLAG (1u << 1)
#define CLOSE_RANGE_CLOEXEC_FLAG (1u << 2)

long sys_close_range(u32 first, u32 last, u32 flags)
{
    struct process *p = current_process();

    if (first > last || (flags & ~(CLOSE_RANGE_UNSHARE_FLAG | CLOSE_RANGE_CLOEXEC_FLAG)))
        return -EINVAL;
    /* The threads of a process have one table: one of them alone cannot leave it. */
    if ((flags & CLOSE_RANGE_UNSHARE_FLAG) && (p->thread_count > 1 || files_unshare(p) < 0))
        return -ENOMEM;
    for (u64 fd = first; fd <= last && fd < p->files->size; fd++) {
        if (flags & CLOSE_RANGE_CLOEXEC_FLAG) {
            mutex_lock(&p->files->lock);
            if (fd < p->files->size)
                p->files->fds[fd].cloexec = p->files->fds[fd].file != NULL;
            mutex_unlock(&p->files->lock);
        } else {
            fd_close((int)fd);
        }
    }
    return 0;
}
