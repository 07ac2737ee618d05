/* SPDX-License-Identifier: Apache-2.0 */
/* Keys themselves: their kinds, owners and quotas, and who may do what with them. */
#include "keys.h"
#include <linux/capability.h>

struct mutex g_keys_lock;
struct rb_root g_keys;
static struct list_head g_users = LIST_HEAD_INIT(g_users);
static struct key_limits g_limits = {.maxkeys = 200,
                                     .maxbytes = 20000,
                                     .root_maxkeys = 1000000,
                                     .root_maxbytes = 25000000,
                                     .gc_delay = 300};

struct key_limits *key_limits(void)
{
    return &g_limits;
}

static const char *const g_kinds[KEY_KINDS] = {
    [KEY_KEYRING] = "keyring", [KEY_USER] = "user", [KEY_LOGON] = "logon", [KEY_BIG] = "big_key"};

int key_kind_of(const char *name)
{
    for (int i = 0; i < KEY_KINDS; i++)
        if (strcmp(g_kinds[i], name) == 0)
            return i;
    return -1;
}

const char *key_kind_name(enum key_kind kind)
{
    return g_kinds[kind];
}

struct key_user *key_user_of(u32 uid)
{
    struct key_user *u;
    list_for_each_entry (u, &g_users, link)
        if (u->uid == uid)
            return u;
    u = kzalloc(sizeof(*u));
    if (u) {
        u->uid = uid;
        list_add_tail(&u->link, &g_users);
    }
    return u;
}

static void user_spare(struct key_user *u)
{
    if (u->keys || u->ring || u->session_ring)
        return;
    list_del(&u->link);
    kfree(u);
}

static bool fits(const struct key_user *u, u32 keys, i64 bytes)
{
    u64 most = u->uid ? g_limits.maxkeys : g_limits.root_maxkeys;
    u64 room = u->uid ? g_limits.maxbytes : g_limits.root_maxbytes;
    return u->keys + keys <= most && (i64)u->bytes + bytes <= (i64)room;
}

long key_charge(struct key *k, i64 bytes)
{
    if (bytes > 0 && !fits(k->owner, 0, bytes))
        return -EDQUOT;
    k->bytes = (u32)(k->bytes + bytes);
    k->owner->bytes = (u32)(k->owner->bytes + bytes);
    return 0;
}

static i32 new_serial(void)
{
    u32 serial;
    do
        serial = (u32)random_u64() & INT32_MAX;
    while (serial < 3 || rb_find(&g_keys, serial));
    return (i32)serial;
}

long key_create(enum key_kind kind, const char *description, void *payload, size_t size, u32 perm,
                struct key **out)
{
    const struct cred *c = &current_process()->cred;
    size_t named = strlen(description) + 1;
    struct key_user *u = key_user_of(c->fsuid);
    struct key *k = u ? kzalloc(sizeof(*k)) : NULL;
    if (k)
        k->description = kstrdup(description);
    long r = 0;
    if (!k || !k->description)
        r = -ENOMEM;
    else if (!fits(u, 1, (i64)(named + size)))
        r = -EDQUOT;
    if (r < 0) {
        if (k)
            kfree(k->description);
        kfree(k);
        if (u)
            user_spare(u);
        return r;
    }
    k->refs = 1;
    k->kind = kind;
    k->owner = u;
    k->gid = c->fsgid;
    k->perm = perm;
    k->payload = payload;
    k->size = size;
    list_init(&k->links);
    u->keys++;
    key_charge(k, (i64)(named + size));
    k->by_serial.key = (u64)new_serial();
    rb_insert(&g_keys, &k->by_serial);
    *out = k;
    return 0;
}

/* What a keyring held goes as well, however deep: by a list, not by recursion. */
static void dismantle(struct key *k, struct list_head *held)
{
    struct key_link *l, *n;
    list_for_each_entry_safe (l, n, &k->links, link) {
        list_del(&l->link);
        list_add_tail(&l->link, held);
    }
    rb_erase(&g_keys, &k->by_serial);
    k->owner->keys--;
    k->owner->bytes -= k->bytes;
    user_spare(k->owner);
    kfree_sensitive(k->payload);
    kfree(k->description);
    kfree(k);
}

