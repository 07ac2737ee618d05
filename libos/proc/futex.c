/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Futexes. The key is (mm, address); for a range that is mapped shared, (inode or nothing, offset),
 * so that the members of a fork group meet there. A waiter takes its bucket's mutex before it
 * leaves, so whoever holds that mutex may wake it.
 */
#include "proc.h"
#include <linux/futex.h>
#include <linux/mman.h>

struct futex_key {
    const void *object; /* mm, or inode of a shared mapping; NULL: shared anonymous memory */
    u64 offset;
};
struct futex_bucket {
    struct mutex lock;
    struct list_head waiters;
};
struct futex_waiter {
    struct list_head link;
    struct futex_key key;
    struct futex_bucket *bucket; /* changes on requeue: read again after locking */
    struct thread *thread;
    u32 bitset;
    u32 woken; /* atomic; 1: woken, 2: owns the PI lock */
    bool pi;
};

#define BUCKETS 256u
static struct futex_bucket g_buckets[BUCKETS];
static struct spinlock g_init_lock;
static bool g_ready;

static void buckets_init(void)
{
    if (__atomic_load_n(&g_ready, __ATOMIC_ACQUIRE))
        return;
    spin_lock(&g_init_lock);
    if (!g_ready) {
        for (u32 i = 0; i < BUCKETS; i++)
            list_init(&g_buckets[i].waiters);
        __atomic_store_n(&g_ready, true, __ATOMIC_RELEASE);
    }
    spin_unlock(&g_init_lock);
}

static struct futex_bucket *bucket_of(const struct futex_key *k)
{
    u64 h = ((u64)k->object ^ (k->offset >> 2)) * 0x9e3779b97f4a7c15ull;
    buckets_init();
    return &g_buckets[h >> 56 & (BUCKETS - 1)];
}

static bool key_equal(const struct futex_key *a, const struct futex_key *b)
{
    return a->object == b->object && a->offset == b->offset;
}

static struct futex_key key_of(struct mm *mm, u64 addr, bool private)
{
    struct futex_key key = {mm, addr};
    if (private || !mm)
        return key;
    mutex_lock(&mm->lock);
    struct rb_node *n = rb_find_le(&mm->vmas, addr);
    if (n) {
        const struct vma *v = container_of(n, struct vma, node);
        if (addr < v->end && (v->flags & MAP_SHARED)) {
            key.object = v->file ? (const void *)v->file->inode : NULL;
            key.offset = v->file ? addr - v->node.key + v->file_offset : addr;
        }
    }
    mutex_unlock(&mm->lock);
    return key;
}

/* Two buckets in one order, so that two requeues cannot deadlock. */
static void lock_two(struct futex_bucket *a, struct futex_bucket *b)
{
    if (a > b) {
        struct futex_bucket *t = a;
        a = b;
        b = t;
    }
    wake_begin();
    mutex_lock(&a->lock);
    if (a != b)
        mutex_lock(&b->lock);
}

static void unlock_two(struct futex_bucket *a, struct futex_bucket *b)
{
    mutex_unlock(&a->lock);
    if (a != b)
        mutex_unlock(&b->lock);
    wake_end();
}

/* The waiter may be gone as soon as woken is set and the bucket is unlocked. */
static void wake_locked(struct futex_waiter *w, u32 how)
{
    struct thread *t = w->thread;
    list_del(&w->link);
    __atomic_store_n(&w->woken, how, __ATOMIC_RELEASE);
    thread_wake(t);
}

static int wake_bucket_locked(struct futex_bucket *b, const struct futex_key *key, u32 count,
                              u32 bitset)
{
    struct futex_waiter *w, *n;
    int woken = 0;
    list_for_each_entry_safe (w, n, &b->waiters, link) {
        if ((u32)woken >= count)
            break;
        if (!key_equal(&w->key, key) || w->pi || !(w->bitset & bitset))
            continue;
        wake_locked(w, 1);
        woken++;
    }
    return woken;
}

