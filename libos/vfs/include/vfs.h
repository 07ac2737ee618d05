/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of libos/vfs and libos/fs share among themselves; the door to other rooms is
 * libos/vfs/include/fs.h. */
#pragma once

#include "fs.h"
#include "host.h"
#include "syscall.h"
#include "task.h"
#include "thread.h"

#include <asm/fcntl.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/inotify.h>
#include <linux/limits.h>
#include <linux/mount.h>
#include <linux/stat.h>

#ifndef SEEK_SET
#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
#endif
#ifndef SEEK_DATA
#define SEEK_DATA 3
#define SEEK_HOLE 4
#endif
#define DT_UNKNOWN       0
#define DT_FIFO          1
#define DT_CHR           2
#define DT_DIR           4
#define DT_BLK           6
#define DT_REG           8
#define DT_LNK           10
#define DT_SOCK          12
#define MODE_TO_DT(mode) ((u8)(((mode)&S_IFMT) >> 12))

#define NAME_LIMIT 255u
#define LINK_LIMIT 40
#define RW_LIMIT   0x7ffff000ul /* the most one read or write moves, as Linux */

#define POLL_IN     0x001u
#define POLL_PRI    0x002u
#define POLL_OUT    0x004u
#define POLL_ERR    0x008u
#define POLL_HUP    0x010u
#define POLL_RDNORM 0x040u
#define POLL_WRNORM 0x100u
#define POLL_RDHUP  0x2000u

/* NULL: the LibOS itself (start-up, kernel threads). */
static inline struct process *fs_process(void)
{
    struct thread *t = current();

    return t ? t->process : NULL;
}

/* ---- credentials (inode.c) ---- */
bool fs_capable(int cap);
u32 fs_uid(void);
u32 fs_gid(void);
bool fs_in_group(u32 gid);
bool inode_owner_or_capable(struct inode *i);
/* Whoever changes a file's content takes its set-id bits away, unless he may set them. */
u32 inode_mode_after_write(const struct inode *i);
int inode_permission_as(const struct cred *c, struct inode *i, int mask);

/* ---- inodes (inode.c) ---- */
void inode_init(struct inode *i, struct super *super, const struct inode_ops *ops, u32 mode);
/* Its last reference is gone: what hangs on it goes before it does. */
void inode_forget(struct inode *i);
void handle_forget(struct inode *i);
u64 super_new_dev(void);
/* Owner of a new inode in dir: credentials of the caller, setgid directories. */
void inode_init_owner(struct inode *i, const struct inode *dir);
int inode_setattr(struct inode *i, const struct setattr *a); /* no permission checked */
int inode_count_writer(struct inode *i); /* 0, or -ETXTBSY: a program runs from it */
void inode_uncount_writer(struct inode *i);
void setattr_copy(struct inode *i, const struct setattr *a); /* everything but the size; ctime */
void notify_inode(struct dentry *d, u32 mask);               /* on d and, by name, on its parent */
void notify_links(struct inode *i);                          /* it has a name more or less */
void notify_entry(struct dentry *dir, const char *name, size_t len, struct inode *i, u32 mask,
                  u32 cookie);

/* ---- dentries (dcache.c) ---- */
void dcache_init(void);
extern struct mutex g_tree_lock; /* names, parents, mount points */
u32 name_hash(const struct dentry *dir, const char *name, size_t len);
struct dentry *dentry_alloc(struct dentry *parent, struct mount *mount, const char *name,
                            size_t len,
                            struct inode *inode); /* takes no reference of inode: gets one */
struct dentry *dcache_find(struct dentry *dir, const char *name, size_t len, u32 hash);
/* A name of the inode in that mount, if one is cached; +1. */
struct dentry *dcache_find_inode(const struct mount *m, const struct inode *i);
void dcache_insert(struct dentry *d);
void dcache_remove(struct dentry *d);
/* The same, for good if `unlinked`; false: something is mounted below d by now, and it stays. The
 * caller has another reference of d. */
