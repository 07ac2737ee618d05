/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files (libos/vfs; file systems, sockets, eventfd... above use the same struct file).
 *
 * inode: an object of a file system. dentry: a name in the tree (always in memory once looked up).
 * file: an open description. files: a process's descriptor table. Locks: files->lock < inode->lock
 * < tree lock is never nested the other way; user copies happen without inode locks where the page
 * may have to be read from the same inode.
 */
#pragma once

#include "heap.h"
#include "mutex.h"
#include "user.h"
#include <linux/stat.h>

struct file;
struct inode;
struct dentry;
struct mount;
struct poll_table;
struct waitq;
struct host_pollfd;
struct vma;
struct host_statfs;
struct process;
struct session;
struct lock;

/* As linux struct stat wants it, wide. Times in ns since the epoch. */
struct kstat {
    u64 dev, ino, rdev, size, blocks;
    u32 mode, nlink, uid, gid, blksize;
    i64 atime, mtime, ctime, btime;
};

struct setattr {
    u32 valid; /* SETATTR_* */
    u32 mode, uid, gid;
    u64 size;
    i64 atime, mtime;
};
#define SETATTR_MODE  (1u << 0)
#define SETATTR_UID   (1u << 1)
#define SETATTR_GID   (1u << 2)
#define SETATTR_SIZE  (1u << 3)
#define SETATTR_ATIME (1u << 4)
#define SETATTR_MTIME (1u << 5)

/* Emits one directory entry; returns false when the caller's buffer is full. */
typedef bool dirent_fn(void *ctx, const char *name, size_t name_len, u64 ino, u8 d_type,
                       u64 next_pos);

/* bind(2) of a UNIX socket, see path_bind(). */
struct socket_binding {
    hostfd (*make)(struct socket_binding *b); /* the host's socket to be bound; or negative errno */
    const char *text;                         /* the name as the program gave it */
};

/* Takes the lines of /proc/PID/fdinfo. */
struct fdinfo {
    void (*add)(struct fdinfo *to, const char *line, size_t n);
};
void fdinfo_line(struct fdinfo *to, const char *fmt, ...) __printf(2, 3); /* 200 bytes at most */

struct inode_ops {
    /* name is not "." or ".."; -ENOENT when absent. The dentry cache is above. Called with the
     * directory's lock held. */
    int (*lookup)(struct inode *dir, const char *name, size_t len, struct inode **out);
    int (*create)(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                  struct inode **out); /* any type but link, symlink */
    /* A socket by a name, where that is the host's; NULL: by create. */
    int (*bind)(struct inode *dir, const char *name, size_t len, u32 mode, struct socket_binding *b,
                struct inode **out);
    int (*symlink)(struct inode *dir, const char *name, size_t len, const char *target,
                   struct inode **out);
    int (*link)(struct inode *dir, const char *name, size_t len, struct inode *target);
    int (*unlink)(struct inode *dir, const char *name, size_t len, struct inode *victim,
                  bool is_dir);
    int (*rename)(struct inode *old_dir, const char *old_name, size_t old_len,
                  struct inode *new_dir, const char *new_name, size_t new_len, u32 flags);
    int (*iterate)(struct inode *dir, u64 pos, dirent_fn *fn, void *ctx); /* without . and .. */
    ssize_t (*readlink)(struct inode *i, char *buf, size_t size);
    /* For magic links (/proc/self/fd/3, /proc/self/exe): the dentry itself instead of a path. */
    int (*follow)(struct inode *i, struct dentry **out);
    int (*getattr)(struct inode *i, struct kstat *st);
    int (*setattr)(struct inode *i, const struct setattr *a);
    int (*open)(struct inode *i, struct file *f); /* sets f->ops, f->private */
    ssize_t (*getxattr)(struct inode *i, const char *name, void *buf, size_t size);
    int (*setxattr)(struct inode *i, const char *name, const void *buf, size_t size, int flags);
    ssize_t (*listxattr)(struct inode *i, char *buf, size_t size);
    int (*removexattr)(struct inode *i, const char *name);
    /* A file without a name (O_TMPFILE) in a directory; NULL: -EOPNOTSUPP. */
    int (*tmpfile)(struct inode *dir, u32 mode, struct inode **out);
    /* Page at byte offset off (page aligned) of a regular file for mm: fill dst (PAGE_SIZE, zero
     * past the end). -EIO on bad integrity. */
    int (*read_page)(struct inode *i, u64 off, void *dst);
    /* The reverse, for pages of a writable MAP_SHARED mapping when it ends or is synced; n <=
     * PAGE_SIZE. NULL: no such mappings. */
    int (*write_page)(struct inode *i, u64 off, const void *src, size_t n);
    void (*destroy)(struct inode *i); /* last reference gone */
};