static int futex_wake(struct futex_key key, u32 count, u32 bitset)
{
    struct futex_bucket *b = bucket_of(&key);
    if (bitset == 0)
        return -EINVAL;
    wake_begin();
    mutex_lock(&b->lock);
    int r = wake_bucket_locked(b, &key, count, bitset);
    mutex_unlock(&b->lock);
    wake_end();
    return r;
}

void futex_wake_address(struct mm *mm, u64 addr, u32 count)
{
    futex_wake(key_of(mm, addr, false), count, FUTEX_BITSET_MATCH_ANY);
}

/* Takes w out of whatever queue it is in; false: somebody woke it before. */
static bool unqueue(struct futex_waiter *w)
{
    for (;;) {
        struct futex_bucket *b = __atomic_load_n(&w->bucket, __ATOMIC_ACQUIRE);
        mutex_lock(&b->lock);
        if (b != w->bucket) {
            mutex_unlock(&b->lock);
            continue;
        }
        bool queued = !w->woken;
        if (queued)
            list_del(&w->link);
        mutex_unlock(&b->lock);
        return queued;
    }
}

/* Sleeps until woken; w is queued and unlocked. */
static int sleep_and_unqueue(struct futex_waiter *w, u64 deadline)
{
    int r = 0;
    while (!__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE) && r == 0)
        r = thread_wait(deadline, true, NULL, 0);
    return unqueue(w) ? r : 0;
}

static int queue_if_equal(struct futex_waiter *w, u64 addr, u32 expected)
{
    u32 value;
    /* Bring the page in first, so that the look under the lock is short. */
    if (user_load_u32(&value, user_at(addr)) < 0)
        return -EFAULT;
    w->bucket = bucket_of(&w->key);
    mutex_lock(&w->bucket->lock);
    int r = user_load_u32(&value, user_at(addr)) < 0 ? -EFAULT : 0;
    if (r == 0 && value != expected)
        r = -EAGAIN;
    if (r == 0)
        list_add_tail(&w->link, &w->bucket->waiters);
    mutex_unlock(&w->bucket->lock);
    return r;
}

static int wait_once(u64 addr, bool private, u32 expected, u64 deadline, u32 bitset)
{
    struct futex_waiter w = {.thread = current(), .bitset = bitset};
    if (bitset == 0)
        return -EINVAL;
    if (addr & 3)
        return -EINVAL;
    w.key = key_of(current_process()->mm, addr, private);
    int r = queue_if_equal(&w, addr, expected);
    return r < 0 ? r : sleep_and_unqueue(&w, deadline);
}

static long wait_restart(struct thread *t)
{
    int r = wait_once(t->restart_args[0], t->restart_args[1] & 1, (u32)t->restart_args[2],
                      t->restart_args[3], (u32)(t->restart_args[1] >> 32));
    return r == -EINTR ? -ERESTART_RESTARTBLOCK : r;
}

static long futex_wait(u64 addr, bool private, u32 expected, u64 deadline, u32 bitset)
{
    struct thread *t = current();
    int r = wait_once(addr, private, expected, deadline, bitset);
    if (r != -EINTR)
        return r;
    if (deadline == NO_DEADLINE)
        return -ERESTARTSYS;
    t->restart = wait_restart;
    t->restart_args[0] = addr;
    t->restart_args[1] = (u64)bitset << 32 | private;
    t->restart_args[2] = expected;
    t->restart_args[3] = deadline;
    return -ERESTART_RESTARTBLOCK;
}

static long futex_requeue(struct futex_key from, struct futex_key to, u32 wake, u32 move, u64 addr,
                          const u32 *expected)
{
    struct futex_bucket *a = bucket_of(&from), *b = bucket_of(&to);
    struct futex_waiter *w, *n;
    long done = 0;
    u32 value;
    if (expected && user_load_u32(&value, user_at(addr)) < 0)
        return -EFAULT;
    lock_two(a, b);
    if (expected && user_load_u32(&value, user_at(addr)) < 0)
        done = -EFAULT;
    else if (expected && value != *expected)
        done = -EAGAIN;
    if (done == 0) {
        u32 woken = 0, moved = 0;
        list_for_each_entry_safe (w, n, &a->waiters, link) {
            if (!key_equal(&w->key, &from) || w->pi)
                continue;
            if (woken < wake) {
                wake_locked(w, 1);
                woken++;
            } else if (moved < move) {
                list_del(&w->link);
                w->key = to;
                list_add_tail(&w->link, &b->waiters);
                __atomic_store_n(&w->bucket, b, __ATOMIC_RELEASE);
                moved++;
            } else {
                break;
            }
        }
        done = woken + moved;
    }
    unlock_two(a, b);
    return done;
}