bool dcache_remove_free(struct dentry *d, bool unlinked);
/* Takes the name over, of kmalloc(). The caller holds the locks of both directories. */
void dcache_move(struct dentry *d, struct dentry *new_dir, char *name);
void dcache_prune_mount(struct mount *m);
bool dentry_is_below(struct dentry *d, struct dentry *ancestor); /* or the same */
/* +1 on *out, maybe negative; mounts are not crossed. */
int dentry_child(struct dentry *dir, const char *name, size_t len, struct dentry **out);
/*
 * What dentry_child() gave before dir's inode was locked, seen again under the lock: is it still
 * what dir has by that name (d has an inode), or still a name that is free?
 */
bool dentry_is_current(const struct dentry *dir, const struct dentry *d, const char *name,
                       size_t len);
/* dir has a new entry: its dentry is *d, which was a free name, or replaces it. dir's inode is
 * locked; the reference of i is taken over. */
int dentry_instantiate(struct dentry *dir, struct dentry **d, const char *name, size_t len,
                       struct inode *i);
struct dentry *dentry_follow_mounts(struct dentry *d); /* takes the reference, gives one */
/* Path of d below root into buf, as dentry_path(); -ENOENT when root is not above it. */
char *dentry_path_below(struct dentry *d, struct dentry *root, char *buf, size_t size);
/* Mount points below d and its parents, within the mount: more of them, or less.
 * g_tree_lock is held. */
void dentry_count_mounts(struct dentry *d, i32 more);

/* ---- mounts (mount.c) ---- */
struct mount {
    struct list_head link;
    u32 id, flags; /* MS_RDONLY | MS_NOEXEC | MS_NOSUID | MS_NODEV | MS_NOSYMFOLLOW */
    u32 dentries;  /* alive ones; the mount is freed with the last */
    struct mount *parent;
    struct dentry *root;
    struct dentry *mountpoint; /* NULL for the root mount, or when detached */
    struct super *super;
    char *source, *options, *bind_path;
};
extern struct mount *g_root_mount;
extern struct list_head g_mounts; /* under g_tree_lock */
/* Changes with each mount that comes, goes or gets other flags; then g_mounts_wait is woken. */
u64 mount_changes(void);
extern struct waitq g_mounts_wait;
/* Mount super (its root inode, or another one for a bind) on target (NULL: the root). */
int mount_attach(struct super *super, struct inode *root, struct dentry *target, u32 flags,
                 const char *source, const char *options, const char *bind_path);
u64 mount_unique_id(const struct mount *m); /* statmount.c: its number that is never used again */
void mount_free(struct mount *m);           /* its last dentry is gone */
int mount_bind(struct dentry *source, struct dentry *target, u32 flags);
/* MS_* for d. What the file system says for good stays, however it is mounted again. An anonymous
 * object (memfd, pipe, socket), which /proc/PID/fd leads to, has no mount. */
static inline u32 dentry_mount_flags(const struct dentry *d)
{
    return d->mount ? d->mount->flags | d->mount->super->flags : 0;
}
static inline bool dentry_readonly(const struct dentry *d)
{
    return (dentry_mount_flags(d) & MS_RDONLY) != 0;
}
struct dentry *initial_root(void); /* +1 */

/* ---- walking (namei.c) ---- */
struct walk {
    struct dentry *at, *root, *start; /* one reference each */
    struct dentry *jail; /* root of the pass-through mount whose link was followed: from there on
                            nothing outside of it is reached; one reference */
    struct fs_context *fs;
    const char *rest; /* what is left of the path */
    char *owned;      /* buffer that rest points into, after a symlink */
    const char *last; /* with walk_parent: the last component */
    size_t last_len;
    u64 resolve; /* RESOLVE_* of openat2 */
    int links;
    bool trailing_slash, magic;
    bool no_host_links; /* LOOKUP_NO_HOST_LINKS */
};
int walk_begin(struct walk *w, int dirfd, const char *path, u64 resolve);
void walk_end(struct walk *w);
int walk_full(struct walk *w, u32 flags); /* w->at is the object */
/* w->at is the directory, w->last the name (may be "." or ".." or empty). */
int walk_parent(struct walk *w);
int walk_step(struct walk *w, bool follow); /* to w->last */
int walk_link(struct walk *w,
              struct dentry *link); /* continue through a symlink found at w->last */
/* To what is mounted on *d, if anything; takes the reference of *d and gives one, also when it
 * fails. */
