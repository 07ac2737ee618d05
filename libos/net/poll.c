/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll, ppoll, select, pselect6 and file_wait(): one engine over struct file_ops.poll. The first
 * scan puts the thread into the queues of LibOS objects and gathers host descriptors; the thread
 * then waits for all of them in one thread_wait(), and later scans only look. Small sets need no
 * allocation.
 */
#include "poll.h"
#include <linux/time_types.h>
#include <linux/types.h>

#define INLINE_ITEMS   16
#define INLINE_ENTRIES 24
#define CHUNK_ENTRIES  70
#define RLIMIT_NOFILE  7

struct entry_chunk {
    struct entry_chunk *next;
    size_t used;
    struct wait_entry entries[CHUNK_ENTRIES];
};

struct poll_set {
    struct poll_table pt;
    struct poll_item *items;
    size_t count, current;
    bool registering; /* queues; host descriptors are gathered in any case, each once */
    int err;
    u64 extra_deadline;

    size_t entry_count;
    struct entry_chunk *chunks;
    struct host_pollfd *hosts;
    u32 *owners; /* hosts[i] belongs to items[owners[i]] */
    size_t host_count, host_room;

    struct wait_entry entries[INLINE_ENTRIES];
    struct host_pollfd inline_hosts[INLINE_ITEMS];
    u32 inline_owners[INLINE_ITEMS];
};

void poll_wait(struct poll_table *pt, struct waitq *q)
{
    if (pt != NULL && pt->wait != NULL)
        pt->wait(pt, q);
}

u32 poll_host(struct poll_table *pt, int hfd, u16 events)
{
    struct host_pollfd p = {.hfd = hfd, .events = events};

    if (pt != NULL) {
        if (pt->host != NULL)
            pt->host(pt, hfd, events & pt->events);
        return 0;
    }
    return host_poll(&p, 1) > 0 ? p.revents & (events | POLL_ALWAYS) : 0;
}

void poll_deadline(struct poll_table *pt, u64 when)
{
    if (pt != NULL && pt->deadline != NULL)
        pt->deadline(pt, when);
}

/* ---- the set ---- */

static struct wait_entry *set_entry(struct poll_set *s)
{
    struct entry_chunk *c = s->chunks;

    if (s->entry_count < INLINE_ENTRIES)
        return &s->entries[s->entry_count++];
    if (c == NULL || c->used == CHUNK_ENTRIES) {
        c = kmalloc(sizeof(*c));
        if (c == NULL)
            return NULL;
        c->used = 0;
        c->next = s->chunks;
        s->chunks = c;
    }
    return &c->entries[c->used++];
}

static void set_wait(struct poll_table *pt, struct waitq *q)
{
    struct poll_set *s = container_of(pt, struct poll_set, pt);
    struct wait_entry *e;

    if (!s->registering)
        return;
    e = set_entry(s);
    if (e == NULL)
        s->err = -ENOMEM;
    else
        waitq_add(q, e);
}

static int set_grow_hosts(struct poll_set *s)
{
    size_t room = s->host_room * 4;
    struct host_pollfd *hosts = kmalloc(room * sizeof(*hosts));
    u32 *owners = kmalloc(room * sizeof(*owners));

    if (hosts == NULL || owners == NULL) {
        kfree(hosts);
        kfree(owners);
        return -ENOMEM;
    }
    memcpy(hosts, s->hosts, s->host_count * sizeof(*hosts));
    memcpy(owners, s->owners, s->host_count * sizeof(*owners));
    if (s->hosts != s->inline_hosts) {
        kfree(s->hosts);
        kfree(s->owners);
    }
    s->hosts = hosts;
    s->owners = owners;
    s->host_room = room;
    return 0;
}

static void set_host(struct poll_table *pt, int hfd, u16 events)
{
    struct poll_set *s = container_of(pt, struct poll_set, pt);

    if (s->items[s->current].hosts == hfd + 1)
        return;
    s->items[s->current].hosts = hfd + 1;
    if (s->host_count == s->host_room && set_grow_hosts(s) < 0) {
        s->err = -ENOMEM;
        return;
    }
    s->hosts[s->host_count] = (struct host_pollfd){.hfd = hfd, .events = events};
    s->owners[s->host_count++] = (u32)s->current;
}

static void set_deadline(struct poll_table *pt, u64 when)
{
    struct poll_set *s = container_of(pt, struct poll_set, pt);

    if (when < s->extra_deadline)
        s->extra_deadline = when;
}

static void set_init(struct poll_set *s, struct poll_item *items, size_t count, bool registering)
{
    s->pt = (struct poll_table){.wait = set_wait, .host = set_host, .deadline = set_deadline};
    s->items = items;
    s->count = count;
    s->registering = registering;
    s->err = 0;
    s->entry_count = 0;
    s->chunks = NULL;
    s->hosts = s->inline_hosts;
    s->owners = s->inline_owners;
    s->host_count = 0;
    s->host_room = INLINE_ITEMS;
}