struct inode {
    struct refcount refs;
    struct mutex lock;
    const struct inode_ops *ops;
    struct super *super;
    u64 ino;
    u64 rdev, size;
    u32 mode, nlink, uid, gid;
    i64 atime, mtime, ctime; /* ns */
    u64 nid; /* EROFS inode whose content this is (site table), 0 when none or modified */
    void *private;
    struct list_head shared_maps; /* mm: MAP_SHARED ranges of this inode */
    bool mapped_private;          /* mm: it was ever mapped so (atomic) */
    struct flock_list *locks;     /* POSIX and flock locks */
    void *bound;                  /* S_IFSOCK: net's socket bound here; S_IFIFO: vfs/pipe.c */
    void *watches;                /* event/inotify.c */
    u32 readers;           /* open descriptions for reading alone, of a regular file (atomic) */
    struct lease *leases;  /* vfs/lease.c */
    i32 writers;           /* descriptors open for writing; < 0: programs running (ETXTBSY) */
    u32 seals;             /* F_SEAL_* of a memfd */
    struct handle *handle; /* vfs/handle.c; NULL until the first */
};

/* A mounted file system. */
struct super {
    const char *type; /* "erofs", "tmpfs", "proc", ... for /proc/mounts and statfs */
    u64 dev, magic;   /* magic: statfs f_type */
    struct inode *root;
    u32 flags;       /* MS_RDONLY, ... */
    bool revalidate; /* names may change behind the dentry cache: ask lookup again; nothing
                        negative is kept */
    bool memory;     /* files are memory of the enclave: they can be sealed */
    bool untrusted;  /* names, links and contents are the host's word */
    bool confined;   /* its links lead to nothing outside of the mount (links.c) */
    void *private;
    /* With revalidate: is the cached name still right? NULL: by lookup. */
    bool (*valid)(struct dentry *d);
    int (*statfs)(struct super *s, struct host_statfs *out);
    u32 mounts;                       /* with the last one the file system goes */
    void (*destroy)(struct super *s); /* NULL: kfree; the root's reference is gone already */
};

struct dentry {
    struct refcount refs; /* one of them is the cache's while hashed */
    u32 hash;
    struct dentry *hash_next;
    struct dentry *parent; /* itself for a root; one reference */
    struct inode *inode;   /* NULL: negative */
    struct mount *mounted; /* something is mounted here */
    u32 mounts_below;      /* mount points here and below, in this mount: the name is kept */
    struct mount *mount;   /* the mount it belongs to */
    bool hashed, unlinked;
    u16 name_len;
    char *name;
};

struct file_ops {
    /* Positioned files use *pos; streams ignore it. Blocking unless f->flags has O_NONBLOCK: then
     * -EAGAIN. */
    ssize_t (*read)(struct file *f, struct uio *io, u64 *pos);
    ssize_t (*write)(struct file *f, struct uio *io, u64 *pos);
    i64 (*seek)(struct file *f, i64 off, int whence); /* NULL: -ESPIPE */
    long (*ioctl)(struct file *f, u32 cmd, u64 arg);  /* NULL: -ENOTTY */
    /* Events now (POLLIN...). With pt also registers for changes: poll_wait() for LibOS queues,
     * poll_host() for host descriptors. */
    u32 (*poll)(struct file *f, struct poll_table *pt); /* NULL: always POLLIN|POLLOUT */
    int (*iterate)(struct file *f, u64 *pos, dirent_fn *fn, void *ctx);
    int (*fsync)(struct file *f, bool data_only);
    int (*fallocate)(struct file *f, int mode, u64 off, u64 len);
    int (*mmap)(struct file *f, struct vma *vma); /* NULL: by inode->ops->read_page, else -ENODEV */
    void (*flush)(struct file *f);                /* a descriptor was closed */
    void (*release)(struct file *f);              /* last reference */
    ssize_t (*splice_read)(struct file *f, struct file *out, size_t n); /* optional */
    int (*lock)(struct file *f, struct lock *k, int op);                /* locks.h; optional */
    /* What /proc/PID/fdinfo says besides: lines by fdinfo_line(). */
    void (*fdinfo)(struct file *f, struct fdinfo *to);
};

