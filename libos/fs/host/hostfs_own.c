/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the enclave does itself in a pass-through mount, for inotify. The VFS tells of it inside;
 * the host's inotify, which tells what others do, sees it as well, and more than there was for the
 * program (a file that is made is opened, closed and given away). So while something watches the
 * file or its directory, what the host tells of an operation between its begin and its end, and
 * that the operation can have caused, is dropped.
 */
#include "hostfs.h"

struct outside_watch *g_outside_watch;

static bool is_watched(const struct inode *i)
{
    return __atomic_load_n(&i->watches, __ATOMIC_RELAXED) != NULL;
}

static void add_name(struct own_change *o, const struct inode *dir, const char *name, size_t len)
{
    struct own_name *n = &o->names[o->count];

    if (len > NAME_LIMIT)
        return;
    n->dir = dir;
    n->len = (u32)len;
    memcpy(n->name, name, len);
    o->count++;
}

static void begin(struct own_change *o)
{
    o->on = g_outside_watch->begin();
}

void own_begin(struct own_change *o, struct host_inode *h, u32 mask)
{
    struct host_super *s = host_super_of(&h->i);
    bool watched;

    o->on = false;
    if (likely(!g_outside_watch))
        return;
    o->mask = mask;
    o->self = &h->i;
    o->count = 0;
    mutex_lock(&s->lock);
    watched = is_watched(&h->i) || (h->parent && is_watched(&h->parent->i));
    if (watched && h->parent)
        add_name(o, &h->parent->i, h->name, strlen(h->name));
    mutex_unlock(&s->lock);
    if (watched)
        begin(o);
}

void own_begin_names(struct own_change *o, u32 mask, const struct inode *self,
                     const struct inode *dir, const char *name, size_t len,
                     const struct inode *dir2, const char *name2, size_t len2)
{
    o->on = false;
    if (likely(!g_outside_watch))
        return;
    o->mask = mask;
    o->self = self;
    o->count = 0;
    add_name(o, dir, name, len);
    if (dir2)
        add_name(o, dir2, name2, len2);
    /* Of a new name or a rename it is not known who else is concerned. */
    if (!self || is_watched(dir) || is_watched(self))
        begin(o);
}

void own_end(struct own_change *o)
{
    if (unlikely(o->on))
        g_outside_watch->end(o);
}
