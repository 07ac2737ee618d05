/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What processes have written to user_report_data and target_info. It belongs to who wrote it: no
 * other process can change what a writer's report says. A process that wrote nothing itself has
 * what was written for it by its shell, or by a command of its shell:
 *
 *   echo ... >user_report_data; cat quote              the shell writes, its child reads
 *   openssl dgst ... >user_report_data; cat quote      one child writes, another reads
 *
 * So a write counts for the writer and, as its children's, for its parent when that is of the same
 * user and session; who has written nothing looks at its parent, then at the parent's parent and so
 * on, for what was written last there. Only writes of the reader's own user and session count.
 * Where there is none, all is zeros.
 */
#include "attestation.h"
#include "lib.h"
#include "process.h"

static const u32 g_sizes[ATTESTATION_KINDS] = {REPORT_DATA_SIZE, TARGET_INFO_SIZE};

struct written {
    u64 when; /* 0: never */
    u32 uid;
    i32 sid;
    u8 data[TARGET_INFO_SIZE];
};
/* Of one living process. */
struct record {
    struct record *next;
    i32 pid;
    u64 start; /* a pid may come again */
    struct written own[ATTESTATION_KINDS], children[ATTESTATION_KINDS];
};

static struct mutex g_lock; /* taken before g_process_lock */
static struct record *g_records;
static u64 g_writes;

static bool is_alive(const struct record *r)
{
    struct process *p = process_find(r->pid);
    bool alive = p && p->start_time == r->start;

    if (p)
        process_put(p);
    return alive;
}

static void drop_dead(void)
{
    struct record **p = &g_records, *r;

    while ((r = *p)) {
        if (is_alive(r)) {
            p = &r->next;
        } else {
            *p = r->next;
            kfree(r);
        }
    }
}

static struct record *find(i32 pid, u64 start)
{
    struct record *r = g_records;

    while (r && (r->pid != pid || r->start != start))
        r = r->next;
    return r;
}

static struct record *find_or_make(i32 pid, u64 start)
{
    struct record *r = find(pid, start);

    if (!r && (r = kzalloc(sizeof(*r)))) {
        r->pid = pid;
        r->start = start;
        r->next = g_records;
        g_records = r;
    }
    return r;
}

/* g_process_lock held. */
static i32 session_of(const struct process *p)
{
    return p->session ? p->session->sid : 0;
}

static void write_to(struct written *w, enum attestation_kind kind, const void *data, size_t size,
                     i32 sid)
{
    w->when = g_writes;
    w->uid = current_process()->cred.euid;
    w->sid = sid;
    memset(w->data, 0, sizeof(w->data));
    memcpy(w->data, data, MIN(size, g_sizes[kind]));
}

int attestation_set(enum attestation_kind kind, const void *data, size_t size)
{
    struct process *me = current_process(), *parent;
    struct record *own, *above = NULL;
    bool shared;
    i32 sid, parent_pid = 0;
    u64 parent_start = 0;

    mutex_lock(&g_lock);
    drop_dead();
    mutex_lock(&g_process_lock);
    sid = session_of(me);
    parent = me->parent;
    shared = parent && session_of(parent) == sid && parent->cred.euid == me->cred.euid;
    if (shared) {
        parent_pid = parent->pid;
        parent_start = parent->start_time;
    }
    mutex_unlock(&g_process_lock);
    own = find_or_make(me->pid, me->start_time);
    if (shared)
        above = find_or_make(parent_pid, parent_start);
    if (own && (above || !shared)) {
        g_writes++;
        write_to(&own->own[kind], kind, data, size, sid);
        if (above)
            write_to(&above->children[kind], kind, data, size, sid);
    }
    mutex_unlock(&g_lock);
    return own && (above || !shared) ? 0 : -ENOMEM;
}

static const struct written *later(const struct written *best, const struct written *w, u32 uid,
                                   i32 sid)
{
    bool counts = w->when != 0 && w->uid == uid && w->sid == sid;

    return counts && (!best || w->when > best->when) ? w : best;
}

/* g_lock held. */
static const struct written *inherited(enum attestation_kind kind)
{
    struct process *me = current_process();
    const struct written *best = NULL;

    mutex_lock(&g_process_lock);
    for (struct process *p = me->parent; p && !best; p = p->parent) {
        const struct record *r = find(p->pid, p->start_time);

        if (!r)
            continue;
        best = later(best, &r->own[kind], me->cred.euid, session_of(me));
        best = later(best, &r->children[kind], me->cred.euid, session_of(me));
    }
    mutex_unlock(&g_process_lock);
    return best;
}

void attestation_get(enum attestation_kind kind, u8 *out)
{
    const struct process *me = current_process();
    const struct record *own;
    const struct written *w;

    mutex_lock(&g_lock);
    own = find(me->pid, me->start_time);
    w = own && own->own[kind].when ? &own->own[kind] : inherited(kind);
    if (w)
        memcpy(out, w->data, g_sizes[kind]);
    else
        memset(out, 0, g_sizes[kind]);
    mutex_unlock(&g_lock);
}
