/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pass-through mounts: a directory or file of the host, untrusted. Everything is asked of the host,
 * every time, by path below the mount's descriptor, or by one of the file's own while the LibOS has
 * it open: nothing is cached but the identity of inodes
 * (host device and inode number), so that a dentry whose file was replaced outside is dropped.
 * What a file is (S_IFMT) is settled when its inode is made: what the host opens later is looked at
 * again, and anything else is refused. hostfs.c: names and attributes; hostfs_file.c: contents.
 */
#pragma once

#include "fs_private.h"

struct host_super {
    struct super s;
    struct mutex lock; /* the tree of inodes, their names */
    hostfd fd;
    bool hosts;            /* its root is /etc/hosts: hostfs_hosts.c */
    struct rb_root inodes; /* key: hash of host identity */
};

struct host_inode {
    struct inode i;
    struct rb_node node;
    bool in_tree;
    u64 host_dev, host_ino;
    struct host_inode *parent; /* where it was found last; a reference. NULL: the mount's root */
    char *name;
    hostfd map_fd;                       /* for mm, opened at the first page; -1 */
    struct host_lock_owner *lock_owners; /* hostlocks.c */
    struct mutex opens_lock;
    struct list_head opens; /* struct host_open */
    bool map_writable;
};

/* An open file of a host inode: its private. As long as there is one the inode is asked for by its
 * descriptor, for the name may be another file's by then. */
struct host_open {
    struct list_head link;
    hostfd fd;
    bool append;           /* fd was opened with O_APPEND */
    hostfd other_fd;       /* one that is the other way, after fcntl(2); -1: none yet */
    struct listing *names; /* of a directory (hostfs_file.c) */
    struct mutex text_lock;
    char *text; /* of /etc/hosts, as it was read (hostfs_hosts.c) */
    size_t text_size;
};

static inline struct host_inode *host_of(struct inode *i)
{
    return container_of(i, struct host_inode, i);
}
static inline struct host_super *host_super_of(const struct inode *i)
{
    return container_of(i->super, struct host_super, s);
}
/* Fresh facts from the host into the inode. */
int host_refresh(struct host_inode *h, struct host_stat *st);
int hostfs_open(struct inode *i, struct file *f);
int host_fifo_open(struct inode *i, struct file *f); /* hostfs_special.c */
int hostfs_read_page(struct inode *i, u64 off, void *dst);
int hostfs_write_page(struct inode *i, u64 off, const void *src, size_t n);
/*
 * An open descriptor of the inode, which the caller closes; st (may be NULL) says what the host has
 * opened. -ESTALE: by now another file has the name.
 */
hostfd host_open_inode(struct host_inode *h, int flags, struct host_stat *st);

/* ---- hostfs_own.c: own changes, for inotify; begin and end always together, no lock of hostfs
 * held but the directory's. mask: IN_* that the host may tell of it. ---- */
void own_begin(struct own_change *o, struct host_inode *h, u32 mask);
void own_begin_names(struct own_change *o, u32 mask, const struct inode *self,
                     const struct inode *dir, const char *name, size_t len,
                     const struct inode *dir2, const char *name2, size_t len2);
void own_end(struct own_change *o);
#define OWN_OPENED (IN_OPEN | IN_ACCESS | IN_CLOSE)
#define OWN_MADE   (OWN_OPENED | IN_CREATE | IN_ATTRIB | IN_MODIFY)

/* ---- hostfs_hosts.c ---- */
/* What programs read for a file of these contents, into `out` (HOSTS_ROOM bytes); its size. */
size_t hosts_text(const char *text, size_t size, char *out);
#define HOSTS_ROOM(size) ((size) + 256)
u64 hosts_size(struct host_inode *h);
int hosts_open(struct inode *i, struct file *f);
ssize_t hosts_read(struct file *f, struct uio *io, u64 *pos);
i64 hosts_seek(struct file *f, i64 off, int whence);

/* ---- hostlocks.c ---- */
int host_file_lock(struct file *f, struct lock *k, int op);
/* owner's POSIX locks of the inode go; NULL: everybody's. */
void host_drop_locks(struct inode *i, const void *owner);
