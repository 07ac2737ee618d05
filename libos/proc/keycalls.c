/* SPDX-License-Identifier: Apache-2.0 */
/*
 * add_key(), request_key(), keyctl(). Nobody answers requests (there is no /sbin/request-key), so a
 * key that is not there becomes a negative one for a minute, as with Linux.
 */
#include "keys.h"
#include <linux/capability.h>

#define DESCRIPTION_MAX 4096
#define PAYLOAD_MAX     ((1u << 20) - 1)
#define USER_MAX        32767u
#define NEGATIVE_NS     60000000000ull

/* A kind's name: what it is does not matter yet. */
static long kind_from_user(char name[32], uaddr from)
{
    ssize_t n = strncpy_from_user(name, from, 32);
    if (n < 0)
        return n == -ENAMETOOLONG ? -EINVAL : n;
    if (n == 0 || n >= 32)
        return -EINVAL;
    return name[0] == '.' ? -EPERM : 0;
}

/* A text that kfree() frees; *out is NULL when it is empty or not given. */
static long text_from_user(uaddr from, char **out)
{
    *out = NULL;
    if (!from.at)
        return 0;
    char *text = kmalloc(DESCRIPTION_MAX);
    if (!text)
        return -ENOMEM;
    ssize_t n = strncpy_from_user(text, from, DESCRIPTION_MAX);
    if (n <= 0 || n >= DESCRIPTION_MAX) {
        kfree(text);
        if (n > 0 || n == -ENAMETOOLONG)
            return -EINVAL;
        return n;
    }
    *out = text;
    return 0;
}

static long payload_from_user(uaddr from, u64 size, void **out)
{
    *out = NULL;
    if (size > PAYLOAD_MAX)
        return -EINVAL;
    if (!size)
        return 0;
    *out = kmalloc(size);
    if (!*out)
        return -ENOMEM;
    if (copy_from_user(*out, from, size) == 0)
        return 0;
    kfree_sensitive(*out);
    *out = NULL;
    return -EFAULT;
}

/* Does this payload, and name, make a key of that kind? */
static long payload_fits(int kind, const char *name, u64 size)
{
    if (kind < 0)
        return -ENODEV;
    if (kind == KEY_KEYRING)
        return size ? -EINVAL : 0;
    if (kind == KEY_LOGON && (!strchr(name, ':') || name[0] == ':'))
        return -EINVAL;
    return size && (kind == KEY_BIG || size <= USER_MAX) ? 0 : -EINVAL;
}

static u32 first_perm(int kind)
{
    u32 possessor = KEY_VIEW | KEY_SEARCH | KEY_LINK | KEY_SETATTR | KEY_WRITE;
    if (kind != KEY_LOGON)
        possessor |= KEY_READ;
    return possessor << 24 | KEY_VIEW << 16;
}

/* The payload is k's from here on, when it is well. */
static long give_payload(struct key *k, void *payload, u64 size)
{
    long r = key_charge(k, (i64)size - (i64)k->size);
    if (r < 0)
        return r;
    kfree_sensitive(k->payload);
    k->payload = payload;
    k->size = size;
    if (k->negative)
        k->expiry = 0;
    k->negative = false;
    return 0;
}

static long add_locked(int kind, const char *name, void *payload, u64 size, i32 to)
{
    struct key_ref ring;
    struct key *k;
    long r = key_lookup(to, true, false, KEY_WRITE, &ring);
    if (r < 0)
        return r;
    r = ring.key->kind == KEY_KEYRING ? payload_fits(kind, name, size) : -ENOTDIR;
    k = r == 0 && kind != KEY_KEYRING ? keyring_find(ring.key, (enum key_kind)kind, name) : NULL;
    if (k && k->revoked)
        k = NULL;
    if (k) { /* the same name: it is changed */
        k->refs++;
        r = key_allows((struct key_ref){k, ring.possessed}, KEY_WRITE)
                ? give_payload(k, payload, size)
                : -EACCES;
    } else if (r == 0) {
        r = key_create((enum key_kind)kind, name, payload, size, first_perm(kind), &k);
        if (r == 0 && (r = keyring_link(ring.key, k)) < 0) {
            k->payload = NULL; /* it stays the caller's */
            key_put(k);
            k = NULL;
        }
    }
    if (r == 0)
        r = (long)k->by_serial.key;
    if (k)
        key_put(k);
    key_put(ring.key);
    return r;
}