int walk_into_mount(struct walk *w, struct dentry **d);
static inline int walk_cross(struct walk *w, struct dentry **d)
{
    return likely(!(*d)->mounted) ? 0 : walk_into_mount(w, d);
}
/* Parent directory and a plain last name for mkdir and friends: errors for ".", "..", "/" as given
 * by dot_error. */
int path_parent(int dirfd, const char *path, struct walk *w, int dot_error);
int may_create(struct dentry *dir);
int may_delete(struct dentry *dir, struct dentry *victim, bool is_dir);
int dentry_open_flags(struct dentry *d, u32 flags, struct file **out);
/* As open(2) of what d names: permissions, O_TRUNC. */
int dentry_open_checked(struct dentry *d, u32 flags, struct file **out);

/* ---- links of pass-through mounts (links.c) ---- */
/* What is left of path behind prefix, component by component; NULL: it does not begin so. */
const char *path_behind(const char *path, const char *prefix);
/* What readlink(2) says of a link. */
ssize_t link_text(struct dentry *link, char *buf, size_t size);
/* stat(2) of it: its length is that of this text. */
void link_stat(struct dentry *link, struct kstat *st);

/* ---- files (file.c, fdtable.c) ---- */
struct fdref {
    struct file *file;
    bool owned;
};
/* Like fd_get without touching counts when nobody else can close the descriptor meanwhile. O_PATH
 * files are refused (-EBADF). */
struct fdref fdref_get(int fd);
static inline void fdref_put(struct fdref r)
{
    if (r.owned)
        file_put(r.file);
}
extern const struct file_ops g_path_file_ops;
i64 generic_seek(struct file *f, i64 off, int whence, u64 size);
i64 inode_seek(struct file *f, i64 off, int whence);
void locks_release_file(struct file *f); /* flock and OFD locks of an open description */
void locks_free(struct inode *i);        /* its last reference is gone */
void locks_release_owner(struct file *f, struct files *owner); /* POSIX locks, at close */
int lock_fcntl(struct file *f, int cmd, struct flock *fl);
ssize_t vfs_read(struct file *f, struct uio *io, u64 *pos);
ssize_t vfs_write(struct file *f, struct uio *io, u64 *pos);
u64 file_new_id(void);

/* ---- owner.c, lease.c ---- */
long owner_fcntl(struct file *f, int cmd, long arg); /* F_SETOWN and its kin */
void file_clear_owner(struct file *f);
int file_set_async(struct file *f, int fd, bool on);
long lease_set(struct file *f, int fd, long type);
long lease_get(struct file *f);
void leases_release(struct file *f);
/* Before i is opened or cut: 0, or -EAGAIN, -ERESTARTSYS. */
int lease_break(struct inode *i, bool write, bool nonblock);

/* ---- pipes (pipe.c) ---- */
int fifo_open(struct inode *i, struct file *f);
long pipe_fcntl(struct file *f, u32 cmd, long arg);
void file_uncount_writer(struct file *f); /* it keeps no program from running any more */
bool file_is_pipe(struct file *f);
size_t pipe_room(struct file *f); /* bytes that a writer need not wait for; 1: nobody reads */
bool pipe_is_same(struct file *a, struct file *b); /* two ends of one pipe */
ssize_t pipe_tee(struct file *in, struct file *out, size_t n, bool nonblock);
void fifo_destroy(struct inode *i);
/* A dentry for a file without one, so that /proc/self/fd/N can be walked to; +1. */
struct dentry *file_anon_dentry(struct file *f);

/* ---- what fs has above (fs/types.c); set at start ---- */
struct file_systems {
    /* As mount(2) names it; -ENODEV: there is none. A negative errno as err_ptr. */
    struct super *(*make)(const char *type, const char *options);
    int (*open_device)(struct inode *i, struct file *f);
    const char *(*name)(u32 index); /* of the n-th one; NULL: there are not so many */
};
extern const struct file_systems *g_file_systems;
struct super *super_alloc(const char *type, u64 magic);
/* A regular file of tmpfs, a memfd, or the sealed root's. */
static inline bool inode_is_memory(const struct inode *i)
{
    return S_ISREG(i->mode) && i->super && i->super->memory;
}
