/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libos/fs stands on, for one thread on the host: memory from malloc (so that the sanitizers
 * see all of it), locks that only check that nobody takes one twice, user memory that is ordinary
 * memory.
 */
#include "world.h"
#include "test_host.h"
#include "mm.h"

#include <stdlib.h>

struct process g_test_process;
static struct thread g_test_thread;
static struct {
    u64 space[8];
    struct thread *current;
} g_test_tcb;
int g_log_level;
u64 g_test_signals;
struct mutex g_process_lock;
struct list_head g_processes = LIST_HEAD_INIT(g_processes);

void world_start(struct super *root)
{
    struct process *p = &g_test_process;

    _Static_assert(offsetof(typeof(g_test_tcb), current) == 64, "what current() reads");
    memset(p, 0, sizeof(*p));
    g_test_thread.process = p;
    g_test_tcb.current = &g_test_thread;
    test_set_gs(&g_test_tcb);
    p->pid = 1;
    p->thread_count = 1;
    p->cred.cap_effective = p->cred.cap_permitted = ~0ull;
    for (size_t k = 0; k < ARRAY_SIZE(p->rlimits); k++)
        p->rlimits[k] = (struct rlimit64){UINT64_MAX, UINT64_MAX};
    p->rlimits[7] = (struct rlimit64){1024, 1024};
    dcache_init();
    if (mount_attach(root, root->root, NULL, 0, "test", NULL, NULL) < 0)
        test_die("mount the root");
    p->files = files_create();
    p->fs = fs_context_create();
}

void world_stop(void)
{
    files_put(g_test_process.files);
    fs_context_put(g_test_process.fs);
    g_test_process.files = NULL;
    g_test_process.fs = NULL;
    dcache_prune_mount(g_root_mount);
    if (g_root_mount->dentries != 1 || g_root_mount->root->refs.n != 1)
        test_die("a dentry is still held");
    list_del(&g_root_mount->link);
    dentry_put(g_root_mount->root);
    g_root_mount = NULL;
}

/* ---- memory ---- */
void *kmalloc(size_t size)
{
    return malloc(size ? size : 1);
}
void *kzalloc(size_t size)
{
    return calloc(1, size ? size : 1);
}
void *krealloc(void *p, size_t size)
{
    return realloc(p, size);
}
void kfree(void *p)
{
    free(p);
}
void *page_alloc(size_t count)
{
    return test_pages(count);
}
void page_free(void *p, size_t count)
{
    free(p);
}

/* ---- locks ---- */
void spin_lock(struct spinlock *l)
{
    if (l->v)
        test_die("a spinlock taken twice");
    l->v = 1;
}
void spin_unlock(struct spinlock *l)
{
    if (!l->v)
        test_die("a spinlock given back twice");
    l->v = 0;
}
void mutex_lock(struct mutex *m)
{
    if (m->state)
        test_die("a mutex taken twice");
    m->state = 1;
}
bool mutex_trylock(struct mutex *m)
{
    return m->state ? false : (m->state = 1);
}
void mutex_unlock(struct mutex *m)
{
    if (!m->state)
        test_die("a mutex given back twice");
    m->state = 0;
}