static void set_release(struct poll_set *s)
{
    struct entry_chunk *c;

    for (size_t i = 0; i < s->entry_count; i++)
        waitq_remove(&s->entries[i]);
    while ((c = s->chunks) != NULL) {
        for (size_t i = 0; i < c->used; i++)
            waitq_remove(&c->entries[i]);
        s->chunks = c->next;
        kfree(c);
    }
    if (s->hosts != s->inline_hosts) {
        kfree(s->hosts);
        kfree(s->owners);
    }
}

/* What LibOS objects say now. */
static void set_scan(struct poll_set *s)
{
    s->extra_deadline = NO_DEADLINE;
    for (size_t i = 0; i < s->count; i++) {
        struct poll_item *it = &s->items[i];
        u32 ready;

        if (it->file == NULL)
            continue;
        s->current = i;
        s->pt.events = it->events | POLL_ALWAYS;
        if (it->file->ops->poll == NULL)
            ready = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
        else
            ready = it->file->ops->poll(it->file, &s->pt);
        it->revents = (u16)(ready & s->pt.events);
        if (it->revents != 0)
            s->registering = false;
    }
}

/* What the host said about its descriptors: believed only as far as it was asked. */
static void set_merge_hosts(struct poll_set *s)
{
    for (size_t i = 0; i < s->host_count; i++) {
        struct host_pollfd *h = &s->hosts[i];
        struct poll_item *it = &s->items[s->owners[i]];
        u16 revents = h->revents & POLLNVAL ? POLLERR : h->revents;

        it->revents |= revents & (h->events | POLL_ALWAYS);
        h->revents = 0;
    }
}

static int set_ready(const struct poll_set *s)
{
    int ready = 0;

    for (size_t i = 0; i < s->count; i++)
        ready += s->items[i].revents != 0;
    return ready;
}

static int set_run(struct poll_set *s, u64 deadline)
{
    int ready, r;

    set_scan(s);
    for (;;) {
        if (s->err < 0)
            return s->err;
        ready = set_ready(s);
        if (ready > 0 || deadline == 0) {
            if (s->host_count == 0 || host_poll(s->hosts, s->host_count) <= 0)
                return ready;
            set_merge_hosts(s);
            return set_ready(s);
        }
        r = thread_wait(MIN(deadline, s->extra_deadline), true, s->host_count > 0 ? s->hosts : NULL,
                        s->host_count);
        s->registering = false;
        set_scan(s);
        set_merge_hosts(s);
        ready = set_ready(s);
        if (ready > 0)
            return ready;
        if (r == -EINTR)
            return r;
        if (deadline != NO_DEADLINE && clock_monotonic() >= deadline)
            return 0;
    }
}

int poll_items(struct poll_item *items, size_t count, u64 deadline)
{
    struct poll_set s;
    int r;

    set_init(&s, items, count, deadline != 0);
    r = set_run(&s, deadline);
    set_release(&s);
    return r;
}

int file_wait(struct file *f, u16 events, u64 deadline)
{
    struct poll_item it = {.events = events, .file = f};
    int r = poll_items(&it, 1, deadline);

    if (r > 0)
        return 0;
    if (r == 0)
        return -ETIMEDOUT;
    return r == -EINTR ? -ERESTARTSYS : r;
}

/* ---- time and signal mask arguments ---- */

u64 deadline_after(u64 ns)
{
    u64 now = clock_monotonic();

    return ns >= NO_DEADLINE - now ? NO_DEADLINE - 1 : now + ns;
}

int ns_from_timespec(const void __user *ts, u64 *ns)
{
    struct __kernel_timespec t;

    if (copy_from_user(&t, ts, sizeof(t)) < 0)
        return -EFAULT;
    if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec >= 1000000000)
        return -EINVAL;
    if (t.tv_sec > INT64_MAX / 1000000000 - 1)
        *ns = INT64_MAX;
    else
        *ns = (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
    return 0;
}

int deadline_from_timespec(const void __user *ts, u64 *deadline)
{
    u64 ns;
    int r;

    *deadline = NO_DEADLINE;
    if (ts == NULL)
        return 0;
    r = ns_from_timespec(ts, &ns);
    if (r == 0)
        *deadline = ns == 0 ? 0 : deadline_after(ns);
    return r;
}

int sigmask_enter(const void __user *mask, size_t size)
{
    u64 set;

    if (mask == NULL)
        return 0;
    if (size != sizeof(set))
        return -EINVAL;
    if (copy_from_user(&set, mask, sizeof(set)) < 0)
        return -EFAULT;
    signal_mask_set_temporary(set);
    return 0;
}

