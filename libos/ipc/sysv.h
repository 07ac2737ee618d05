/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V IPC: semaphores, message queues, shared memory. All of it is memory of the enclave. One
 * lock, g_sysv_lock, guards all objects; a waiter holds a reference, drops the lock while it waits,
 * and finds `removed` set when the object went meanwhile.
 */
#pragma once

#include "ipc.h"
#include "process.h"
#include "syscall.h"
#include "user.h"
#include <linux/ipc.h>

struct sysv_object {
    struct list_head link;
    struct rb_node by_place, by_key; /* the key's only while it has one */
    struct refcount refs;
    i32 id, key; /* id: its place, and above it how often places were taken again */
    u32 uid, gid, cuid, cgid, mode, seq;
    bool removed;
    struct waitq waiters;
};
#define SYSV_PLACES 32768u
struct sysv_class {
    struct list_head objects;
    struct rb_root places, keys;
    const char *limit, *next; /* in /proc/sys/kernel: how many there may be; where the next goes */
    u32 limit_field;          /* the number of the line that is the limit */
    u32 count;
    u32 last, turn; /* the place taken last, and the part of the id above it */
    u64 taken[SYSV_PLACES / 64];
    void (*destroy)(struct sysv_object *o);
};

extern struct mutex g_sysv_lock;

/* All with g_sysv_lock held. */
struct sysv_object *sysv_find(struct sysv_class *c, i32 id); /* NULL: -EINVAL */
/* SHM_STAT and the like: the object at a place (an id does as well), and the highest place, or 0 */
struct sysv_object *sysv_nth(struct sysv_class *c, i32 place);
i32 sysv_top(const struct sysv_class *c);
bool sysv_permitted(const struct sysv_object *o,
                    u32 want);              /* bits as in a mode, 0400 read, 0200 write */
u32 sysv_limit(const struct sysv_class *c); /* at most SYSV_PLACES */
void sysv_forget_key(struct sysv_class *c, struct sysv_object *o); /* it is IPC_PRIVATE now */
bool sysv_owned(const struct sysv_object *o);                      /* may be changed and removed */
void sysv_remove(struct sysv_class *c, struct sysv_object *o);
void sysv_put(struct sysv_class *c, struct sysv_object *o);
struct ipc64_perm;
void sysv_perm_fill(const struct sysv_object *o, struct ipc64_perm *out);
void sysv_perm_set(struct sysv_object *o, const struct ipc64_perm *in);
/*
 * semget, msgget, shmget: the object of key, or -ENOENT and the like; 0 with *out NULL when a new
 * one is to be made, which the caller passes to sysv_add().
 */
int sysv_get(struct sysv_class *c, i32 key, u32 flags, struct sysv_object **out);
int sysv_add(struct sysv_class *c, struct sysv_object *o, i32 key,
             u32 flags); /* its id, or -ENOSPC */