struct file {
    struct refcount refs;
    const struct file_ops *ops;
    u32 flags; /* O_* status and access mode */
    struct mutex pos_lock;
    u64 pos;
    struct dentry *dentry; /* NULL: anonymous (pipe, socket, eventfd) */
    struct inode *inode;   /* may be NULL */
    bool denies_write;     /* a running program: file_put() does inode_allow_write() */
    bool counts_writer;    /* is one of inode.writers */
    void *private;
    hostfd host_fd; /* for fdinfo and thread_wait; -1: none */
    /* "pipe", "socket", "eventfd"... for /proc/self/fd names of anonymous files. */
    const char *kind;
    u64 id;                   /* their inode number */
    struct file_owner *owner; /* who gets its signals; NULL until somebody is named */
    void *async;              /* event/async.c; NULL: nobody is told of anything */
    bool counts_reader;       /* is one of inode.readers */
    bool created;             /* open(2) made the file */
    void *epoll_watch;        /* event/epoll_item.c: the items that watch it; file_put() calls
                          g_file_unwatch when not NULL */
    struct file *next_ended;  /* vfs/file.c: in thread.ended_files */
};

/* The last reference of f, which is watched, goes: before ops->release. Set by event/epoll.c when
 * the first file is watched. */
extern void (*g_file_unwatch)(struct file *f);
struct file *file_alloc(const struct file_ops *ops, u32 flags); /* refs 1; NULL: no memory */
struct file *file_get(struct file *f);
void file_put(struct file *f);
ssize_t file_read_kernel(struct file *f, void *buf, size_t n, u64 *pos);
/* Where the project's own program is, when the deployment asks for it. */
#define RATLS_PROXY_DIR "/dev/rune"
#define RATLS_PROXY     RATLS_PROXY_DIR "/ratls-proxy"
ssize_t file_write_kernel(struct file *f, const void *buf, size_t n, u64 *pos);

/* ---- descriptor table (libos/vfs/fdtable.c) ---- */
struct files {
    struct refcount refs;
    struct mutex lock;
    struct fd_entry {
        struct file *file;
        bool cloexec;
    } * fds;
    u32 size;
    u32 next;
};
struct files *files_create(void);
struct files *files_copy(struct files *old); /* fork */
/* The process gets a table of its own, a copy, when it shares one. 0 or -ENOMEM. */
int files_unshare(struct process *p);
void files_put(struct files *f); /* the last one closes everything */
void files_close_on_exec(struct files *f);
/* Of the current process, +1 reference, NULL: -EBADF; O_PATH files too. */
struct file *files_file(struct files *t, u64 fd); /* +1 reference; NULL: there is none */
struct file *fd_get(int fd);
/* Takes the reference; lowest free >= 0, -EMFILE (then the reference is dropped). */
int fd_install(struct file *f, bool cloexec);
int fd_install_at(int fd, struct file *f, bool cloexec);
int fd_install_min(int min, struct file *f, bool cloexec);
int fd_close(int fd);

/* ---- names (libos/vfs/namei.c) ---- */
struct fs_context { /* shared by CLONE_FS */
    struct refcount refs;
    struct mutex lock;
    struct dentry *root, *cwd;
    u32 umask;
};
struct fs_context *fs_context_create(void); /* root and cwd "/", umask 022; NULL: no memory */
struct fs_context *fs_context_copy(struct fs_context *old);
int fs_context_chdir(struct fs_context *c, const char *path); /* absolute, no permission checked */
void fs_context_put(struct fs_context *c);
#define LOOKUP_NOFOLLOW  (1u << 0) /* do not follow a final symlink */
#define LOOKUP_DIRECTORY (1u << 1)
#define LOOKUP_EMPTY     (1u << 2) /* AT_EMPTY_PATH */
/* -ELOOP at a link of a pass-through mount: for places that the deployment names. */
#define LOOKUP_NO_HOST_LINKS (1u << 3)
#define LOOKUP_NO_MAGIC      (1u << 4) /* ELOOP for links of /proc that are no text */
/* dirfd as in openat(2); path is a LibOS string. +1 reference on *out. Checks search permission of
 * the current process. */
int path_lookup(int dirfd, const char *path, u32 flags, struct dentry **out);
int path_open(int dirfd, const char *path, u32 flags, u32 mode, struct file **out); /* flags: O_* */
int path_unlink(int dirfd, const char *path, bool directory);
/* Open what d names for the LibOS's own use, no permission checked (exec has checked MAY_EXEC). */
int dentry_open(struct dentry *d, u32 flags, struct file **out);
/* A node of any type but directory, symlink (sockets: bind(2)); umask applied. -EEXIST. out may be
 * NULL. */
int path_mknod(int dirfd, const char *path, u32 mode, u64 rdev, struct dentry **out);
/* The same for a socket; in a pass-through mount b->make() is asked for one of the host. */
int path_bind(const char *path, u32 mode, struct socket_binding *b, struct dentry **out);
/* A path copied from the application into buf (PATH_MAX bytes): length, or -EFAULT, -ENAMETOOLONG,
 * -ENOENT when empty. */
