/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"
#include "deployment.h"
#include "filesystems.h"
#include "net.h"
#include "deployment.h"
#include "mm.h"
#include <linux/stat.h>

#define FDS_MAX   512
#define NAMES_MAX 16

struct tcb {
    u8 head[TCB_CURRENT];
    struct thread *current;
};
struct world_thread {
    struct tcb tcb;
    struct thread thread;
};

u32 g_sigpipes;
u64 g_signals_pending;
jmp_buf *g_expect_panic;
static struct process g_process;
static struct files g_files;
static struct fd_entry g_fds[FDS_MAX];

/* ---- threads ---- */

static struct world_thread *thread_make(void)
{
    static struct world_thread threads[32]; /* they live until the program ends */
    static size_t count;
    struct world_thread *w = &threads[count++];

    BUG_ON(count > ARRAY_SIZE(threads));
    w->thread.process = &g_process;
    w->tcb.current = &w->thread;
    list_init(&w->thread.siblings);
    return w;
}

u64 world_thread(world_fn *fn, void *arg)
{
    struct world_thread *w = thread_make();
    int wakefd = stub_wakefd();

    w->thread.host = (void *)(intptr_t)(wakefd + 1);
    return stub_thread_start(&w->tcb, wakefd, fn, arg);
}

void world_init(void)
{
    struct world_thread *w = thread_make();

    g_process.pid = 1;
    g_process.files = &g_files;
    for (size_t i = 0; i < ARRAY_SIZE(g_process.rlimits); i++)
        g_process.rlimits[i] = (struct rlimit64){FDS_MAX, FDS_MAX};
    waitq_init(&g_process.signal_wait);
    g_files.fds = g_fds;
    g_files.size = FDS_MAX;
    w->thread.host = stub_thread_enter(&w->tcb, stub_wakefd());
}

void panic(const char *fmt, ...)
{
    va_list ap;

    if (g_expect_panic != NULL)
        longjmp(*g_expect_panic, 1);
    va_start(ap, fmt);
    stub_abort(fmt, ap);
    /* cppcheck-suppress va_end_missing ; stub_abort() does not return */
}

void mm_enter(struct mm *mm)
{
}

void mm_leave(struct mm *mm)
{
}

/* ---- user memory ---- */

int copy_from_user(void *dst, uaddr src, size_t n)
{
    if (!src.at && n > 0)
        return -EFAULT;
    memcpy(dst, (const void *)src.at, n);
    return 0;
}

int copy_to_user(uaddr dst, const void *src, size_t n)
{
    if (!dst.at && n > 0)
        return -EFAULT;
    memcpy((void *)dst.at, src, n);
    return 0;
}

/* ---- files ---- */

int clear_user(uaddr dst, size_t n)
{
    return -EFAULT;
}

struct file *file_alloc(const struct file_ops *ops, u32 flags)
{
    struct file *f = kzalloc(sizeof(*f));

    ref_init(&f->refs);
    f->ops = ops;
    f->flags = flags;
    f->host_fd = no_hostfd(-1);
    return f;
}

struct file *file_get(struct file *f)
{
    ref_get(&f->refs);
    return f;
}

void file_put(struct file *f)
{
    if (!ref_put(&f->refs))
        return;
    if (f->epoll_watch != NULL)
        g_file_unwatch(f);
    if (f->ops->release != NULL)
        f->ops->release(f);
    kfree(f);
}

struct file *fd_get(int fd)
{
    struct file *f = NULL;

    mutex_lock(&g_files.lock);
    if (fd >= 0 && fd < FDS_MAX && g_fds[fd].file != NULL)
        f = file_get(g_fds[fd].file);
    mutex_unlock(&g_files.lock);
    return f;
}

int fd_install(struct file *f, bool cloexec)
{
    int fd = 3;

    mutex_lock(&g_files.lock);
    while (fd < FDS_MAX && g_fds[fd].file != NULL)
        fd++;
    if (fd < FDS_MAX)
        g_fds[fd] = (struct fd_entry){f, cloexec};
    mutex_unlock(&g_files.lock);
    if (fd < FDS_MAX)
        return fd;
    file_put(f);
    return -EMFILE;
}

int fd_close(int fd)
{
    struct file *f;

    mutex_lock(&g_files.lock);
    f = g_fds[fd].file;
    g_fds[fd].file = NULL;
    mutex_unlock(&g_files.lock);
    if (f == NULL)
        return -EBADF;
    file_put(f);
    return 0;
}

int world_close(int fd)
{
    return fd_close(fd);
}

int world_open_files(void)
{
    int n = 0;

    for (int i = 0; i < FDS_MAX; i++)
        n += g_fds[i].file != NULL;
    return n;
}

void world_nonblock(int fd)
{
    struct file *f = fd_get(fd);

    f->flags |= O_NONBLOCK;
    file_put(f);
}

static long transfer(int fd, void *buf, size_t n, bool write)
{
    struct uio_segment segment;
    struct uio io;
    struct file *f = fd_get(fd);
    u64 pos = 0;
    long r;

    if (f == NULL)
        return -EBADF;
    uio_init(&io, &segment, buf, n, true);
    r = write ? f->ops->write(f, &io, &pos) : f->ops->read(f, &io, &pos);
    file_put(f);
    return r;
}

