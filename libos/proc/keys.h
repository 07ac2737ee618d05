/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys: what add_key(), request_key() and keyctl() keep. A key lives while a keyring, a process or
 * a call holds a reference. One lock, g_keys_lock, guards all of them; it is innermost but for the
 * heap's, so nothing under it touches user memory.
 */
#pragma once

#include "proc.h"
#include <linux/keyctl.h>

enum key_kind { KEY_KEYRING, KEY_USER, KEY_LOGON, KEY_BIG, KEY_KINDS };
enum key_need {
    KEY_VIEW = 1,
    KEY_READ = 2,
    KEY_WRITE = 4,
    KEY_SEARCH = 8,
    KEY_LINK = 16,
    KEY_SETATTR = 32
};
#define KEY_PERM_ALL 0x3f3f3f3fu

struct key_user {
    struct list_head link;
    u32 uid, keys, bytes;
    struct key *ring, *session_ring; /* _uid.N, _uid_ses.N: made when first asked for */
};
struct key {
    struct rb_node by_serial; /* its key is the serial number */
    u32 refs;
    enum key_kind kind;
    char *description;
    struct key_user *owner; /* whose quota it counts in, and whose it is */
    u32 gid, perm, bytes;   /* bytes: of the quota */
    u64 expiry;             /* CLOCK_REALTIME ns, 0: never */
    bool revoked, dead, negative;
    u64 seen; /* the walk through keyrings that was here last: each looks at a key once */
    void *payload;
    size_t size;
    struct list_head links; /* of a keyring: struct key_link */
    u32 link_count;
};
struct key_link {
    struct list_head link;
    struct key *key;
};
/* A key and how it was reached: what is in one's own keyrings is possessed. */
struct key_ref {
    struct key *key;
    bool possessed;
};

extern struct mutex g_keys_lock;
extern struct rb_root g_keys;

/* ---- keys.c; all with g_keys_lock held ---- */
/* -1: there is no such kind. */
int key_kind_of(const char *name);
const char *key_kind_name(enum key_kind kind);
/* A new key of the caller with one reference, or -EDQUOT, -ENOMEM. It takes the payload when it
 * succeeds. */
long key_create(enum key_kind kind, const char *description, void *payload, size_t size, u32 perm,
                struct key **out);
long key_charge(struct key *k, i64 bytes); /* more or less of the quota: -EDQUOT */
void key_put(struct key *k);
long key_state(const struct key *k); /* 0, -EKEYREVOKED, -EKEYEXPIRED, -ENOKEY */
bool key_allows(struct key_ref r, u32 need);
long key_chown(struct key *k, u32 uid, u32 gid); /* -1: stays */
struct key_user *key_user_of(u32 uid);

/* ---- keyring.c; the same ---- */
struct key *keyring_find(const struct key *ring, enum key_kind kind, const char *description);
long keyring_link(struct key *ring, struct key *k); /* displaces one of the same name */
bool keyring_unlink(struct key *ring, const struct key *k);
void keyring_clear(struct key *ring);
void key_unlink_everywhere(const struct key *k);
/* The key that an id or a KEY_SPEC_* names, which grants `need`; create: special ones are made.
 * With a reference. partial: whatever its state is. */
long key_lookup(i32 id, bool create, bool partial, u32 need, struct key_ref *out);
/* The first in the keyring and those in it, or in all keyrings of the caller when NULL. */
long key_search(struct key *ring, bool possessed, enum key_kind kind, const char *description,
                struct key **out);
/* A new session keyring of that name, or the one that exists: its serial number. */
long keyring_join_session(const char *name);
/* Where request_key() puts what it makes when nobody says where: with a reference, or NULL. */
long keyring_default(struct key **out);