long sys_add_key(uaddr type, uaddr description, uaddr data, u64 size, int keyring)
{
    char kind[32], *name = NULL;
    void *payload = NULL;
    long r = size > PAYLOAD_MAX ? -EINVAL : kind_from_user(kind, type);
    if (r == 0)
        r = text_from_user(description, &name);
    if (r == 0 && name && name[0] == '.' && strcmp(kind, "keyring") == 0)
        r = -EPERM;
    if (r == 0)
        r = payload_from_user(data, size, &payload);
    if (r == 0 && !name)
        r = -EINVAL;
    if (r == 0) {
        mutex_lock(&g_keys_lock);
        r = add_locked(key_kind_of(kind), name, payload, size, keyring);
        mutex_unlock(&g_keys_lock);
    }
    if (r < 0)
        kfree_sensitive(payload);
    kfree(name);
    return r;
}

/* As with a program that does not answer: a negative key in the keyring. */
static long negate_locked(int kind, const char *name, struct key *ring)
{
    struct key *k;
    long r = key_create((enum key_kind)kind, name, NULL, 0, first_perm(kind), &k);
    if (r < 0)
        return r;
    k->negative = true;
    k->expiry = clock_realtime() + NEGATIVE_NS;
    r = keyring_link(ring, k);
    key_put(k);
    return r < 0 ? r : -ENOKEY;
}

/* Who may find a key may not yet have it in a keyring of his own, and so possess it. */
static long link_found(struct key *ring, struct key_ref found)
{
    return key_allows(found, KEY_LINK) ? keyring_link(ring, found.key) : -EACCES;
}

static long request_locked(int kind, const char *name, bool make, i32 to)
{
    struct key_ref ring = {0};
    struct key *k = NULL;
    long r = to ? key_lookup(to, true, false, KEY_WRITE, &ring) : 0;
    if (r < 0)
        return r;
    r = kind < 0 ? -ENOKEY : key_search(NULL, true, (enum key_kind)kind, name, &k);
    if (r == 0) {
        r = ring.key ? link_found(ring.key, (struct key_ref){k, true}) : 0;
        if (r == 0)
            r = (long)k->by_serial.key;
    } else if (r == -ENOKEY && kind >= 0 && make) {
        struct key *met = NULL;
        if (!ring.key && (r = keyring_default(&ring.key)) < 0)
            return r;
        met = keyring_find(ring.key, (enum key_kind)kind, name);
        r = met && met->negative && key_state(met) == -ENOKEY ? -ENOKEY
                                                              : negate_locked(kind, name, ring.key);
    }
    if (k)
        key_put(k);
    if (ring.key)
        key_put(ring.key);
    return r;
}

long sys_request_key(uaddr type, uaddr description, uaddr info, int keyring)
{
    char kind[32], *name = NULL, *callout = NULL;
    long r = kind_from_user(kind, type);
    if (r == 0)
        r = text_from_user(description, &name);
    if (r == 0)
        r = text_from_user(info, &callout);
    if (r == 0 && !name)
        r = -EINVAL;
    if (r == 0) {
        mutex_lock(&g_keys_lock);
        r = request_locked(key_kind_of(kind), name, info.at != 0, keyring);
        mutex_unlock(&g_keys_lock);
    }
    kfree(callout);
    kfree(name);
    return r;
}

/* ---- keyctl: each a function of its arguments, under the lock when it has a key ---- */

