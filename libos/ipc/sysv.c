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

struct sysv_object *sysv_find(struct sysv_class *c, i32 id)
{
    struct sysv_object *o;
    class_prepare(c);
    list_for_each_entry (o, &c->objects, link)
        if (o->id == id)
            return o;
    return NULL;
}

static u32 place_of(i32 id)
{
    return (u32)id % SYSV_PLACES;
}

struct sysv_object *sysv_nth(struct sysv_class *c, i32 place)
{
    struct sysv_object *o;
    class_prepare(c);
    list_for_each_entry (o, &c->objects, link)
        if (place >= 0 && place_of(o->id) == place_of(place))
            return o;
    return NULL;
}

i32 sysv_top(const struct sysv_class *c)
{
    for (u32 p = SYSV_PLACES; p-- > 0;)
        if (c->taken[p / 64] >> p % 64 & 1)
            return (i32)p;
    return 0;
}

/* The lowest free place; ids do not come again soon. */
static i32 new_id(struct sysv_class *c)
{
    u32 p = 0;
    while (c->taken[p / 64] == ~0ull)
        p += 64;
    p += (u32)__builtin_ctzll(~c->taken[p / 64]);
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
    struct sysv_object *o;
    *out = NULL;
    class_prepare(c);
    if (key == IPC_PRIVATE)
        return 0;
    list_for_each_entry (o, &c->objects, link) {
        if (o->key != key)
            continue;
        if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
            return -EEXIST;
        if (!sysv_permitted(o, flags))
            return -EACCES;
        *out = o;
        return 0;
    }
    return (flags & IPC_CREAT) ? 0 : -ENOENT;
}

int sysv_add(struct sysv_class *c, struct sysv_object *o, i32 key, u32 flags)
{
    const struct cred *me = &current_process()->cred;
    if (c->count >= c->max)
        return -ENOSPC;
    ref_init(&o->refs);
    waitq_init(&o->waiters);
    o->key = key;
    o->uid = o->cuid = me->euid;
    o->gid = o->cgid = me->egid;
    o->mode = flags & 0777;
    o->id = new_id(c);
    o->seq = (u32)o->id / SYSV_PLACES;
    list_add_tail(&o->link, &c->objects);
    c->count++;
    return o->id;
}
