/* SPDX-License-Identifier: Apache-2.0 */
/* Keyrings: what links keys, the keyrings that each process has, and how a key is found in them. */
#include "keys.h"

#define DEPTH_MAX       6 /* as Linux: how deep a search goes, and keyrings may be linked */
#define LINK_BYTES      4 /* of the quota */
#define LINKS_MAX       65536u
#define POSSESSOR(perm) ((u32)(perm) << 24)
#define OWNER(perm)     ((u32)(perm) << 16)
#define RING_PERM       (POSSESSOR(0x3f) | OWNER(KEY_VIEW))

static bool is_ring(const struct key *k)
{
    return k->kind == KEY_KEYRING && key_state(k) == 0;
}

struct key *keyring_find(const struct key *ring, enum key_kind kind, const char *description)
{
    struct key_link *l;
    list_for_each_entry (l, &ring->links, link)
        if (l->key->kind == kind && !l->key->dead && strcmp(l->key->description, description) == 0)
            return l->key;
    return NULL;
}

static void drop_link(struct key *ring, struct key_link *l)
{
    list_del(&l->link);
    ring->link_count--;
    key_charge(ring, -LINK_BYTES);
    key_put(l->key);
    kfree(l);
}

bool keyring_unlink(struct key *ring, const struct key *k)
{
    struct key_link *l;
    list_for_each_entry (l, &ring->links, link)
        if (l->key == k) {
            drop_link(ring, l);
            return true;
        }
    return false;
}

void keyring_clear(struct key *ring)
{
    while (!list_empty(&ring->links))
        drop_link(ring, list_first_entry(&ring->links, struct key_link, link));
}

void key_unlink_everywhere(const struct key *k)
{
    struct rb_node *n = rb_first(&g_keys);
    while (n) {
        struct key *ring = container_of(n, struct key, by_serial);
        ring->refs++; /* it stays while it is looked at, and leads to the next */
        keyring_unlink(ring, k);
        n = rb_next(n);
        key_put(ring);
    }
}

static u64 keyring_walk(void)
{
    static u64 walks;
    return ++walks;
}

/* Is this the first time that the walk comes here? Many ways lead to one keyring. */
static bool first_visit(struct key *k, u64 walk)
{
    bool first = k->seen != walk;
    k->seen = walk;
    return first;
}