/* FUTEX_WAKE_OP: change *addr2 by an encoded operation, wake there too if the old value
 * compares. */
static int apply_op(u32 encoded, u64 addr, u32 *old)
{
    u32 op = encoded >> 28 & 7;
    u32 arg = (u32)((i32)(encoded << 8) >> 20);
    if (encoded >> 31)
        arg = 1u << (arg & 31);
    for (;;) {
        u32 value, seen, next;
        if (user_load_u32(&value, user_at(addr)) < 0)
            return -EFAULT;
        switch (op) {
        case FUTEX_OP_SET:
            next = arg;
            break;
        case FUTEX_OP_ADD:
            next = value + arg;
            break;
        case FUTEX_OP_OR:
            next = value | arg;
            break;
        case FUTEX_OP_ANDN:
            next = value & ~arg;
            break;
        case FUTEX_OP_XOR:
            next = value ^ arg;
            break;
        default:
            return -ENOSYS;
        }
        if (user_cmpxchg_u32(user_at(addr), value, next, &seen) < 0)
            return -EFAULT;
        if (seen == value) {
            *old = value;
            return 0;
        }
    }
}

static bool compare_op(u32 encoded, u32 old)
{
    i32 arg = (i32)(encoded << 20) >> 20, value = (i32)old;
    switch (encoded >> 24 & 15) {
    case FUTEX_OP_CMP_EQ:
        return value == arg;
    case FUTEX_OP_CMP_NE:
        return value != arg;
    case FUTEX_OP_CMP_LT:
        return value < arg;
    case FUTEX_OP_CMP_LE:
        return value <= arg;
    case FUTEX_OP_CMP_GT:
        return value > arg;
    default:
        return value >= arg;
    }
}

static long futex_wake_op(struct futex_key k1, struct futex_key k2, u64 addr2, u32 count1,
                          u32 count2, u32 encoded)
{
    struct futex_bucket *a = bucket_of(&k1), *b = bucket_of(&k2);
    u32 old = 0;
    if ((encoded >> 24 & 15) > FUTEX_OP_CMP_GE)
        return -ENOSYS;
    if (user_load_u32(&old, user_at(addr2)) < 0)
        return -EFAULT;
    lock_two(a, b);
    long r = apply_op(encoded, addr2, &old);
    if (r == 0) {
        r = wake_bucket_locked(a, &k1, count1, FUTEX_BITSET_MATCH_ANY);
        if (compare_op(encoded, old))
            r += wake_bucket_locked(b, &k2, count2, FUTEX_BITSET_MATCH_ANY);
    }
    unlock_two(a, b);
    return r;
}

/* ---- priority inheritance locks ---- */
/* The word holds the owner's tid; there are no priorities here, so only ownership is handed on. */

static int pi_try_locked(u64 addr, u32 tid, bool trylock)
{
    for (;;) {
        u32 value, seen;
        if (user_load_u32(&value, user_at(addr)) < 0)
            return -EFAULT;
        if ((value & FUTEX_TID_MASK) == tid)
            return -EDEADLK;
        u32 next;
        if ((value & FUTEX_TID_MASK) == 0)
            next = tid | (value & (FUTEX_OWNER_DIED | FUTEX_WAITERS));
        else if (trylock)
            return -EWOULDBLOCK;
        else
            next = value | FUTEX_WAITERS;
        if (user_cmpxchg_u32(user_at(addr), value, next, &seen) < 0)
            return -EFAULT;
        if (seen == value)
            return (value & FUTEX_TID_MASK) == 0 ? 1 : 0;
    }
}

