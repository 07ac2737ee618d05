/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Advisory locks: POSIX (owned by a descriptor table), OFD and flock (owned by an open
 * description). One list per inode, made at the first lock and kept; g_locks_lock guards all lists.
 * Waiters sleep on the list's queue and try again.
 */
#include "vfs.h"

enum lock_kind { LOCK_POSIX, LOCK_OFD, LOCK_FLOCK };

struct lock {
    struct lock *next;
    enum lock_kind kind;
    const void *owner; /* struct files or struct file */
    u64 start, end;    /* end inclusive */
    bool write;
    i32 pid;
};

struct flock_list {
    struct lock *first;
    struct waitq queue;
    u32 waiters_posix;
};

static struct mutex g_locks_lock;

/* Who waits for whom, for EDEADLK of POSIX locks. */
struct waiter {
    struct list_head link;
    const void *owner, *blocker;
};
static struct list_head g_waiters = LIST_HEAD_INIT(g_waiters);

static struct flock_list *list_of(struct inode *i)
{
    struct flock_list *l;

    mutex_lock(&g_locks_lock);
    if (!i->locks) {
        l = kzalloc(sizeof(*l));
        if (l) {
            waitq_init(&l->queue);
            __atomic_store_n(&i->locks, l, __ATOMIC_RELEASE);
        }
    }
    l = i->locks;
    mutex_unlock(&g_locks_lock);
    return l;
}

/* flock locks and record locks do not see each other. */
static bool conflicts(const struct lock *a, const struct lock *b)
{
    return (a->kind == LOCK_FLOCK) == (b->kind == LOCK_FLOCK) && a->owner != b->owner &&
           (a->write || b->write) && a->start <= b->end && b->start <= a->end;
}

static struct lock *find_conflict(struct flock_list *l, const struct lock *want)
{
    for (struct lock *k = l->first; k; k = k->next)
        if (conflicts(k, want))
            return k;
    return NULL;
}

/* The one that F_GETLK tells of: the lowest. */
static struct lock *lowest_conflict(struct flock_list *l, const struct lock *want)
{
    struct lock *lowest = NULL;

    for (struct lock *k = l->first; k; k = k->next)
        if (conflicts(k, want) && (!lowest || k->start < lowest->start))
            lowest = k;
    return lowest;
}

static void add_lock(struct flock_list *l, struct lock *k)
{
    k->next = l->first;
    l->first = k;
}

/*
 * Take [want->start, want->end] away from the owner's locks; a lock cut in the middle needs *spare,
 * which is used up. A lock on the range as a whole goes.
 */
static bool carve(struct flock_list *l, const struct lock *want, struct lock **spare)
{
    struct lock **p = &l->first;
    bool changed = false;

    while (*p) {
        struct lock *k = *p;

        if (k->owner != want->owner || k->kind != want->kind || k->start > want->end ||
            k->end < want->start) {
            p = &k->next;
            continue;
        }
        changed = true;
        if (k->start < want->start && k->end > want->end) {
            struct lock *rest = *spare;

            *spare = NULL;
            *rest = *k;
            rest->start = want->end + 1;
            k->end = want->start - 1;
            add_lock(l, rest);
            return true;
        }
        if (k->start < want->start) {
            k->end = want->start - 1;
            p = &k->next;
        } else if (k->end > want->end) {
            k->start = want->end + 1;
            p = &k->next;
        } else {
            *p = k->next;
            kfree(k);
        }
    }
    return changed;
}

/* Adjacent locks of the same sort become one. */
static void merge(struct flock_list *l, struct lock *k)
{
    struct lock **p = &l->first;

    while (*p) {
        struct lock *o = *p;

        if (o != k && o->owner == k->owner && o->kind == k->kind && o->write == k->write &&
            (o->end + 1 == k->start || k->end + 1 == o->start)) {
            k->start = MIN(k->start, o->start);
            k->end = MAX(k->end, o->end);
            *p = o->next;
            kfree(o);
            p = &l->first;
            continue;
        }
        p = &o->next;
    }
}

static bool would_deadlock(const void *owner, const void *blocker)
{
    for (int depth = 0; depth < 32; depth++) {
        struct waiter *w, *next = NULL;

        if (blocker == owner)
            return true;
        list_for_each_entry (w, &g_waiters, link)
            if (w->owner == blocker)
                next = w;
        if (!next)
            return false;
        blocker = next->blocker;
    }
    return false;
}

/* want->kind etc. filled; unlock: only take away. */
static int apply(struct inode *i, const struct lock *want, bool unlock, bool wait)
{
    struct flock_list *l = list_of(i);
    struct lock *fresh = kmalloc(sizeof(*fresh)), *spare = kmalloc(sizeof(*spare)), *c;
    struct wait_entry e;
    int r = 0;

    if (!l || !fresh || !spare) {
        kfree(fresh);
        kfree(spare);
        return -ENOLCK;
    }
    waitq_add(&l->queue, &e);
    for (;;) {
        struct waiter w = {.owner = want->owner};

        mutex_lock(&g_locks_lock);
        c = unlock ? NULL : find_conflict(l, want);
        if (!c) {
            bool changed = carve(l, want, &spare);

            if (!unlock) {
                *fresh = *want;
                add_lock(l, fresh);
                if (want->kind != LOCK_FLOCK)
                    merge(l, fresh);
                fresh = NULL;
            }
            mutex_unlock(&g_locks_lock);
            waitq_remove(&e);
            if (changed)
                waitq_wake(&l->queue, UINT32_MAX);
            kfree(fresh);
            kfree(spare);
            return 0;
        }
        r = !wait                                                               ? -EAGAIN
            : want->kind == LOCK_POSIX && would_deadlock(want->owner, c->owner) ? -EDEADLK
                                                                                : 0;
        /* Changing the sort of a flock gives the old one up first. */
        if (want->kind == LOCK_FLOCK && r != -EDEADLK && carve(l, want, &spare)) {
            mutex_unlock(&g_locks_lock);
            waitq_wake(&l->queue, UINT32_MAX);
            if (r < 0)
                break;
            continue;
        }
        if (r == 0) {
            w.blocker = c->owner;
            list_add(&w.link, &g_waiters);
        }
        mutex_unlock(&g_locks_lock);
        if (r < 0)
            break;
        r = thread_wait(NO_DEADLINE, true, NULL, 0);
        mutex_lock(&g_locks_lock);
        list_del(&w.link);
        mutex_unlock(&g_locks_lock);
        if (r < 0) {
            r = -ERESTARTSYS;
            break;
        }
    }
    waitq_remove(&e);
    kfree(fresh);
    kfree(spare);
    return r;
}