static long keyring_id(i32 id, bool create)
{
    struct key_ref k;
    long r = key_lookup(id, create, false, KEY_SEARCH, &k);
    if (r < 0)
        return r;
    r = (long)k.key->by_serial.key;
    key_put(k.key);
    return r;
}

static long join_session(uaddr from)
{
    char *name;
    long r = text_from_user(from, &name);
    if (r == 0 && name && name[0] == '.')
        r = -EPERM;
    if (r == 0) {
        mutex_lock(&g_keys_lock);
        r = keyring_join_session(name);
        mutex_unlock(&g_keys_lock);
    }
    kfree(name);
    return r;
}

static long update(i32 id, uaddr from, u64 size)
{
    struct key_ref k;
    void *payload;
    long r = payload_from_user(from, size, &payload);
    if (r < 0)
        return r;
    mutex_lock(&g_keys_lock);
    r = key_lookup(id, false, false, KEY_WRITE, &k);
    if (r == 0) {
        r = k.key->kind == KEY_KEYRING ? -EOPNOTSUPP
                                       : payload_fits((int)k.key->kind, k.key->description, size);
        if (r == 0)
            r = give_payload(k.key, payload, size);
        key_put(k.key);
    }
    mutex_unlock(&g_keys_lock);
    if (r < 0)
        kfree_sensitive(payload);
    return r;
}

static long revoke(struct key *k, long arg)
{
    k->revoked = true;
    if (k->kind == KEY_KEYRING)
        keyring_clear(k);
    return 0;
}

static long invalidate(struct key *k, long arg)
{
    k->dead = true;
    key_unlink_everywhere(k);
    return 0;
}

static long clear(struct key *k, long arg)
{
    if (k->kind != KEY_KEYRING)
        return -ENOTDIR;
    keyring_clear(k);
    return 0;
}

static long set_perm(struct key *k, long perm)
{
    if ((u32)perm & ~KEY_PERM_ALL)
        return -EINVAL;
    if (k->owner->uid != current_process()->cred.fsuid && !capable(CAP_SYS_ADMIN))
        return -EACCES;
    k->perm = (u32)perm;
    return 0;
}

static long set_timeout(struct key *k, long seconds)
{
    k->expiry = (u32)seconds ? clock_realtime() + (u32)seconds * 1000000000ull : 0;
    return 0;
}

/* What changes one key, by its number: the right it needs, whether its state matters. */
static const struct change {
    long (*fn)(struct key *k, long arg);
    u32 need;
    bool create, partial;
} g_changes[] = {
    [KEYCTL_SETPERM] = {set_perm, KEY_SETATTR, true, true},
    [KEYCTL_REVOKE] = {revoke, KEY_WRITE, false, false},
    [KEYCTL_CLEAR] = {clear, KEY_WRITE, true, false},
    [KEYCTL_SET_TIMEOUT] = {set_timeout, KEY_SETATTR, true, true},
    [KEYCTL_INVALIDATE] = {invalidate, KEY_SEARCH, false, false},
};

static long change(const struct change *c, i32 id, long arg)
{
    struct key_ref k;
    mutex_lock(&g_keys_lock);
    long r = key_lookup(id, c->create, c->partial, c->need, &k);
    if (r == -EACCES && c->fn == revoke)
        r = key_lookup(id, false, false, KEY_SETATTR, &k);
    if (r == 0) {
        r = c->fn(k.key, arg);
        key_put(k.key);
    }
    mutex_unlock(&g_keys_lock);
    return r;
}

static long chown_key(i32 id, u32 uid, u32 gid)
{
    struct key_ref k;
    mutex_lock(&g_keys_lock);
    long r = key_lookup(id, true, true, KEY_SETATTR, &k);
    if (r == 0) {
        r = key_chown(k.key, uid, gid);
        key_put(k.key);
    }
    mutex_unlock(&g_keys_lock);
    return r;
}