static bool tid_alive(u32 tid)
{
    mutex_lock(&g_process_lock);
    bool alive = thread_find((i32)tid) != NULL;
    mutex_unlock(&g_process_lock);
    return alive;
}

/*
 * The value of the word. -ESRCH: its owner died with it. One that gave it up and then ended,
 * between our two looks, is no such owner: glibc puts a thread that is told ESRCH to sleep for
 * good.
 */
static int pi_value(u64 addr, u32 *value)
{
    u32 before;
    if (user_load_u32(value, user_at(addr)) < 0)
        return -EFAULT;
    do {
        u32 owner = *value & FUTEX_TID_MASK;
        if (!owner || owner == (u32)current()->tid || tid_alive(owner))
            return 0;
        before = *value;
        if (user_load_u32(value, user_at(addr)) < 0)
            return -EFAULT;
    } while (*value != before);
    return -ESRCH;
}

static long futex_lock_pi(u64 addr, bool private, u64 deadline, bool trylock)
{
    struct futex_waiter w = {.thread = current(), .pi = true};
    u32 tid = (u32)current()->tid, value;
    w.key = key_of(current_process()->mm, addr, private);
    int r = pi_value(addr, &value);
    if (r < 0)
        return r;
    w.bucket = bucket_of(&w.key);
    mutex_lock(&w.bucket->lock);
    r = pi_try_locked(addr, tid, trylock);
    if (r == 0)
        list_add_tail(&w.link, &w.bucket->waiters);
    mutex_unlock(&w.bucket->lock);
    if (r != 0)
        return r == 1 ? 0 : r;
    r = sleep_and_unqueue(&w, deadline);
    if (w.woken == 2)
        return 0;
    return r == -EINTR ? -ERESTARTNOINTR : r;
}

static int pi_hand_over_locked(struct futex_bucket *b, const struct futex_key *key, u64 addr,
                               u32 value, u32 extra)
{
    struct futex_waiter *w, *next = NULL;
    u32 waiting = 0, seen;
    list_for_each_entry (w, &b->waiters, link) {
        if (!key_equal(&w->key, key) || !w->pi)
            continue;
        if (!next)
            next = w;
        waiting++;
    }
    u32 desired = (next ? (u32)next->thread->tid : 0) | (waiting > 1 ? FUTEX_WAITERS : 0) | extra;
    if (user_cmpxchg_u32(user_at(addr), value, desired, &seen) < 0)
        return -EFAULT;
    if (seen != value)
        return -EAGAIN;
    if (next)
        wake_locked(next, 2);
    return 0;
}

static long futex_unlock_pi(u64 addr, bool private)
{
    struct futex_key key = key_of(current_process()->mm, addr, private);
    struct futex_bucket *b = bucket_of(&key);
    u32 value;
    long r;
    mutex_lock(&b->lock);
    do {
        r = user_load_u32(&value, user_at(addr));
        if (r == 0 && (value & FUTEX_TID_MASK) != (u32)current()->tid)
            r = -EPERM;
        if (r == 0)
            r = pi_hand_over_locked(b, &key, addr, value, 0);
    } while (r == -EAGAIN);
    mutex_unlock(&b->lock);
    return r;
}

static long futex_deadline(u32 op, u64 timeout, u64 *deadline)
{
    u32 cmd = op & FUTEX_CMD_MASK;
    bool takes = cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_LOCK_PI ||
                 cmd == FUTEX_LOCK_PI2;
    u64 ns;
    *deadline = NO_DEADLINE;
    if (!takes || !timeout)
        return 0;
    int r = timespec_from_user(user_at(timeout), &ns);
    if (r < 0)
        return r;
    bool realtime = (op & FUTEX_CLOCK_REALTIME) || cmd == FUTEX_LOCK_PI;
    return clock_deadline(realtime ? 0 : 1, cmd != FUTEX_WAIT, ns, deadline);
}

