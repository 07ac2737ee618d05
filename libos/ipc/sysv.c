/* SPDX-License-Identifier: Apache-2.0 */
/* What the three kinds of System V IPC share: keys, identifiers, permissions. */
#include "sysv.h"
#include <asm/ipcbuf.h>
#include <linux/capability.h>

struct mutex g_sysv_lock;

static void class_prepare(struct sysv_class *c)
{
    if (!c->objects.next)
        list_init(&c->objects);
}

static u32 place_of(i32 id)
{
    return (u32)id % SYSV_PLACES;
}

struct sysv_object *sysv_nth(struct sysv_class *c, i32 place)
{
    class_prepare(c);
    struct rb_node *n = place < 0 ? NULL : rb_find(&c->places, place_of(place));
    return n ? container_of(n, struct sysv_object, by_place) : NULL;
}

struct sysv_object *sysv_find(struct sysv_class *c, i32 id)
{
    struct sysv_object *o = sysv_nth(c, id);
    return o && o->id == id ? o : NULL;
}

i32 sysv_top(const struct sysv_class *c)
{
    for (u32 p = SYSV_PLACES; p-- > 0;)
        if (c->taken[p / 64] >> p % 64 & 1)
            return (i32)p;
    return 0;
}

u32 sysv_limit(const struct sysv_class *c)
{
    u32 fields[4] = {[3] = SYSV_PLACES};
    sysctl_numbers(c->limit, fields, c->limit_field + 1);
    return MIN(fields[c->limit_field], SYSV_PLACES);
}

/* The first free place from `from` on; the classes are never full. */
static u32 free_place(const struct sysv_class *c, u32 from)
{
    for (u32 i = 0; i < SYSV_PLACES; i++) {
        u32 p = (from + i) % SYSV_PLACES;
        if (c->taken[p / 64] == ~0ull && p % 64 == 0)
            i += 63;
        else if (!(c->taken[p / 64] >> p % 64 & 1))
            return p;
    }
    return 0;
}

/* The lowest free place; ids do not come again soon. Who restores a checkpoint says which id. */
static i32 new_id(struct sysv_class *c)
{
    u32 wanted = UINT32_MAX;
    sysctl_numbers(c->next, &wanted, 1);
    if (wanted <= INT32_MAX) {
        u32 at = free_place(c, place_of((i32)wanted));
        sysctl_set(c->next, "-1");
        c->taken[at / 64] |= 1ull << at % 64;
        return (i32)(wanted / SYSV_PLACES * SYSV_PLACES + at);
    }
    u32 p = free_place(c, 0);
    if (p <= c->last)
        c->turn = (c->turn + 1) % (INT32_MAX / SYSV_PLACES);
    c->last = p;
    c->taken[p / 64] |= 1ull << p % 64;
    return (i32)(c->turn * SYSV_PLACES + p);
}

bool sysv_permitted(const struct sysv_object *o, u32 want)
{
    const struct cred *c = &current_process()->cred;
    u32 granted = o->mode;
    want = (want >> 6 | want >> 3 | want) & 7;
    if (c->euid == o->cuid || c->euid == o->uid)
        granted >>= 6;
    else if (c->egid == o->cgid || c->egid == o->gid || cred_in_group(c, o->cgid) ||
             cred_in_group(c, o->gid))
        granted >>= 3;
    return !(want & ~granted & 7) || capable(CAP_IPC_OWNER);
}

bool sysv_owned(const struct sysv_object *o)
{
    u32 euid = current_process()->cred.euid;
    return euid == o->cuid || euid == o->uid || capable(CAP_SYS_ADMIN);
}

void sysv_forget_key(struct sysv_class *c, struct sysv_object *o)
{
    if (o->key != IPC_PRIVATE)
        rb_erase(&c->keys, &o->by_key);
    o->key = IPC_PRIVATE;
}

void sysv_put(struct sysv_class *c, struct sysv_object *o)
{
    if (ref_put(&o->refs))
        c->destroy(o);
}

void sysv_remove(struct sysv_class *c, struct sysv_object *o)
{
    if (o->removed)
        return;
    o->removed = true;
    list_del(&o->link);
    rb_erase(&c->places, &o->by_place);
    sysv_forget_key(c, o);
    c->taken[place_of(o->id) / 64] &= ~(1ull << place_of(o->id) % 64);
    c->count--;
    waitq_wake(&o->waiters, UINT32_MAX);
    sysv_put(c, o);
}

void sysv_perm_fill(const struct sysv_object *o, struct ipc64_perm *out)
{
    memset(out, 0, sizeof(*out));
    out->key = o->key;
    out->uid = o->uid;
    out->gid = o->gid;
    out->cuid = o->cuid;
    out->cgid = o->cgid;
    out->mode = (__kernel_mode_t)o->mode;
    out->seq = (unsigned short)o->seq;
}

void sysv_perm_set(struct sysv_object *o, const struct ipc64_perm *in)
{
    o->uid = in->uid;
    o->gid = in->gid;
    o->mode = (o->mode & ~0777u) | (in->mode & 0777u);
}

int sysv_get(struct sysv_class *c, i32 key, u32 flags, struct sysv_object **out)
{
    *out = NULL;
    class_prepare(c);
    if (key == IPC_PRIVATE)
        return 0;
    struct rb_node *n = rb_find(&c->keys, (u32)key);
    if (!n)
        return (flags & IPC_CREAT) ? 0 : -ENOENT;
    struct sysv_object *o = container_of(n, struct sysv_object, by_key);
    if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
        return -EEXIST;
    if (!sysv_permitted(o, flags))
        return -EACCES;
    *out = o;
    return 0;
}

int sysv_add(struct sysv_class *c, struct sysv_object *o, i32 key, u32 flags)
{
    const struct cred *me = &current_process()->cred;
    if (c->count >= sysv_limit(c))
        return -ENOSPC;
    ref_init(&o->refs);
    waitq_init(&o->waiters);
    o->key = key;
    o->uid = o->cuid = me->euid;
    o->gid = o->cgid = me->egid;
    o->mode = flags & 0777;
    o->id = new_id(c);
    o->seq = (u32)o->id / SYSV_PLACES;
    o->by_place.key = place_of(o->id);
    rb_insert(&c->places, &o->by_place);
    o->by_key.key = (u32)key;
    if (key != IPC_PRIVATE)
        rb_insert(&c->keys, &o->by_key);
    list_add_tail(&o->link, &c->objects);
    c->count++;
    return o->id;
}