static long link_or_unlink(i32 id, i32 to, bool link)
{
    struct key_ref k, ring;
    mutex_lock(&g_keys_lock);
    long r = key_lookup(to, link, false, KEY_WRITE, &ring);
    if (r == 0) {
        r = key_lookup(id, link, !link, link ? KEY_LINK : 0, &k);
        if (r == 0) {
            if (ring.key->kind != KEY_KEYRING)
                r = -ENOTDIR;
            else if (link)
                r = keyring_link(ring.key, k.key);
            else
                r = keyring_unlink(ring.key, k.key) ? 0 : -ENOENT;
            key_put(k.key);
        }
        key_put(ring.key);
    }
    mutex_unlock(&g_keys_lock);
    return r;
}

static long search_locked(i32 in, int kind, const char *name, i32 to)
{
    struct key_ref ring, dest = {0};
    struct key *k = NULL;
    long r = key_lookup(in, false, false, KEY_SEARCH, &ring);
    if (r < 0)
        return r;
    r = to ? key_lookup(to, true, false, KEY_WRITE, &dest) : 0;
    if (r == 0)
        r = kind < 0 ? -ENOKEY
                     : key_search(ring.key, ring.possessed, (enum key_kind)kind, name, &k);
    if (r == 0 && dest.key)
        r = link_found(dest.key, (struct key_ref){k, ring.possessed});
    if (r == 0)
        r = (long)k->by_serial.key;
    if (k)
        key_put(k);
    if (dest.key)
        key_put(dest.key);
    key_put(ring.key);
    return r;
}

static long search(i32 in, uaddr kind_at, uaddr name_at, i32 to)
{
    char kind[32], *name = NULL;
    long r = kind_from_user(kind, kind_at);
    if (r == 0)
        r = text_from_user(name_at, &name);
    if (r == 0 && !name)
        r = -EINVAL;
    if (r == 0) {
        mutex_lock(&g_keys_lock);
        r = search_locked(in, key_kind_of(kind), name, to);
        mutex_unlock(&g_keys_lock);
    }
    kfree(name);
    return r;
}

/* What a key says of itself, as KEYCTL_DESCRIBE and KEYCTL_READ have it: a copy for the caller. */
static long describe_locked(struct key_ref k, void **out)
{
    size_t room = strlen(k.key->description) + 80;
    char *text = *out = kmalloc(room);
    if (!text)
        return -ENOMEM;
    return snprintf(text, room, "%s;%u;%u;%08x;%s", key_kind_name(k.key->kind), k.key->owner->uid,
                    k.key->gid, k.key->perm, k.key->description) +
           1;
}

static long read_locked(struct key_ref k, void **out)
{
    struct key_link *l;
    u32 n = 0;
    if (k.key->kind == KEY_LOGON)
        return -EOPNOTSUPP;
    u64 size = k.key->kind == KEY_KEYRING ? k.key->link_count * 4ull : k.key->size;
    *out = kmalloc(MAX(size, 1u));
    if (!*out)
        return -ENOMEM;
    if (k.key->kind == KEY_KEYRING)
        list_for_each_entry (l, &k.key->links, link)
            ((i32 *)*out)[n++] = (i32)l->key->by_serial.key;
    else
        memcpy(*out, k.key->payload, size);
    return (long)size;
}

/* All of it or nothing, but of a keyring what there is room for. */
static long tell(i32 id, uaddr to, u64 room, bool read)
{
    struct key_ref k;
    void *data = NULL;
    mutex_lock(&g_keys_lock);
    long r = key_lookup(id, false, !read, read ? 0 : KEY_VIEW, &k);
    bool ring = r == 0 && k.key->kind == KEY_KEYRING;
    if (r == 0) {
        if (read && !key_allows(k, KEY_READ) && !(k.possessed && key_allows(k, KEY_SEARCH)))
            r = -EACCES;
        else
            r = read ? read_locked(k, &data) : describe_locked(k, &data);
        key_put(k.key);
    }
    mutex_unlock(&g_keys_lock);
    u64 n = r < 0 ? 0 : (u64)r;
    if (read && ring)
        n = MIN(n, room / 4 * 4);
    if (to.at && n <= room && n && copy_to_user(to, data, n) < 0)
        r = -EFAULT;
    kfree_sensitive(data);
    return r;
}