void sigmask_leave(bool interrupted)
{
    if (current()->restore_mask && !interrupted)
        signal_mask_restore();
}

/* What is left until the deadline, for the calls that write it back. Failure to write is ignored,
 * as Linux does. */
static void put_remaining(void __user *ts, u64 deadline, bool timeval)
{
    i64 out[2] = {0, 0};
    u64 now, left;

    if (ts == NULL || deadline == NO_DEADLINE)
        return;
    now = deadline == 0 ? 0 : clock_monotonic();
    left = deadline > now ? deadline - now : 0;
    out[0] = (i64)(left / 1000000000);
    out[1] = (i64)(left % 1000000000) / (timeval ? 1000 : 1);
    (void)copy_to_user(ts, out, sizeof(out));
}

/* ---- poll ---- */

static void items_put(struct poll_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].file != NULL)
            file_put(items[i].file);
    }
}

static int poll_items_from_user(struct poll_item *items, const struct pollfd __user *ufds,
                                size_t count)
{
    struct pollfd p;

    for (size_t i = 0; i < count; i++) {
        if (copy_from_user(&p, ufds + i, sizeof(p)) < 0) {
            items_put(items, i);
            return -EFAULT;
        }
        items[i] = (struct poll_item){.fd = p.fd, .events = (u16)p.events};
        if (p.fd < 0)
            continue;
        items[i].file = fd_get(p.fd);
        if (items[i].file == NULL)
            items[i].revents = POLLNVAL;
    }
    return 0;
}