long world_read(int fd, void *buf, size_t n)
{
    return transfer(fd, buf, n, false);
}

long world_write(int fd, const void *buf, size_t n)
{
    return transfer(fd, (void *)(uintptr_t)buf, n, true);
}

/* ---- names ---- */

static struct {
    char path[108];
    struct dentry dentry;
    struct inode inode;
} g_names[NAMES_MAX];

/* Names below /tmp are of a pass-through mount. One with a slash more in front is the same file,
 * but not known to be: as of another container. */
static struct super g_outside = {.untrusted = true};

static struct dentry *name_add(const char *path, u32 mode)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        if (g_names[i].path[0] == 0) {
            (void)memcpy(g_names[i].path, path, strlen(path) + 1);
            g_names[i].inode.mode = mode;
            g_names[i].inode.super = strncmp(path, "/tmp/", 5) == 0 ||
                                             strncmp(path, "//tmp/", 6) == 0
                                         ? &g_outside
                                         : NULL;
            g_names[i].dentry.inode = &g_names[i].inode;
            return &g_names[i].dentry;
        }
    }
    return NULL;
}

u32 g_lookups, g_lookup_flags;

int path_lookup(int dirfd, const char *path, u32 flags, struct dentry **out)
{
    g_lookups++;
    g_lookup_flags = flags;
    for (int i = 0; i < NAMES_MAX; i++) {
        if (g_names[i].path[0] != 0 && strcmp(g_names[i].path, path) == 0) {
            *out = &g_names[i].dentry;
            return 0;
        }
    }
    *out = strncmp(path, "//tmp/", 6) == 0 ? name_add(path, S_IFSOCK | 0777) : NULL;
    return *out != NULL ? 0 : -ENOENT;
}

int path_bind(const char *path, u32 mode, struct socket_binding *b, struct dentry **out)
{
    int r;

    if (path_lookup(AT_FDCWD, path, 0, out) == 0)
        return -EEXIST;
    if (strncmp(path, "/tmp/", 5) == 0) {
        hostfd outer = b->make(b);

        r = outer.n;
        if (hostfd_ok(outer))
            r = host_bind_path(outer, no_hostfd(-1), path, b->text);
        if (r < 0)
            return r;
    }
    *out = name_add(path, S_IFSOCK | mode);
    return *out != NULL ? 0 : -ENOSPC;
}

hostfd hostfs_place_open(struct inode *i)
{
    return (hostfd){
        stub_open_path(g_names[container_of(i, typeof(g_names[0]), inode) - g_names].path)};
}

int host_pause(struct host_pollfd *p, u64 *pause, u64 deadline)
{
    *pause = 1000000;
    if (clock_monotonic() >= deadline)
        return -ETIMEDOUT;
    return thread_wait(clock_monotonic() + *pause, true, NULL, 0) == -EINTR ? -EINTR : 0;
}

void dentry_put(struct dentry *d)
{
}

int inode_permission(struct inode *i, int mask)
{
    return 0;
}

/* ---- processes ---- */

struct process *process_get(struct process *p)
{
    return p;
}

void process_put(struct process *p)
{
}

int signal_send_thread(struct thread *t, const struct siginfo_k *info)
{
    g_sigpipes += info->signo == 13;
    return 0;
}

/* Files have no owners here. */
int signal_send_process_locked(struct process *p, const struct siginfo_k *info, bool forced)
{
    return 0;
}

int signal_send_thread_locked(struct thread *t, const struct siginfo_k *info, bool forced)
{
    return 0;
}

struct thread *thread_find(i32 tid)
{
    return NULL;
}

/* No time passes here by itself. */
void ktimer_init(struct ktimer *t, void (*fn)(struct ktimer *))
{
    *t = (struct ktimer){.fn = fn};
}

int ktimer_arm(struct ktimer *t, u64 deadline)
{
    return 0;
}

void ktimer_cancel_sync(struct ktimer *t)
{
}

bool signal_pending(void)
{
    return false;
}

void signal_mask_set_temporary(u64 mask)
{
    current()->saved_mask = current()->sig_mask;
    current()->sig_mask = mask;
    current()->restore_mask = true;
}

void signal_mask_restore(void)
{
    current()->sig_mask = current()->saved_mask;
    current()->restore_mask = false;
}

u64 signal_pending_set(void)
{
    return __atomic_load_n(&g_signals_pending, __ATOMIC_SEQ_CST);
}

int signal_dequeue(u64 set, struct siginfo_k *info)
{
    u64 there = signal_pending_set() & set;

    if (there == 0)
        return 0;
    info->signo = 1 + __builtin_ctzll(there);
    __atomic_and_fetch(&g_signals_pending, ~(1ull << (info->signo - 1)), __ATOMIC_SEQ_CST);
    return info->signo;
}

int clock_deadline(i32 clock, bool absolute, u64 ns, u64 *deadline)
{
    *deadline = absolute ? ns : clock_monotonic() + ns;
    return 0;
}

u64 clock_late(i32 clock, u64 ns)
{
    u64 now = clock_monotonic();

    return now > ns ? now - ns : 0;
}

u64 random_u64(void)
{
    u64 x;

    random_bytes(&x, sizeof(x));
    return x;
}

void sysctl_numbers(const char *name, u32 *values, size_t count)
{
}

u64 clock_realtime(void)
{
    return clock_monotonic();
}