static long request_keyring(i32 which)
{
    struct thread *t = current();
    i32 old = t->request_keyring;
    if (which == KEY_REQKEY_DEFL_NO_CHANGE)
        return old;
    if (which < KEY_REQKEY_DEFL_DEFAULT || which > KEY_REQKEY_DEFL_USER_SESSION_KEYRING)
        return -EINVAL;
    if (which == KEY_REQKEY_DEFL_THREAD_KEYRING || which == KEY_REQKEY_DEFL_PROCESS_KEYRING) {
        mutex_lock(&g_keys_lock);
        long r = keyring_id(-which, true);
        mutex_unlock(&g_keys_lock);
        if (r < 0)
            return r;
    }
    t->request_keyring = which;
    return old;
}

static long capabilities(uaddr to, u64 room)
{
    u8 caps[2] = {KEYCTL_CAPS0_CAPABILITIES | KEYCTL_CAPS0_BIG_KEY | KEYCTL_CAPS0_INVALIDATE, 0};
    u64 n = MIN(room, sizeof(caps));
    if (to.at &&
        (copy_to_user(to, caps, n) < 0 || (room > n && clear_user(user_plus(to, n), room - n) < 0)))
        return -EFAULT;
    return sizeof(caps);
}

static long security_of(i32 id, uaddr to, u64 room)
{
    long r = tell(id, user_at(0), 0, false);
    if (r < 0)
        return r;
    return to.at && room && clear_user(to, 1) < 0 ? -EFAULT : 1; /* no label: "" */
}

long sys_keyctl(int which, u64 b, u64 c, u64 d, u64 e)
{
    u64 command = (u32)which;
    if (command < ARRAY_SIZE(g_changes) && g_changes[command].fn)
        return change(&g_changes[command], (i32)b, (long)c);
    long r;
    switch (command) {
    case KEYCTL_GET_KEYRING_ID:
        mutex_lock(&g_keys_lock);
        r = keyring_id((i32)b, (i32)c != 0);
        mutex_unlock(&g_keys_lock);
        return r;
    case KEYCTL_JOIN_SESSION_KEYRING:
        return join_session(user_at(b));
    case KEYCTL_UPDATE:
        return update((i32)b, user_at(c), d);
    case KEYCTL_CHOWN:
        return chown_key((i32)b, (u32)c, (u32)d);
    case KEYCTL_DESCRIBE:
    case KEYCTL_READ:
        return tell((i32)b, user_at(c), d, command == KEYCTL_READ);
    case KEYCTL_LINK:
    case KEYCTL_UNLINK:
        return link_or_unlink((i32)b, (i32)c, command == KEYCTL_LINK);
    case KEYCTL_SEARCH:
        return search((i32)b, user_at(c), user_at(d), (i32)e);
    case KEYCTL_SET_REQKEY_KEYRING:
        return request_keyring((i32)b);
    case KEYCTL_GET_SECURITY:
        return security_of((i32)b, user_at(c), d);
    case KEYCTL_ASSUME_AUTHORITY:
        return b ? -ENOKEY : 0;
    case KEYCTL_INSTANTIATE:
    case KEYCTL_INSTANTIATE_IOV:
    case KEYCTL_NEGATE:
    case KEYCTL_REJECT: /* for who answers a request */
    case KEYCTL_SESSION_TO_PARENT:
        return -EPERM;
    case KEYCTL_CAPABILITIES:
        return capabilities(user_at(b), c);
    default:
        return -EOPNOTSUPP;
    }
}
