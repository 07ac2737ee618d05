/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libos/fs stands on, for one thread on the host: memory from malloc (so that the sanitizers
 * see all of it), locks that only check that nobody takes one twice, user memory that is ordinary
 * memory.
 */
#include "world.h"
#include "test_host.h"
#include "mm.h"

#include <malloc.h>
#include <stdlib.h>

struct process g_test_process;
u8 g_test_secret;
unsigned g_test_unwiped;
static struct thread g_test_thread;
static struct {
    u64 space[8];
    struct thread *current;
} g_test_tcb;
int g_log_level;

static struct super *make_super(const char *type, const char *options)
{
    return strcmp(type, "tmpfs") == 0 ? memfs_mount(type, options) : err_ptr(-ENODEV);
}

void world_start(struct super *root)
{
    static const struct file_systems file_systems = {.make = make_super};

    g_file_systems = &file_systems;
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
    p->rlimits[LIMIT_NOFILE] = (struct rlimit64){1024, 1024};
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
/* p, which is no longer the caller's, is looked at for the secret. */
static void look(const void *p)
{
    const u8 *bytes = p;
    size_t run = 0;

    for (size_t i = 0; p && g_test_secret && i < malloc_usable_size((void *)p) && run < 16; i++)
        run = bytes[i] == g_test_secret ? run + 1 : 0;
    g_test_unwiped += run == 16;
}
void *krealloc(void *p, size_t size)
{
    look(p);
    return realloc(p, size);
}
void kfree(void *p)
{
    look(p);
    free(p);
}
void kfree_sensitive(void *p)
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
static bool bad(uaddr p)
{
    return p.at < PAGE_SIZE;
}
int copy_from_user(void *dst, uaddr src, size_t n)
{
    if (n && bad(src))
        return -EFAULT;
    memcpy(dst, (const void *)src.at, n);
    return 0;
}
int copy_to_user(uaddr dst, const void *src, size_t n)
{
    if (n && bad(dst))
        return -EFAULT;
    memcpy((void *)dst.at, src, n);
    return 0;
}
int clear_user(uaddr dst, size_t n)
{
    if (bad(dst))
        return -EFAULT;
    memset((void *)dst.at, 0, n);
    return 0;
}
ssize_t strncpy_from_user(char *dst, uaddr src, size_t size)
{
    size_t n;

    if (bad(src))
        return -EFAULT;
    n = strnlen((const char *)src.at, size);
    if (n == size)
        return -ENAMETOOLONG;
    memcpy(dst, (const void *)src.at, n + 1);
    return (ssize_t)n;
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

void waitq_wake_data(struct waitq *q)
{
    waitq_wake(q, UINT32_MAX);
}
int thread_wait(u64 deadline, bool interruptible, struct host_pollfd *fds, size_t count)
{
    return -EINTR;
}

/* ---- the rest ---- */
u64 clock_realtime(void)
{
    return test_now();
}
/* hostfile.c is not here: a FIFO of the host is not read. */
int host_stream_attach(struct file *f, hostfd hfd)
{
    host_close(hfd);
    return -ENOMEM;
}
void host_stream_keep(struct file *f, u8 byte)
{
}
int host_poll(struct host_pollfd *fds, size_t count)
{
    return 0;
}
u64 clock_monotonic(void)
{
    return test_now();
}
int signal_send_thread(struct thread *t, const struct siginfo_k *info)
{
    return 0;
}
void *mm_shared_page(struct inode *inode, u64 off)
{
    return NULL;
}

void mm_shared_write(struct inode *inode, u64 off, const void *data, size_t n)
{
}
void (*g_test_cut)(void);
void mm_cut_file(struct inode *inode, u64 size)
{
    if (g_test_cut)
        g_test_cut();
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
size_t strlcpy(char *d, const char *s, size_t size)
{
    size_t n = strlen(s), part = size ? MIN(n, size - 1) : 0;

    memcpy(d, s, part);
    if (size)
        d[part] = 0;
    return n;
}
