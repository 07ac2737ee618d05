/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which socket has which port inside: what bind() refuses, the ports of those that connect without
 * one, and who gets what comes. The rules are Linux's (inet_csk_bind_conflict, compute_score).
 *
 * In the table is who could meet another inside: bound to loopback or to a wildcard, connected
 * inside, or accepted inside.
 */
#include "loop.h"
#include "net.h"

#define BUCKETS 256u

struct mutex g_loop_ports;
static struct list_head g_tables[3][BUCKETS]; /* TCP, UDP, UDP-Lite */

static struct list_head *table(const struct loop_sock *s)
{
    return g_tables[s->base.protocol == IPPROTO_TCP       ? 0
                    : s->base.protocol == IPPROTO_UDPLITE ? 2
                                                          : 1];
}

static struct list_head *bucket(const struct loop_sock *s, u16 port)
{
    struct list_head *b = &table(s)[port % BUCKETS];

    if (b->next == NULL)
        list_init(b);
    return b;
}

static void insert(struct loop_sock *s)
{
    list_add(&s->port_link, bucket(s, s->local.port));
}

/* ---- what a name covers ---- */

static bool takes_v4(const struct loop_sock *s, const struct loop_name *n)
{
    return loop_is_v4(n) || (loop_is_any(n) && !loop_opt(s, OPT_V6ONLY));
}

/* Whether a socket with the name n gets what is sent to `to`. */
static bool covers(const struct loop_sock *s, const struct loop_name *n, const struct loop_name *to)
{
    if (!loop_is_any(n))
        return loop_same_address(n, to);
    return loop_is_v4(to) ? takes_v4(s, n) : !loop_is_v4(n);
}

static bool overlap(const struct loop_sock *a, const struct loop_name *an,
                    const struct loop_sock *b)
{
    if (loop_is_any(an) && loop_is_any(&b->local))
        return (takes_v4(a, an) && takes_v4(b, &b->local)) ||
               (!loop_is_v4(an) && !loop_is_v4(&b->local));
    return covers(a, an, &b->local) || covers(b, &b->local, an);
}

static bool conflict(const struct loop_sock *s, const struct loop_name *name,
                     const struct loop_sock *other)
{
    if (other == s || other->local.port != name->port || !overlap(s, name, other))
        return false;
    if (loop_opt(s, OPT_REUSEADDR) && loop_opt(other, OPT_REUSEADDR) && !other->listening)
        return false;
    return !(loop_opt(s, OPT_REUSEPORT) && loop_opt(other, OPT_REUSEPORT) &&
             other->base.uid == s->base.uid);
}

static bool name_is_free(const struct loop_sock *s, const struct loop_name *name)
{
    struct loop_sock *other;

    list_for_each_entry (other, bucket(s, name->port), port_link) {
        if (conflict(s, name, other))
            return false;
    }
    return true;
}

/* ---- binding ---- */

static void port_range(u32 *low, u32 *count)
{
    u32 range[2] = {32768, 60999};

    sysctl_numbers("ip_local_port_range", range, 2);
    *low = MAX(range[0], 1u);
    *count = range[1] <= 65535 && range[1] >= *low ? range[1] - *low + 1 : 1;
}

int loop_port_bind(struct loop_sock *s, const struct loop_name *name)
{
    struct loop_name n = *name;
    u32 low = 0, count = 1, start = 0, tries = 1;
    int r = -EADDRINUSE;

    if (n.port == 0) {
        port_range(&low, &count);
        start = (u32)(random_u64() % count);
        tries = count;
    }
    mutex_lock(&g_loop_ports);
    /* While the host was asked for a port, another thread's call may have had one. */
    if (!list_empty(&s->port_link)) {
        r = -EINVAL;
        tries = 0;
    }
    for (u32 i = 0; r < 0 && i < tries; i++) {
        if (name->port == 0)
            n.port = (u16)(low + (start + i) % count);
        if (name_is_free(s, &n))
            r = 0;
    }
    if (r == 0) {
        s->local = n;
        s->bound = true;
        insert(s);
    }
    mutex_unlock(&g_loop_ports);
    return r;
}

/* For connections many may share a port, while the pairs of names differ. */
static bool pair_is_free(const struct loop_sock *s, const struct loop_name *from,
                         const struct loop_name *to, bool alone)
{
    struct loop_sock *other;

    list_for_each_entry (other, bucket(s, from->port), port_link) {
        if (other == s || other->local.port != from->port)
            continue;
        if (alone && (other->bound || !loop_is_stream(s)))
            return false;
        if (other->remote.port != 0 && loop_same_name(&other->local, from) &&
            loop_same_name(&other->remote, to))
            return false;
    }
    return true;
}