/* Is `looked_for` at or below ring? -EDEADLK; -ELOOP when it is too deep to tell. */
static long find_below(struct key *ring, const struct key *looked_for, u32 depth, u64 walk)
{
    struct key_link *l;
    if (ring == looked_for)
        return -EDEADLK;
    if (!first_visit(ring, walk))
        return 0;
    if (depth >= DEPTH_MAX)
        return -ELOOP;
    list_for_each_entry (l, &ring->links, link) {
        long r = l->key->kind == KEY_KEYRING ? find_below(l->key, looked_for, depth + 1, walk) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

long keyring_link(struct key *ring, struct key *k)
{
    if (ring->kind != KEY_KEYRING)
        return -ENOTDIR;
    long r = k->kind == KEY_KEYRING ? find_below(k, ring, 0, keyring_walk()) : 0;
    if (r < 0)
        return r;
    struct key_link *l, *old = NULL;
    list_for_each_entry (l, &ring->links, link)
        if (l->key->kind == k->kind && strcmp(l->key->description, k->description) == 0)
            old = l;
    if (old && old->key == k)
        return 0;
    if (ring->link_count >= LINKS_MAX)
        return -ENFILE;
    l = kmalloc(sizeof(*l));
    r = l ? key_charge(ring, LINK_BYTES) : -ENOMEM;
    if (r < 0) {
        kfree(l);
        return r;
    }
    l->key = k;
    k->refs++;
    list_add_tail(&l->link, &ring->links);
    ring->link_count++;
    if (old)
        drop_link(ring, old);
    return 0;
}

/* ---- the keyrings of a process ---- */

static long make_ring(const char *name, u32 perm, struct key **where)
{
    return key_create(KEY_KEYRING, name, NULL, 0, perm, where);
}

/* _uid.N and _uid_ses.N of the caller, which has the first in it. They stay. */
static long user_rings(struct key_user **out)
{
    const u32 uid = current_process()->cred.fsuid;
    struct key_user *u = key_user_of(uid);
    char name[32];
    long r = u ? 0 : -ENOMEM;
    if (r == 0 && !u->ring) {
        snprintf(name, sizeof(name), "_uid.%u", uid);
        r = make_ring(name, RING_PERM | OWNER(0x3f), &u->ring);
    }
    if (r == 0 && !u->session_ring) {
        snprintf(name, sizeof(name), "_uid_ses.%u", uid);
        r = make_ring(name, RING_PERM | OWNER(0x3f), &u->session_ring);
        if (r == 0)
            r = keyring_link(u->session_ring, u->ring);
    }
    *out = u;
    return r;
}

static void replace(struct key **where, struct key *k)
{
    struct key *old = *where;
    *where = k;
    key_put(old);
}

static long find_named_ring(const char *name, struct key **out)
{
    for (struct rb_node *n = rb_first(&g_keys); n; n = rb_next(n)) {
        struct key *k = container_of(n, struct key, by_serial);
        if (is_ring(k) && strcmp(k->description, name) == 0 && name[0] != '_' &&
            key_allows((struct key_ref){k, false}, KEY_SEARCH)) {
            k->refs++;
            *out = k;
            return 0;
        }
    }
    return -ENOKEY;
}

long keyring_join_session(const char *name)
{
    struct key *k;
    long r = name ? find_named_ring(name, &k) : -ENOKEY;
    if (r < 0)
        r = make_ring(name ? name : "_ses", RING_PERM | OWNER(KEY_READ | (name ? KEY_LINK : 0)),
                      &k);
    if (r < 0)
        return r;
    replace(&current_process()->session_keys, k);
    return (long)k->by_serial.key;
}

static long session_ring(bool create, struct key **out)
{
    struct process *p = current_process();
    struct key_user *u;
    long r = 0;
    if (create && (!p->session_keys || p->session_keys->owner->session_ring == p->session_keys))
        r = keyring_join_session(NULL);
    if (r >= 0 && !p->session_keys) {
        r = user_rings(&u);
        if (r == 0) {
            u->session_ring->refs++;
            p->session_keys = u->session_ring;
        }
    }
    *out = p->session_keys;
    return MIN(r, 0);
}

static long own_ring(struct key **where, const char *name, bool create, struct key **out)
{
    long r = 0;
    if (!*where)
        r = create ? make_ring(name, RING_PERM, where) : -ENOKEY;
    *out = *where;
    return r;
}

static long special_ring(i32 id, bool create, struct key **out)
{
    struct key_user *u;
    long r;
    switch (id) {
    case KEY_SPEC_THREAD_KEYRING:
        return own_ring(&current()->thread_keys, "_tid", create, out);
    case KEY_SPEC_PROCESS_KEYRING:
        return own_ring(&current_process()->process_keys, "_pid", create, out);
    case KEY_SPEC_SESSION_KEYRING:
        return session_ring(create, out);
    case KEY_SPEC_USER_KEYRING:
    case KEY_SPEC_USER_SESSION_KEYRING:
        r = user_rings(&u);
        *out = NULL;
        if (r >= 0)
            *out = id == KEY_SPEC_USER_KEYRING ? u->ring : u->session_ring;
        return r;
    case KEY_SPEC_REQKEY_AUTH_KEY:
    case KEY_SPEC_REQUESTOR_KEYRING:
        return -ENOKEY; /* for who answers a request: nobody does */
    default:
        return -EINVAL;
    }
}

/* Where a search without a keyring begins: those that there are. */
static u32 starts(struct key *out[3])
{
    struct process *p = current_process();
    struct key_user *u = NULL;
    u32 n = 0;
    if (current()->thread_keys)
        out[n++] = current()->thread_keys;
    if (p->process_keys)
        out[n++] = p->process_keys;
    if (p->session_keys)
        out[n++] = p->session_keys;
    else if (user_rings(&u) == 0)
        out[n++] = u->session_ring;
    return n;
}

/* Is k in a keyring that its possessor may search? */
static bool holds(struct key *ring, const struct key *k, u32 depth, u64 walk)
{
    struct key_link *l;
    if (ring == k)
        return true;
    if (!is_ring(ring) || depth >= DEPTH_MAX || !first_visit(ring, walk) ||
        !key_allows((struct key_ref){ring, true}, KEY_SEARCH))
        return false;
    list_for_each_entry (l, &ring->links, link)
        if (holds(l->key, k, depth + 1, walk))
            return true;
    return false;
}

static bool possesses(const struct key *k)
{
    struct key *from[3];
    u64 walk = keyring_walk();
    for (u32 i = starts(from); i-- > 0;)
        if (holds(from[i], k, 0, walk))
            return true;
    return false;
}

long key_lookup(i32 id, bool create, bool partial, u32 need, struct key_ref *out)
{
    struct key *k = NULL;
    long r = 0;
    if (id > 0) {
        struct rb_node *n = rb_find(&g_keys, (u64)id);
        k = n ? container_of(n, struct key, by_serial) : NULL;
        r = k ? 0 : -ENOKEY;
    } else {
        r = special_ring(id, create, &k);
    }
    if (r < 0)
        return r;
    *out = (struct key_ref){k, id < 0 || possesses(k)};
    if (!partial && (r = key_state(k)) < 0)
        return r;
    if (!key_allows(*out, need))
        return -EACCES;
    k->refs++;
    return 0;
}

/* The best that was met: a key, or else why there is none. */
struct search {
    enum key_kind kind;
    const char *description;
    struct key *found;
    long why;
    u64 walk;
};

static void look_at(struct search *s, struct key *k, bool possessed)
{
    long r = key_state(k);
    if (k->kind != s->kind || k->dead || strcmp(k->description, s->description) != 0)
        return;
    if (r == 0 && !key_allows((struct key_ref){k, possessed}, KEY_SEARCH))
        r = -EACCES;
    if (r == 0)
        s->found = k;
    else if (s->why == -ENOKEY || k->negative)
        s->why = r;
}

static void look_in(struct search *s, struct key *ring, bool possessed, u32 depth)
{
    struct key_link *l;
    look_at(s, ring, possessed);
    if (s->found || !is_ring(ring) || depth > DEPTH_MAX || !first_visit(ring, s->walk) ||
        !key_allows((struct key_ref){ring, possessed}, KEY_SEARCH))
        return;
    list_for_each_entry (l, &ring->links, link)
        if (!s->found && l->key->kind != KEY_KEYRING)
            look_at(s, l->key, possessed);
    list_for_each_entry (l, &ring->links, link)
        if (!s->found && l->key->kind == KEY_KEYRING)
            look_in(s, l->key, possessed, depth + 1);
}

long key_search(struct key *ring, bool possessed, enum key_kind kind, const char *description,
                struct key **out)
{
    struct search s = {
        .kind = kind, .description = description, .why = -ENOKEY, .walk = keyring_walk()};
    struct key *from[3] = {ring};
    u32 n = ring ? 1 : starts(from);
    for (u32 i = 0; i < n && !s.found; i++)
        look_in(&s, from[i], ring ? possessed : true, 0);
    *out = s.found;
    if (s.found)
        s.found->refs++;
    return s.found ? 0 : s.why;
}

/* The nearest one that there is. */
static i32 default_ring(void)
{
    if (current()->thread_keys)
        return KEY_SPEC_THREAD_KEYRING;
    if (current_process()->process_keys)
        return KEY_SPEC_PROCESS_KEYRING;
    if (current_process()->session_keys)
        return KEY_SPEC_SESSION_KEYRING;
    return KEY_SPEC_USER_SESSION_KEYRING;
}

long keyring_default(struct key **out)
{
    i32 wanted = current()->request_keyring;
    i32 id = wanted == KEY_REQKEY_DEFL_DEFAULT ? default_ring() : -wanted;
    struct key *k;
    long r = special_ring(id, true, &k);
    if (r == 0 && !key_allows((struct key_ref){k, true}, KEY_WRITE))
        r = -EACCES;
    if (r < 0)
        return r;
    k->refs++;
    *out = k;
    return 0;
}

/* ---- lives of processes and threads ---- */

void keys_copy(struct process *child, struct process *parent)
{
    mutex_lock(&g_keys_lock);
    child->session_keys = parent->session_keys; /* the others are not inherited */
    if (child->session_keys)
        child->session_keys->refs++;
    mutex_unlock(&g_keys_lock);
}

void keys_thread_drop(struct thread *t)
{
    mutex_lock(&g_keys_lock);
    replace(&t->thread_keys, NULL);
    mutex_unlock(&g_keys_lock);
}

void keys_drop(struct process *p, bool session)
{
    mutex_lock(&g_keys_lock);
    replace(&p->process_keys, NULL);
    if (session)
        replace(&p->session_keys, NULL);
    mutex_unlock(&g_keys_lock);
}
