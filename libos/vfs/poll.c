/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_wait(), and the one engine of all that wait for files (but epoll), over struct
 * file_ops.poll. The first scan puts the thread into the queues of LibOS objects and gathers host
 * descriptors; the thread then waits for all of them in one thread_wait(), and later scans only
 * look. Small sets need no allocation.
 */
#include "poll.h"

void (*g_file_unwatch)(struct file *f);

#define INLINE_ENTRIES 24
#define CHUNK_ENTRIES  70

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
    struct host_pollfd inline_hosts[POLL_INLINE_ITEMS];
    u32 inline_owners[POLL_INLINE_ITEMS];
};

void poll_wait(struct poll_table *pt, struct waitq *q)
{
    if (pt != NULL && pt->wait != NULL)
        pt->wait(pt, q);
}

void poll_wait_for(struct poll_table *pt, struct waitq *q, u32 events)
{
    if (pt == NULL)
        return;
    pt->key = events;
    poll_wait(pt, q);
    pt->key = 0;
}

u32 poll_host(struct poll_table *pt, hostfd hfd, u16 events)
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

static void set_host(struct poll_table *pt, hostfd hfd, u16 events)
{
    struct poll_set *s = container_of(pt, struct poll_set, pt);

    if (s->items[s->current].hosts == hfd.n + 1)
        return;
    s->items[s->current].hosts = hfd.n + 1;
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
    s->host_room = POLL_INLINE_ITEMS;
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

/* ---- poll ---- */

void poll_items_put(struct poll_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].file != NULL)
            file_put(items[i].file);
    }
}