int loop_port_connect(struct loop_sock *s, const struct loop_name *from, const struct loop_name *to)
{
    struct loop_name n = *from;
    u32 low, count, start;
    int r = -EADDRNOTAVAIL;

    mutex_lock(&g_loop_ports);
    if (s->local.port != 0) {
        n.port = s->local.port;
        if (!loop_is_stream(s) || pair_is_free(s, &n, to, false))
            r = 0;
    } else {
        port_range(&low, &count);
        start = (u32)(random_u64() % count);
        for (u32 i = 0; r < 0 && i < count; i++) {
            n.port = (u16)(low + (start + i) % count);
            if (pair_is_free(s, &n, to, true))
                r = 0;
        }
    }
    if (r == 0) {
        if (loop_is_stream(s) || !s->bound)
            s->local = n;
        if (to != NULL)
            s->remote = *to;
        if (list_empty(&s->port_link))
            insert(s);
    }
    mutex_unlock(&g_loop_ports);
    return r;
}

void loop_port_accept(struct loop_sock *child, const struct loop_name *local,
                      const struct loop_name *remote)
{
    mutex_lock(&g_loop_ports);
    child->local = *local;
    child->remote = *remote;
    child->bound = true;
    insert(child);
    mutex_unlock(&g_loop_ports);
}

int loop_port_listen(struct loop_sock *s)
{
    int r = 0;

    mutex_lock(&g_loop_ports);
    if (!list_empty(&s->port_link) && !name_is_free(s, &s->local))
        r = -EADDRINUSE;
    else
        s->listening = true;
    mutex_unlock(&g_loop_ports);
    return r;
}

void loop_port_unlisten(struct loop_sock *s)
{
    mutex_lock(&g_loop_ports);
    s->listening = false;
    mutex_unlock(&g_loop_ports);
}

void loop_port_disconnect(struct loop_sock *s)
{
    mutex_lock(&g_loop_ports);
    memset(&s->remote, 0, sizeof(s->remote));
    if (!s->bound) {
        list_del(&s->port_link);
        memset(&s->local, 0, sizeof(s->local));
    }
    mutex_unlock(&g_loop_ports);
}

void loop_port_forget(struct loop_sock *s)
{
    mutex_lock(&g_loop_ports);
    list_del(&s->port_link);
    s->listening = s->bound = false;
    memset(&s->local, 0, sizeof(s->local));
    memset(&s->remote, 0, sizeof(s->remote));
    mutex_unlock(&g_loop_ports);
}

void loop_port_names(struct loop_sock *s, struct loop_name *local, struct loop_name *remote)
{
    mutex_lock(&g_loop_ports);
    *local = s->local;
    *remote = s->remote;
    mutex_unlock(&g_loop_ports);
}

/* ---- who gets it ---- */

/* How well a socket fits: -1 not at all. An exact address before a wildcard, a peer before none,
 * IPv4 before both. */
static int score(const struct loop_sock *s, const struct loop_name *to,
                 const struct loop_name *from)
{
    int points = 0;

    if (s->local.port != to->port || !covers(s, &s->local, to))
        return -1;
    if (s->remote.port != 0) {
        if (!loop_same_name(&s->remote, from))
            return -1;
        points += 4;
    }
    points += !loop_is_any(&s->local) ? 2 : 0;
    return points + (s->base.domain == AF_INET ? 1 : 0);
}

static u32 hash_pair(const struct loop_name *to, const struct loop_name *from)
{
    const u8 *p = (const u8 *)from->addr;
    u32 h = 2166136261u ^ from->port ^ (u32)to->port << 16;

    for (size_t i = 0; i < sizeof(from->addr); i++)
        h = (h ^ p[i]) * 16777619u;
    return h ^ h >> 15;
}

/* Among equals the newest, or with SO_REUSEPORT by the pair of names. */
static struct loop_sock *find(struct list_head *b, bool stream, const struct loop_name *to,
                              const struct loop_name *from)
{
    struct loop_sock *s, *best = NULL;
    int best_score = -1, n;
    u32 equals = 0;

    list_for_each_entry (s, b, port_link) {
        if (s->listening != stream)
            continue;
        n = score(s, to, from);
        if (n > best_score) {
            best = s;
            best_score = n;
            equals = 0;
        }
        if (n == best_score && n >= 0 && loop_opt(s, OPT_REUSEPORT))
            equals++;
    }
    if (best == NULL || equals < 2 || !loop_opt(best, OPT_REUSEPORT))
        return best;
    equals = hash_pair(to, from) % equals;
    list_for_each_entry (s, b, port_link) {
        if (s->listening == stream && score(s, to, from) == best_score &&
            loop_opt(s, OPT_REUSEPORT) && equals-- == 0)
            return s;
    }
    return best;
}

static struct loop_sock *find_get(struct list_head *tab, const struct loop_name *to,
                                  const struct loop_name *from)
{
    struct list_head *b = &tab[to->port % BUCKETS];
    struct loop_sock *s = NULL;

    mutex_lock(&g_loop_ports);
    if (b->next != NULL)
        s = find(b, tab == g_tables[0], to, from);
    if (s != NULL)
        loop_get(s);
    mutex_unlock(&g_loop_ports);
    return s;
}

struct loop_sock *loop_port_listener(const struct loop_name *to, const struct loop_name *from)
{
    return find_get(g_tables[0], to, from);
}

struct loop_sock *loop_port_receiver(const struct loop_sock *s, const struct loop_name *to,
                                     const struct loop_name *from)
{
    return find_get(table(s), to, from);
}