long sys_futex(uaddr word1, int operation, u32 value, u64 timeout, uaddr word2, u32 value3)
{
    u64 addr = word1.at, addr2 = word2.at, deadline;
    u32 op = (u32)operation, cmd = op & FUTEX_CMD_MASK, word;
    bool private = op & FUTEX_PRIVATE_FLAG;
    struct mm *mm = current_process()->mm;
    if (addr & 3)
        return -EINVAL;
    long r = futex_deadline(op, timeout, &deadline);
    if (r < 0)
        return r;
    /* Shared words are looked up by their page, which must be there to be read. */
    if (!private && user_load_u32(&word, user_at(addr)) < 0)
        return -EFAULT;
    if ((cmd == FUTEX_REQUEUE || cmd == FUTEX_CMP_REQUEUE) && ((i32)value < 0 || (i32)timeout < 0))
        return -EINVAL;
    if ((cmd == FUTEX_REQUEUE || cmd == FUTEX_CMP_REQUEUE || cmd == FUTEX_WAKE_OP) && !private &&
        !(addr2 & 3) && user_load_u32(&word, user_at(addr2)) < 0)
        return -EFAULT;
    switch (cmd) {
    case FUTEX_WAIT:
        return futex_wait(addr, private, value, deadline, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
        return futex_wait(addr, private, value, deadline, value3);
    case FUTEX_WAKE:
        return futex_wake(key_of(mm, addr, private), value, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return futex_wake(key_of(mm, addr, private), value, value3);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        if (addr2 & 3)
            return -EINVAL;
        return futex_requeue(key_of(mm, addr, private), key_of(mm, addr2, private), value,
                             (u32)timeout, addr, cmd == FUTEX_CMP_REQUEUE ? &value3 : NULL);
    case FUTEX_WAKE_OP:
        if (addr2 & 3)
            return -EINVAL;
        return futex_wake_op(key_of(mm, addr, private), key_of(mm, addr2, private), addr2, value,
                             (u32)timeout, value3);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi(addr, private, deadline, false);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(addr, private, deadline, true);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(addr, private);
    default:
        return -ENOSYS;
    }
}

/* ---- futex_waitv: until one of several is woken ---- */

/* The index of one that was woken, of those that were queued; -1: none was. */
static int unqueue_all(struct futex_waiter *w, u32 count)
{
    int woken = -1;
    for (u32 i = 0; i < count; i++)
        if (!unqueue(&w[i]))
            woken = (int)i;
    return woken;
}

static bool any_woken(const struct futex_waiter *w, u32 count)
{
    for (u32 i = 0; i < count; i++)
        if (__atomic_load_n(&w[i].woken, __ATOMIC_ACQUIRE))
            return true;
    return false;
}

static int waiter_from_user(struct futex_waiter *w, u64 *addr, u32 *expected, uaddr user)
{
    struct futex_waitv v;
    if (get_user(v, user) < 0)
        return -EFAULT;
    if ((v.flags & ~(u32)FUTEX_PRIVATE_FLAG) != FUTEX_32 || v.__reserved || v.val > UINT32_MAX ||
        (v.uaddr & 3))
        return -EINVAL;
    *addr = v.uaddr;
    *expected = (u32)v.val;
    w->thread = current();
    w->bitset = FUTEX_BITSET_MATCH_ANY;
    w->key = key_of(current_process()->mm, v.uaddr, v.flags & FUTEX_PRIVATE_FLAG);
    return 0;
}

static long wait_for_any(struct futex_waiter *w, uaddr user_waiters, u32 count, u64 deadline)
{
    u32 queued = 0;
    int r = 0;
    /* All are looked at before any of them waits, as on Linux. */
    for (u32 pass = 0; pass < 2; pass++)
        for (u32 i = 0; r == 0 && i < count; i++) {
            uaddr user = user_plus(user_waiters, i * sizeof(struct futex_waitv));
            u64 addr;
            u32 expected;
            r = waiter_from_user(&w[i], &addr, &expected, user);
            if (r == 0 && pass == 1)
                r = queue_if_equal(&w[i], addr, expected);
            queued += r == 0 && pass == 1;
        }
    while (r == 0 && !any_woken(w, queued))
        r = thread_wait(deadline, true, NULL, 0);
    int woken = unqueue_all(w, queued);
    if (woken >= 0)
        return woken;
    return r == -EINTR ? -ERESTARTSYS : r;
}

long sys_futex_waitv(uaddr waiters, u32 count, u32 flags, uaddr timeout, int clock)
{
    u64 deadline = NO_DEADLINE, ns;
    if (flags || !count || count > FUTEX_WAITV_MAX || !waiters.at)
        return -EINVAL;
    if (timeout.at) {
        if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
            return -EINVAL;
        int r = timespec_from_user(timeout, &ns);
        if (r == 0)
            r = clock_deadline(clock, true, ns, &deadline);
        if (r < 0)
            return r;
    }
    struct futex_waiter *w = kzalloc(count * sizeof(*w));
    if (!w)
        return -ENOMEM;
    long r = wait_for_any(w, waiters, count, deadline);
    kfree(w);
    return r;
}

/* ---- robust lists ---- */

#define ROBUST_MAX 2048

static void robust_word(struct thread *t, u64 addr, bool pi, bool pending)
{
    struct mm *mm = t->process->mm;
    u32 value, seen;
    if ((addr & 3) || user_load_u32(&value, user_at(addr)) < 0)
        return;
    if (pending && !pi && value == 0) {
        /* Died between unlocking and waking. */
        futex_wake_address(mm, addr, 1);
        return;
    }
    if ((value & FUTEX_TID_MASK) != (u32)t->tid)
        return;
    if (pi) {
        struct futex_key key = key_of(mm, addr, true);
        struct futex_bucket *b = bucket_of(&key);
        mutex_lock(&b->lock);
        (void)pi_hand_over_locked(b, &key, addr, value, FUTEX_OWNER_DIED);
        mutex_unlock(&b->lock);
        return;
    }
    do {
        if (user_cmpxchg_u32(user_at(addr), value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED,
                             &seen) < 0)
            return;
        if (seen == value)
            break;
        value = seen;
    } while ((value & FUTEX_TID_MASK) == (u32)t->tid);
    if (value & FUTEX_WAITERS) {
        futex_wake_address(mm, addr, 1);
        futex_wake(key_of(mm, addr, true), 1, FUTEX_BITSET_MATCH_ANY);
    }
}

bool futex_robust_held(const struct thread *t)
{
    struct robust_list_head head;
    return t->robust_list && get_user(head, user_at(t->robust_list)) == 0 &&
           ((u64)head.list.next != t->robust_list || head.list_op_pending);
}

void futex_robust_exit(struct thread *t)
{
    struct robust_list_head head;
    u64 entry, next;
    if (!t->robust_list || get_user(head, user_at(t->robust_list)) < 0)
        return;
    u64 pending = (u64)head.list_op_pending;
    entry = (u64)head.list.next;
    for (int i = 0; i < ROBUST_MAX && (entry & ~1ull) != t->robust_list; i++) {
        bool readable = get_user(next, user_at(entry & ~1ull)) == 0;
        if ((entry & ~1ull) != (pending & ~1ull))
            robust_word(t, (entry & ~1ull) + (u64)head.futex_offset, entry & 1, false);
        if (!readable)
            break;
        entry = next;
    }
    if (pending)
        robust_word(t, (pending & ~1ull) + (u64)head.futex_offset, pending & 1, true);
    t->robust_list = 0;
}

long sys_set_robust_list(uaddr head, u64 size)
{
    if (size != sizeof(struct robust_list_head))
        return -EINVAL;
    current()->robust_list = head.at;
    return 0;
}

long sys_get_robust_list(int pid, uaddr user_head, uaddr user_size)
{
    u64 head = 0, size = sizeof(struct robust_list_head);
    mutex_lock(&g_process_lock);
    struct thread *t = pid == 0 ? current() : thread_find(pid);
    bool allowed = t && (t->process == current_process() || capable(19 /* CAP_SYS_PTRACE */));
    if (allowed)
        head = t->robust_list;
    mutex_unlock(&g_process_lock);
    if (!t)
        return -ESRCH;
    if (!allowed)
        return -EPERM;
    if (put_user(head, user_head) < 0 || put_user(size, user_size) < 0)
        return -EFAULT;
    return 0;
}