/* ---- user memory: the first page is the only bad address ---- */
static bool bad(const void *p)
{
    return (uintptr_t)p < PAGE_SIZE;
}
int copy_from_user(void *dst, const void *src, size_t n)
{
    if (n && bad(src))
        return -EFAULT;
    memcpy(dst, src, n);
    return 0;
}
int copy_to_user(void *dst, const void *src, size_t n)
{
    return copy_from_user(dst, bad(dst) ? NULL : src, n);
}
int clear_user(void *dst, size_t n)
{
    if (bad(dst))
        return -EFAULT;
    memset(dst, 0, n);
    return 0;
}
ssize_t strncpy_from_user(char *dst, const void *src, size_t size)
{
    size_t n;

    if (bad(src))
        return -EFAULT;
    n = strnlen(src, size);
    if (n == size)
        return -ENAMETOOLONG;
    memcpy(dst, src, n + 1);
    return (ssize_t)n;
}
void uio_init(struct uio *io, struct uio_segment *one, void *base, size_t size, bool user)
{
    *one = (struct uio_segment){base, size};
    *io = (struct uio){.segments = one, .count = 1, .left = size, .user = user};
}
static ssize_t uio_move(struct uio *io, void *to, const void *from, size_t n)
{
    size_t done = 0;

    n = MIN(n, io->left);
    while (done < n) {
        struct uio_segment *s = io->segments;
        size_t part = MIN(n - done, s->size - io->offset);
        u8 *at = (u8 *)s->base + io->offset;

        if (part && bad(s->base))
            return done ? (ssize_t)done : -EFAULT;
        if (to)
            memcpy((u8 *)to + done, at, part);
        else if (from)
            memcpy(at, (const u8 *)from + done, part);
        else
            memset(at, 0, part);
        done += part;
        io->offset += part;
        io->left -= part;
        if (io->offset == s->size && io->count > 1) {
            io->segments++;
            io->count--;
            io->offset = 0;
        }
    }
    return (ssize_t)done;
}
ssize_t uio_to(struct uio *io, const void *data, size_t n)
{
    return uio_move(io, NULL, data, n);
}
ssize_t uio_from(struct uio *io, void *data, size_t n)
{
    return uio_move(io, data, NULL, n);
}
ssize_t uio_zero(struct uio *io, size_t n)
{
    return uio_move(io, NULL, NULL, n);
}

/* ---- waiting: nobody else is there, so whoever would wait is interrupted ---- */
void waitq_init(struct waitq *q)
{
    list_init(&q->entries);
}
void waitq_add(struct waitq *q, struct wait_entry *e)
{
    list_init(&e->link);
}
void waitq_remove(struct wait_entry *e)
{
}
void waitq_wake(struct waitq *q, u32 count)
{
}
int thread_wait(u64 deadline, bool interruptible, struct host_pollfd *fds, size_t count)
{
    return -EINTR;
}
void poll_wait(struct poll_table *pt, struct waitq *q)
{
}
int file_wait(struct file *f, u16 events, u64 deadline)
{
    return -ERESTARTSYS;
}
void epoll_file_closed(struct file *f);
void epoll_file_closed(struct file *f)
{
}

/* ---- the rest ---- */
u64 clock_realtime(void)
{
    return test_now();
}
u64 clock_monotonic(void)
{
    return test_now();
}
int signal_send_thread(struct thread *t, const struct siginfo_k *info)
{
    g_test_signals |= 1ull << info->signo;
    return 0;
}
bool cred_capable(const struct cred *c, int cap)
{
    return c->cap_effective >> cap & 1;
}
bool cred_in_group(const struct cred *c, u32 gid)
{
    return c->fsgid == gid;
}
void *mm_shared_page(struct inode *inode, u64 off)
{
    return NULL;
}

void mm_shared_write(struct inode *inode, u64 off, const void *data, size_t n)
{
}
void mm_cut_file(struct inode *inode, u64 size)
{
}
void mm_totals(struct mm_totals *out)
{
    u64 size = 1ull << 30;

    *out = (struct mm_totals){.elrange_user = size, .total = size, .free = size};
}
void log_write(enum log_level level, const char *fmt, ...)
{
}
void panic(const char *fmt, ...)
{
    test_die(fmt);
}
char *kstrndup(const char *s, size_t n)
{
    char *d = kmalloc(n + 1);

    memcpy(d, s, n);
    d[n] = 0;
    return d;
}
char *kstrdup(const char *s)
{
    return kstrndup(s, strlen(s));
}
int device_open(struct inode *i, struct file *f)
{
    return -ENXIO;
}
struct super *procfs_create(void)
{
    return err_ptr(-ENODEV);
}
struct super *sysfs_create(void)
{
    return err_ptr(-ENODEV);
}
struct super *devfs_create(void)
{
    return err_ptr(-ENODEV);
}
struct super *devpts_create(u32 gid, u32 mode, u32 ptmx_mode)
{
    return err_ptr(-ENODEV);
}
struct super *cgroupfs_create(void)
{
    return err_ptr(-ENODEV);
}
size_t strlcpy(char *d, const char *s, size_t size)
{
    size_t n = strlen(s), part = size ? MIN(n, size - 1) : 0;

    memcpy(d, s, part);
    if (size)
        d[part] = 0;
    return n;
}