static long poll_user(struct pollfd __user *ufds, u64 count, u64 deadline)
{
    struct poll_item fast[INLINE_ITEMS], *items = fast;
    long r;

    if (count > current_process()->rlimits[RLIMIT_NOFILE].soft)
        return -EINVAL;
    if (count > INLINE_ITEMS) {
        items = kmalloc(count * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
    }
    r = poll_items_from_user(items, ufds, count);
    if (r == 0) {
        r = poll_items(items, count, deadline);
        for (size_t i = 0; r >= 0 && i < count; i++) {
            if (copy_to_user(&ufds[i].revents, &items[i].revents, sizeof(ufds[i].revents)) < 0)
                r = -EFAULT;
        }
        items_put(items, count);
    }
    if (items != fast)
        kfree(items);
    return r;
}

static long poll_interrupted(struct thread *t, u64 ufds, u64 count, u64 deadline);

static long poll_restart(struct thread *t)
{
    u64 ufds = t->restart_args[0], count = t->restart_args[1], deadline = t->restart_args[2];
    long r = poll_user((struct pollfd __user *)ufds, count, deadline);

    return r == -EINTR ? poll_interrupted(t, ufds, count, deadline) : r;
}

static long poll_interrupted(struct thread *t, u64 ufds, u64 count, u64 deadline)
{
    t->restart = poll_restart;
    t->restart_args[0] = ufds;
    t->restart_args[1] = count;
    t->restart_args[2] = deadline;
    return -ERESTART_RESTARTBLOCK;
}

long sys_poll(SYSCALL_ARGS)
{
    int timeout = (int)c;
    u64 deadline = timeout < 0    ? NO_DEADLINE
                   : timeout == 0 ? 0
                                  : deadline_after((u64)timeout * 1000000);
    long r = poll_user((struct pollfd __user *)a, (u32)b, deadline);

    return r == -EINTR ? poll_interrupted(current(), (u64)a, (u32)b, deadline) : r;
}

long sys_ppoll(SYSCALL_ARGS)
{
    u64 deadline;
    long r = deadline_from_timespec((void __user *)c, &deadline);

    if (r == 0)
        r = sigmask_enter((void __user *)d, (size_t)e);
    if (r < 0)
        return r;
    r = poll_user((struct pollfd __user *)a, (u32)b, deadline);
    sigmask_leave(r == -EINTR);
    put_remaining((void __user *)c, deadline, false);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}

/* ---- select ---- */

#define SELECT_IN  (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX  POLLPRI

struct select_sets {
    u64 __user *user[3]; /* in, out, ex; NULL: not given */
    u64 *in[3], *out[3];
    size_t words;
};

static const u16 select_asks[3] = {POLLIN | POLLRDNORM | POLLRDBAND | POLLRDHUP,
                                   POLLOUT | POLLWRNORM | POLLWRBAND, POLLPRI};
static const u16 select_tells[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};

static bool bit_of(const u64 *set, size_t n)
{
    return set[n / 64] >> n % 64 & 1;
}

/* The sets as items; *count is how many. -EBADF for a descriptor that is not open. */
static int select_items(const struct select_sets *s, size_t n, struct poll_item *items,
                        size_t *count)
{
    for (size_t fd = 0; fd < n; fd++) {
        u16 events = 0;

        for (int k = 0; k < 3; k++) {
            if (bit_of(s->in[k], fd))
                events |= select_asks[k];
        }
        if (events == 0)
            continue;
        items[*count] = (struct poll_item){
            .fd = (int)fd, .events = events, .file = fd_get((int)fd)};
        if (items[*count].file == NULL)
            return -EBADF;
        (*count)++;
    }
    return 0;
}

static int select_results(struct select_sets *s, const struct poll_item *items, size_t count)
{
    int bits = 0;

    for (size_t i = 0; i < count; i++) {
        size_t fd = (size_t)items[i].fd;

        for (int k = 0; k < 3; k++) {
            if (bit_of(s->in[k], fd) && (items[i].revents & select_tells[k]) != 0) {
                s->out[k][fd / 64] |= 1ull << fd % 64;
                bits++;
            }
        }
    }
    return bits;
}

static size_t select_members(const struct select_sets *s)
{
    size_t members = 0;

    for (size_t w = 0; w < s->words; w++)
        members += (size_t)__builtin_popcountll(s->in[0][w] | s->in[1][w] | s->in[2][w]);
    return members;
}

static long select_run(struct select_sets *s, size_t n, u64 deadline)
{
    struct poll_item fast[INLINE_ITEMS], *items = fast;
    size_t count = 0, members = select_members(s);
    long r;

    if (members > INLINE_ITEMS) {
        items = kmalloc(members * sizeof(*items));
        if (items == NULL)
            return -ENOMEM;
    }
    r = select_items(s, n, items, &count);
    if (r == 0)
        r = poll_items(items, count, deadline);
    if (r >= 0)
        r = select_results(s, items, count);
    items_put(items, count);
    if (items != fast)
        kfree(items);
    return r;
}

/* A set of n bits is read and written as whole longs; bits from n on are ignored. */
static long select_user(int n, u64 __user *const user[3], u64 deadline)
{
    u64 fast[6 * 16] = {0}, *memory = fast;
    struct select_sets s = {.user = {user[0], user[1], user[2]}};
    size_t limit = current_process()->files->size;
    long r = 0;

    if (n < 0)
        return -EINVAL;
    if ((size_t)n > limit)
        n = (int)limit;
    s.words = ((size_t)n + 63) / 64;
    if (s.words > 16) {
        memory = kzalloc(6 * s.words * 8);
        if (memory == NULL)
            return -ENOMEM;
    }
    for (int k = 0; k < 3; k++) {
        s.in[k] = memory + (size_t)k * s.words;
        s.out[k] = memory + (size_t)(k + 3) * s.words;
        if (r == 0 && user[k] != NULL)
            r = copy_from_user(s.in[k], user[k], s.words * 8);
        if (n % 64 != 0)
            s.in[k][s.words - 1] &= (1ull << n % 64) - 1;
    }
    if (r == 0)
        r = select_run(&s, (size_t)n, deadline);
    for (int k = 0; r >= 0 && k < 3; k++) {
        if (user[k] != NULL && copy_to_user(user[k], s.out[k], s.words * 8) < 0)
            r = -EFAULT;
    }
    if (memory != fast)
        kfree(memory);
    return r;
}

long sys_select(SYSCALL_ARGS)
{
    u64 __user *const sets[3] = {(u64 __user *)b, (u64 __user *)c, (u64 __user *)d};
    u64 deadline = NO_DEADLINE;
    i64 tv[2];
    long r;

    if (e != 0) {
        if (copy_from_user(tv, (void __user *)e, sizeof(tv)) < 0)
            return -EFAULT;
        if (tv[0] < 0 || tv[1] < 0)
            return -EINVAL;
        if (tv[0] == 0 && tv[1] == 0)
            deadline = 0;
        else if (tv[0] < INT64_MAX / 2000000000 && tv[1] < INT64_MAX / 2000)
            deadline = deadline_after((u64)tv[0] * 1000000000 + (u64)tv[1] * 1000);
    }
    r = select_user((int)a, sets, deadline);
    put_remaining((void __user *)e, deadline, true);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}

long sys_pselect6(SYSCALL_ARGS)
{
    u64 __user *const sets[3] = {(u64 __user *)b, (u64 __user *)c, (u64 __user *)d};
    u64 mask[2] = {0, 0}; /* pointer, size */
    u64 deadline;
    long r = deadline_from_timespec((void __user *)e, &deadline);

    if (r == 0 && f != 0 && copy_from_user(mask, (void __user *)f, sizeof(mask)) < 0)
        r = -EFAULT;
    if (r == 0)
        r = sigmask_enter((void __user *)mask[0], mask[1]);
    if (r < 0)
        return r;
    r = select_user((int)a, sets, deadline);
    sigmask_leave(r == -EINTR);
    put_remaining((void __user *)e, deadline, false);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}