static void drop_owner(struct inode *i, const void *owner, bool all_kinds)
{
    struct flock_list *l = __atomic_load_n(&i->locks, __ATOMIC_ACQUIRE);
    struct lock **p;
    bool changed = false;

    if (!l)
        return;
    mutex_lock(&g_locks_lock);
    p = &l->first;
    while (*p) {
        struct lock *k = *p;

        if (k->owner == owner && (all_kinds || k->kind == LOCK_POSIX)) {
            *p = k->next;
            kfree(k);
            changed = true;
        } else {
            p = &k->next;
        }
    }
    mutex_unlock(&g_locks_lock);
    if (changed)
        waitq_wake(&l->queue, UINT32_MAX);
}

void locks_release_file(struct file *f)
{
    drop_owner(f->inode, f, true);
}

void locks_release_owner(struct inode *i, struct files *owner)
{
    drop_owner(i, owner, false);
}

void locks_free(struct inode *i)
{
    struct flock_list *l = i->locks;

    while (l && l->first) {
        struct lock *k = l->first;

        l->first = k->next;
        kfree(k);
    }
    kfree(l);
    i->locks = NULL;
}

/* ---- fcntl ---- */

static int lock_range(struct file *f, const struct flock *fl, struct lock *k)
{
    i64 base = 0, start, end;

    switch (fl->l_whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = (i64)f->pos;
        break;
    case SEEK_END:
        base = (i64)f->inode->size;
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, fl->l_start, &start))
        return -EOVERFLOW;
    if (start < 0)
        return -EINVAL;
    end = INT64_MAX;
    if (fl->l_len > 0) {
        if (__builtin_add_overflow(start, fl->l_len - 1, &end))
            return -EOVERFLOW;
    } else if (fl->l_len < 0) {
        end = start - 1;
        start += fl->l_len;
        if (start < 0)
            return -EINVAL;
    }
    k->start = (u64)start;
    k->end = (u64)end;
    return 0;
}

int lock_fcntl(struct file *f, int cmd, struct flock *fl)
{
    bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
    struct process *p = current_process();
    struct lock want = {.kind = ofd ? LOCK_OFD : LOCK_POSIX,
                        .owner = ofd ? (void *)f : (void *)p->files,
                        .write = fl->l_type == F_WRLCK,
                        .pid = ofd ? -1 : p->pid};
    struct flock_list *l;
    struct lock *c;
    int r;

    if (!f->inode)
        return -EBADF;
    if (fl->l_type != F_RDLCK && fl->l_type != F_WRLCK && fl->l_type != F_UNLCK)
        return -EINVAL;
    if (ofd && fl->l_pid != 0)
        return -EINVAL;
    r = lock_range(f, fl, &want);
    if (r < 0)
        return r;
    if (cmd == F_GETLK || cmd == F_OFD_GETLK) {
        l = list_of(f->inode);
        if (!l)
            return -ENOLCK;
        mutex_lock(&g_locks_lock);
        c = fl->l_type == F_UNLCK ? NULL : lowest_conflict(l, &want);
        if (c) {
            fl->l_type = c->write ? F_WRLCK : F_RDLCK;
            fl->l_whence = SEEK_SET;
            fl->l_start = (i64)c->start;
            fl->l_len = c->end == INT64_MAX ? 0 : (i64)(c->end - c->start + 1);
            fl->l_pid = c->pid;
        } else {
            fl->l_type = F_UNLCK;
        }
        mutex_unlock(&g_locks_lock);
        return 0;
    }
    if (fl->l_type == F_RDLCK && (f->flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    if (fl->l_type == F_WRLCK && (f->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    return apply(f->inode, &want, fl->l_type == F_UNLCK, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

long sys_flock(SYSCALL_ARGS);
long sys_flock(SYSCALL_ARGS)
{
    struct fdref ref = fdref_get((int)a);
    struct lock want = {.kind = LOCK_FLOCK, .owner = ref.file, .end = INT64_MAX};
    int op = (int)b & ~4 /* LOCK_NB */;
    long r;

    if (!ref.file)
        return -EBADF;
    if (op != 1 && op != 2 && op != 8) {
        r = -EINVAL;
    } else if (!ref.file->inode) {
        r = -EBADF;
    } else {
        want.write = op == 2;
        want.pid = current_process()->pid;
        r = apply(ref.file->inode, &want, op == 8, !(b & 4));
    }
    fdref_put(ref);
    return r;
}