ssize_t path_from_user(char *buf, uaddr path);
/* path_lookup() of such a path, from the current directory. */
int path_lookup_user(uaddr path, u32 flags, struct dentry **out);
struct dentry *dentry_get(struct dentry *d);
void dentry_put(struct dentry *d);
/* Absolute path as the current process sees it into buf; returns the start inside buf or an
 * err_ptr. */
char *dentry_path(struct dentry *d, char *buf, size_t size);
/* MAY_* on an inode for the current credentials (fsuid, fsgid, groups, capabilities). */
#define MAY_EXEC  1
#define MAY_WRITE 2
#define MAY_READ  4
int inode_permission(struct inode *i, int mask);
bool dentry_noexec(const struct dentry *d); /* on a mount with noexec */
bool dentry_nosuid(const struct dentry *d);
bool dentry_untrusted(const struct dentry *d); /* in a pass-through mount */
/* A running program's file: -ETXTBSY while someone writes it; writers are refused until allow. */
int inode_deny_write(struct inode *i);
void inode_allow_write(struct inode *i);
struct inode *inode_get(struct inode *i);
void inode_put(struct inode *i);
/* truncate() and O_TRUNC: -ETXTBSY for a running program, -EPERM for what seals forbid. */
int inode_truncate(struct inode *i, u64 size);
int inode_stat(struct inode *i, struct kstat *st);
/* What struct inode itself says. */
void inode_stat_plain(const struct inode *i, struct kstat *st);

/* ---- poll (libos/vfs/poll.c) ---- */
/* What file_ops.poll uses. With pt NULL it only asks for the events now. */
void poll_wait(struct poll_table *pt, struct waitq *q);
/* q is only woken for these events: no edge for who waits for others (and for the end of the file,
 * which every queue tells of, use poll_wait()). */
void poll_wait_for(struct poll_table *pt, struct waitq *q, u32 events);
/* Ready now by the host descriptor hfd (untrusted). With pt: the caller of poll asks the host
 * itself, for many at once, and this returns 0. So a host file's poll is: return poll_host(pt,
 * f->host_fd, POLLIN | POLLOUT); */
u32 poll_host(struct poll_table *pt, hostfd hfd, u16 events);
/* The answer changes at this CLOCK_MONOTONIC time even if nobody wakes a queue (timerfd). */
void poll_deadline(struct poll_table *pt, u64 when);
/* Wait until f is ready for events (POLLIN/POLLOUT) by f->ops->poll: 0, -EINTR (use -ERESTARTSYS),
 * -ETIMEDOUT. */
int file_wait(struct file *f, u16 events, u64 deadline);

/* ---- signals of files (libos/vfs/owner.c) ---- */
struct file_owner {
    i32 type, pid; /* F_OWNER_*; pid 0: nobody */
    u32 uid, euid; /* of who named it */
    i32 sig;       /* F_SETSIG; 0: SIGIO, and nothing with it */
};
/* What event does for vfs: given at start. */
struct file_async {
    void (*signal)(const struct file_owner *o, int fd, int code); /* POLL_IN, ... */
    int (*watch)(struct file *f, int fd, bool on);                /* O_ASYNC */
    long (*notify)(struct file *f, int fd, u32 mask);             /* F_NOTIFY */
    void (*release)(struct file *f);                              /* with f->async, at its end */
};
extern const struct file_async *g_file_async;
/* type: F_OWNER_*. Without force only where nobody is named yet. */
int file_set_owner(struct file *f, i32 type, i32 pid, bool force);
/* To the owner of f, if there is one. */
void file_signal(struct file *f, int fd, int code);

/* ---- others ---- */
#define PIPE_PAGES_SOFT 16384 /* beyond it, who has no capability gets small pipes */
u32 pipe_size_max(void);      /* what F_SETPIPE_SZ gives to everybody */
int pipe_set_size_max(u64 size);
int pipe_create(struct file **r, struct file **w, u32 flags);
/*
 * inotify: set by event/inotify.c for the first watch, NULL before. dir and name: the event
 * on an entry of a directory; name NULL: on i itself. Called without locks. mask: IN_*; with
 * IN_EXCL_UNLINK it is of a file whose name is gone.
 */
#define NOTIFY_RENAMED 0x10000000u /* with IN_MOVED_FROM: within its directory */
extern void (*g_fs_notify)(struct inode *i, struct inode *dir, const char *name, size_t name_len,
                           u32 mask, u32 cookie);
