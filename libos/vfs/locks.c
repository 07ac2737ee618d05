/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Advisory locks: POSIX (owned by a descriptor table), OFD and flock (owned by an open
 * description). One list per inode, made at the first lock and kept; g_locks_lock guards all lists.
 * Waiters sleep on the list's queue and try again. Files that others outside can lock too
 * (file_ops.lock) are asked for the lock there second; nobody tells when it is free there, so who
 * waits for it looks again, at most 64 ms later.
 */
#include "locks.h"

#define MS                 1000000ull
#define OUTSIDE_PAUSE_MOST (64 * MS)

struct flock_list {
    struct lock *first;
    struct waitq queue;
    /* With file_ops.lock: from the look at our own locks until the other's is taken as well.
     * Outside of g_locks_lock. */
    struct mutex outside;
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

/* No own lock is in the way of want: is one outside? Own locks do not come meanwhile. */
static int ask_outside(struct file *f, const struct lock *want, int op)
{
    struct lock k = *want;
    int r;

    mutex_unlock(&g_locks_lock);
    r = f->ops->lock(f, &k, op);
    mutex_lock(&g_locks_lock);
    return op == LOCK_CLEAR ? 0 : r;
}

struct attempt {
    struct lock *fresh, *spare; /* memory for what an attempt makes */
    struct waiter waiter;
    bool changed; /* the owner's locks are others now */
};

/*
 * One try, with all locks held. 0: done. -EAGAIN, *blocker: somebody in here has it, or outside
 * (NULL).
 */
static int try_lock(struct file *f, const struct lock *want, bool unlock, struct attempt *a,
                    const void **blocker)
{
    struct flock_list *l = f->inode->locks;
    struct lock *c = unlock ? NULL : find_conflict(l, want);
    int r = c ? -EAGAIN : 0;

    *blocker = c ? c->owner : NULL;
    if (r == 0 && f->ops->lock)
        r = ask_outside(f, want, unlock ? LOCK_CLEAR : LOCK_SET);
    if (r == 0) {
        a->changed = carve(l, want, &a->spare);
        if (!unlock) {
            *a->fresh = *want;
            add_lock(l, a->fresh);
            if (want->kind != LOCK_FLOCK)
                merge(l, a->fresh);
            a->fresh = NULL;
        }
    } else if (r == -EAGAIN && want->kind == LOCK_FLOCK) {
        /* Changing the sort of a flock gives the old one up first. */
        a->changed = carve(l, want, &a->spare);
        if (a->changed && f->ops->lock)
            ask_outside(f, want, LOCK_CLEAR);
    }
    return r;
}

/* Until want may be free. */
static int wait_for_lock(struct waiter *w, const void *blocker, u64 *pause)
{
    u64 deadline = NO_DEADLINE;
    int r;

    if (!blocker) {
        deadline = clock_monotonic() + *pause;
        *pause = MIN(*pause * 2, OUTSIDE_PAUSE_MOST);
    }
    r = thread_wait(deadline, true, NULL, 0);
    mutex_lock(&g_locks_lock);
    if (blocker)
        list_del(&w->link);
    mutex_unlock(&g_locks_lock);
    return r < 0 && r != -ETIMEDOUT ? -ERESTARTSYS : 0;
}

/* want->kind etc. filled; unlock: only take away. */
static int apply(struct file *f, const struct lock *want, bool unlock, bool wait)
{
    struct flock_list *l = list_of(f->inode);
    struct attempt a = {.fresh = kmalloc(sizeof(*a.fresh)),
                        .spare = kmalloc(sizeof(*a.spare)),
                        .waiter = {.owner = want->owner}};
    const void *blocker;
    struct wait_entry e;
    u64 pause = MS;
    int r = -EAGAIN;

    if (!l || !a.fresh || !a.spare) {
        kfree(a.fresh);
        kfree(a.spare);
        return -ENOLCK;
    }
    waitq_add(&l->queue, &e);
    while (r == -EAGAIN) {
        a.changed = false;
        if (f->ops->lock)
            mutex_lock(&l->outside);
        mutex_lock(&g_locks_lock);
        r = try_lock(f, want, unlock, &a, &blocker);
        if (r == -EAGAIN && wait && blocker && want->kind == LOCK_POSIX &&
            would_deadlock(want->owner, blocker))
            r = -EDEADLK;
        if (r == -EAGAIN && wait && blocker) {
            a.waiter.blocker = blocker;
            list_add(&a.waiter.link, &g_waiters);
        }
        mutex_unlock(&g_locks_lock);
        if (f->ops->lock)
            mutex_unlock(&l->outside);
        if (a.changed)
            waitq_wake(&l->queue, UINT32_MAX);
        if (r != -EAGAIN || !wait)
            break;
        r = wait_for_lock(&a.waiter, blocker, &pause);
        r = r == 0 ? -EAGAIN : r;
    }
    waitq_remove(&e);
    kfree(a.fresh);
    kfree(a.spare);
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

void locks_release_owner(struct file *f, struct files *owner)
{
    struct flock_list *l = __atomic_load_n(&f->inode->locks, __ATOMIC_ACQUIRE);

    if (!f->ops->lock) {
        drop_owner(f->inode, owner, false);
        return;
    }
    mutex_lock(&l->outside);
    drop_owner(f->inode, owner, false);
    f->ops->lock(f, &(struct lock){.owner = owner}, LOCK_DROP);
    mutex_unlock(&l->outside);
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
    struct kstat st = {.size = f->inode->size};
    i64 base = 0, start, end;

    switch (fl->l_whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = (i64)f->pos;
        break;
    case SEEK_END:
        if (f->ops->lock) /* others may have changed it */
            inode_stat(f->inode, &st);
        base = (i64)MIN(st.size, (u64)INT64_MAX);
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

/* F_GETLK: what is in the way, here or outside. */
static int lock_test(struct file *f, struct lock *want, struct flock *fl)
{
    struct flock_list *l = list_of(f->inode);
    struct lock found, *c = NULL;
    int r = 0;

    if (!l)
        return -ENOLCK;
    if (f->ops->lock)
        mutex_lock(&l->outside);
    mutex_lock(&g_locks_lock);
    if (fl->l_type != F_UNLCK)
        c = lowest_conflict(l, want);
    if (c)
        found = *c;
    mutex_unlock(&g_locks_lock);
    if (!c && fl->l_type != F_UNLCK && f->ops->lock) {
        found = *want;
        r = f->ops->lock(f, &found, LOCK_TEST);
        c = r > 0 ? &found : NULL;
    }
    if (f->ops->lock)
        mutex_unlock(&l->outside);
    if (r < 0)
        return r;
    if (!c) {
        fl->l_type = F_UNLCK;
        return 0;
    }
    fl->l_type = found.write ? F_WRLCK : F_RDLCK;
    fl->l_whence = SEEK_SET;
    fl->l_start = (i64)found.start;
    fl->l_len = found.end == INT64_MAX ? 0 : (i64)(found.end - found.start + 1);
    fl->l_pid = found.pid;
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
    if (cmd == F_GETLK || cmd == F_OFD_GETLK)
        return lock_test(f, &want, fl);
    if (fl->l_type == F_RDLCK && (f->flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    if (fl->l_type == F_WRLCK && (f->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    return apply(f, &want, fl->l_type == F_UNLCK, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

long sys_flock(int fd, int operation)
{
    struct fdref ref = fdref_get(fd);
    struct lock want = {.kind = LOCK_FLOCK, .owner = ref.file, .end = INT64_MAX};
    int op = operation & ~4 /* LOCK_NB */;
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
        r = apply(ref.file, &want, op == 8, !(operation & 4));
    }
    fdref_put(ref);
    return r;
}