void key_put(struct key *k)
{
    struct list_head held = LIST_HEAD_INIT(held);
    if (k && --k->refs == 0)
        dismantle(k, &held);
    while (!list_empty(&held)) {
        struct key_link *l = list_first_entry(&held, struct key_link, link);
        k = l->key;
        list_del(&l->link);
        kfree(l);
        if (--k->refs == 0)
            dismantle(k, &held);
    }
}

long key_state(const struct key *k)
{
    if (k->dead)
        return -ENOKEY;
    if (k->revoked)
        return -EKEYREVOKED;
    if (k->expiry && clock_realtime() >= k->expiry)
        return -EKEYEXPIRED;
    return k->negative ? -ENOKEY : 0;
}

bool key_allows(struct key_ref r, u32 need)
{
    const struct cred *c = &current_process()->cred;
    const struct key *k = r.key;
    u32 granted = k->perm;
    if (k->owner->uid == c->fsuid)
        granted >>= 16;
    else if ((k->perm & 0x3f00) && (k->gid == c->fsgid || cred_in_group(c, k->gid)))
        granted >>= 8;
    if (r.possessed)
        granted |= k->perm >> 24;
    return (granted & need) == need;
}

long key_chown(struct key *k, u32 uid, u32 gid)
{
    const struct cred *c = &current_process()->cred;
    bool admin = capable(CAP_SYS_ADMIN);
    if (!admin && ((uid != UINT32_MAX && uid != k->owner->uid) ||
                   (gid != UINT32_MAX && gid != k->gid && !cred_in_group(c, gid))))
        return -EACCES;
    if (uid != UINT32_MAX && uid != k->owner->uid) {
        struct key_user *old = k->owner, *u = key_user_of(uid);
        if (!u)
            return -ENOMEM;
        if (!fits(u, 1, k->bytes)) {
            user_spare(u);
            return -EDQUOT;
        }
        u->keys++;
        u->bytes += k->bytes;
        old->keys--;
        old->bytes -= k->bytes;
        k->owner = u;
        user_spare(old);
    }
    if (gid != UINT32_MAX)
        k->gid = gid;
    return 0;
}

/* ---- /proc/keys, /proc/key-users ---- */

void keys_show(key_line *line, void *ctx)
{
    char text[320], when[16];
    mutex_lock(&g_keys_lock);
    for (struct rb_node *n = rb_first(&g_keys); n; n = rb_next(n)) {
        struct key *k = container_of(n, struct key, by_serial);
        u64 now = clock_realtime();
        if (!key_allows((struct key_ref){k, false}, KEY_VIEW))
            continue;
        if (!k->expiry)
            strlcpy(when, "perm", sizeof(when));
        else
            snprintf(when, sizeof(when), "%lus",
                     k->expiry > now ? (k->expiry - now) / 1000000000 : 0);
        snprintf(text, sizeof(text), "%08x I%s%sQ-%s- %5u %s %08x %5u %5u %-9s %.200s: %lu\n",
                 (u32)k->by_serial.key, k->revoked ? "R" : "-", k->dead ? "D" : "-",
                 k->negative ? "N" : "-", k->refs, when, k->perm, k->owner->uid, k->gid,
                 key_kind_name(k->kind), k->description,
                 k->kind == KEY_KEYRING ? (u64)k->link_count : k->size);
        line(ctx, text);
    }
    mutex_unlock(&g_keys_lock);
}

void key_users_show(key_line *line, void *ctx)
{
    struct key_user *u;
    char text[160];
    mutex_lock(&g_keys_lock);
    list_for_each_entry (u, &g_users, link) {
        snprintf(text, sizeof(text), "%5u: %5u %u/%u %u/%u %u/%u\n", u->uid, 1u, u->keys, u->keys,
                 u->keys, u->uid ? g_limits.maxkeys : g_limits.root_maxkeys, u->bytes,
                 u->uid ? g_limits.maxbytes : g_limits.root_maxbytes);
        line(ctx, text);
    }
    mutex_unlock(&g_keys_lock);
}