/* ---- a host that answers anything: for pass-through mounts ---- */
static u32 g_host_random = 1;
static u32 host_rnd(u32 n)
{
    g_host_random = g_host_random * 1664525u + 1013904223u;
    return (g_host_random >> 8) % n;
}
static int some_error(void)
{
    static const int errors[] = {ENOENT, EACCES, EIO,    ENOTDIR, EEXIST,
                                 ESTALE, ELOOP,  ENOSPC, EAGAIN};

    return host_rnd(5) ? 0 : -errors[host_rnd(ARRAY_SIZE(errors))];
}
int host_stat(int dir, const char *path, bool follow, struct host_stat *st)
{
    static const u32 types[] = {S_IFDIR, S_IFDIR, S_IFREG, S_IFREG, S_IFLNK,
                                S_IFIFO, S_IFCHR, 0,       0170000};
    int r = some_error();

    if (r == 0)
        *st = (struct host_stat){
            .dev = host_rnd(2),
            .ino = host_rnd(12),
            .nlink = (u64)host_rnd(100) << 40,
            .rdev = host_rnd(1 << 20),
            .size = host_rnd(3) ? host_rnd(100000) : (u64)host_rnd(1 << 24) << 40,
            .mode = types[*path ? host_rnd(ARRAY_SIZE(types)) : 0] | host_rnd(010000),
            .uid = host_rnd(3),
            .atime_sec = (i64)((u64)host_rnd(1 << 24) << 40),
            .atime_nsec = host_rnd(1 << 24) << 8,
        };
    return r;
}
int host_statfs(int hfd, struct host_statfs *st)
{
    memset(st, (int)host_rnd(256), sizeof(*st));
    return some_error();
}
int host_open(int dir, const char *path, int flags, u32 mode)
{
    int r = some_error();

    return r < 0 ? r : (int)host_rnd(1000);
}
ssize_t host_read(int hfd, void *buf, size_t n, off_t off)
{
    int r = some_error();
    size_t k = host_rnd((u32)MIN(n, 1u << 20) + 1);

    memset(buf, 'h', k);
    return r < 0 ? r : (ssize_t)k;
}
ssize_t host_write(int hfd, const void *buf, size_t n, off_t off)
{
    int r = some_error();

    return r < 0 ? r : (ssize_t)host_rnd((u32)MIN(n, 1u << 20) + 1);
}
ssize_t host_getdents(int hfd, void *buf, size_t n)
{
    size_t used = 0;

    /* host_getdents() itself has proved the records' bounds and names. */
    while (host_rnd(8) && n - used > 300) {
        u16 len = (u16)(1 + host_rnd(255)), reclen = (u16)((19 + len + 1 + 7) & ~7);
        u8 *p = (u8 *)buf + used;

        memset(p, 'd', reclen);
        memcpy(p + 16, &reclen, 2);
        p[18] = (u8)host_rnd(256);
        p[19 + len] = 0;
        used += reclen;
    }
    return (ssize_t)used;
}
ssize_t host_readlink(int dir, const char *path, char *buf, size_t n)
{
    size_t k = host_rnd((u32)n + 1);

    memset(buf, host_rnd(2) ? 'a' : '/', k);
    return host_rnd(4) ? (ssize_t)MIN(k, 3u) : (ssize_t)k;
}
off_t host_lseek(int hfd, off_t off, int whence)
{
    return host_rnd(2) ? some_error() : (off_t)((u64)host_rnd(1 << 24) << 39);
}
#define ANY(name, ...)       \
    int name(__VA_ARGS__)    \
    {                        \
        return some_error(); \
    }
ANY(host_close, int hfd)
ANY(host_fsync, int hfd, bool data_only)
ANY(host_ftruncate, int hfd, u64 size)
ANY(host_fallocate, int hfd, int mode, u64 off, u64 n)
ANY(host_mkdir, int dir, const char *path, u32 mode)
ANY(host_unlink, int dir, const char *path, bool is_dir)
ANY(host_rename, int old_dir, const char *old_path, int new_dir, const char *new_path, u32 flags)
ANY(host_link, int old_dir, const char *old_path, int new_dir, const char *new_path)
ANY(host_symlink, const char *target, int dir, const char *path)
ANY(host_chmod, int dir, const char *path, u32 mode)
ANY(host_chown, int dir, const char *path, u32 uid, u32 gid, bool follow)
ANY(host_utimens, int dir, const char *path, const i64 times[4], bool follow)
ANY(host_mknod, int dir, const char *path, u32 mode, u64 dev)
