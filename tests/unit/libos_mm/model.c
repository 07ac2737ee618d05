/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork groups against a model: members of one space map, unmap, move, protect, discard, write,
 * read, fork, end and take turns at random; each page of each member must hold what the model says.
 * Now and then there is no memory while one of them wants its turn: it may be doomed, and the
 * others are as they were. One host thread plays all of them.
 */
#include "internal.h"
#include "fs.h"
#include "process.h"
#include "syscall.h"
#include "deployment.h"
#include "manifest.h"
#include "host.h"
#include "crypto.h"

#define MEMBERS 4
#define PAGES   400 /* more than fork copies: it shares, too */
#define STEPS   8000u
#define HEAP_AT 0x30000000ul
#define HEAP    (64ul << 20)

int printf(const char *fmt, ...);
__noreturn void abort(void);
int main(int argc, char **argv);
void stub_reserve(u64 addr, u64 size);
void stub_set_gs(void *gs);
void stub_open_all(void);

/* ---- memory that runs out ---- */
static u32 g_allocations = UINT32_MAX; /* that succeed from now on */
static u32 g_failures;                 /* that come then, before memory is there again */

void *__real_page_alloc(size_t count);
void *__wrap_page_alloc(size_t count);
void *__real_kmalloc(size_t size);
void *__wrap_kmalloc(size_t size);

static bool allocates(void)
{
    if (g_allocations == UINT32_MAX)
        return true;
    if (g_allocations) {
        g_allocations--;
        return true;
    }
    if (--g_failures == 0)
        g_allocations = UINT32_MAX;
    return false;
}
static u32 g_refusing; /* the host adds no page, once in so many times; 0: it always does */
static u32 rnd(u32 n);
int model_refuses_page(void);
int model_refuses_page(void)
{
    return g_refusing != 0 && rnd(g_refusing) == 0;
}

static void refuse_some(void)
{
    g_refusing = rnd(2) ? 1 + rnd(8) : 0;
}

void *__wrap_page_alloc(size_t count)
{
    return allocates() ? __real_page_alloc(count) : NULL;
}
void *__wrap_kmalloc(size_t size)
{
    return allocates() ? __real_kmalloc(size) : NULL;
}

/* ---- what the other rooms give ---- */
int g_log_level = LOG_WARN;
static struct manifest_image g_no_manifest;
const struct manifest_image *g_manifest = &g_no_manifest;
static struct process g_process;
static struct thread g_thread = {.process = &g_process};
static u64 g_tcb[512];

void log_write(enum log_level level, const char *fmt, ...)
{
    printf("# log: %s\n", fmt);
}
void panic(const char *fmt, ...)
{
    printf("Bail out! panic: %s\n", fmt);
    abort();
}
void spin_lock(struct spinlock *l)
{
    BUG_ON(l->v);
    l->v = 1;
}
void spin_unlock(struct spinlock *l)
{
    l->v = 0;
}
void mutex_lock(struct mutex *m)
{
    BUG_ON(m->state); /* one thread: a lock that is held is a deadlock */
    m->state = 1;
}
bool mutex_trylock(struct mutex *m)
{
    mutex_lock(m);
    return true;
}
void mutex_unlock(struct mutex *m)
{
    BUG_ON(!m->state);
    m->state = 0;
}
void waitq_init(struct waitq *q)
{
    list_init(&q->entries);
}
void waitq_add(struct waitq *q, struct wait_entry *e)
{
    panic("a member waits, but nobody else runs");
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
    panic("a member waits, but nobody else runs");
}
void thread_notify(struct thread *t, u32 flags)
{
}
u64 clock_monotonic(void)
{
    return 0;
}
struct file *file_get(struct file *f)
{
    ref_get(&f->refs);
    return f;
}
void file_put(struct file *f)
{
    BUG_ON(ref_put(&f->refs));
}
void process_begin_exit_locked(struct process *p, u32 status)
{
}
bool dentry_noexec(const struct dentry *d)
{
    return false;
}
struct inode *inode_get(struct inode *i)
{
    return i;
}
void inode_put(struct inode *i)
{
}
struct file *fd_get(int fd)
{
    return NULL;
}
int copy_to_user(uaddr dst, const void *src, size_t n)
{
    return -EFAULT;
}
void host_event(u32 type, i32 pid, i32 status, const char *message)
{
}

int host_sites_read(u64 off, void *buf, size_t n)
{
    return -EIO;
}
void sha256_once(const void *prefix, size_t prefix_size, const void *data, size_t size,
                 u8 digest[SHA256_SIZE])
{
}

/* ---- the file that members map ---- */
static int read_page(struct inode *i, u64 off, void *dst)
{
    u64 *p = dst;
    for (u32 k = 0; k < PAGE_SIZE / 8; k++)
        p[k] = off + 1;
    return 0;
}
static const struct inode_ops g_inode_ops = {.read_page = read_page};
static struct inode g_inode = {.ops = &g_inode_ops, .size = 1ul << 30, .nid = 1};
static struct file g_file = {.inode = &g_inode, .refs = {1}};

/* ---- the model ---- */
struct model_page {
    bool mapped, file;
    u32 prot;
    u64 value;   /* first word, as read */
    u64 fresh;   /* what it is when it was never written */
    bool shared; /* the value is g_cells[fresh] */
};
static struct member {
    struct mm *mm;
    struct model_page pages[PAGES];
} g_members[MEMBERS];
#define CELLS 200000
static u64 g_cells[CELLS], g_cell_count; /* values of shared pages */
static u64 g_base, g_shared, g_shared_writes, g_doomed;
static u64 g_seed = 88172645463325252ul;

static u32 rnd(u32 n)
{
    g_seed ^= g_seed << 13;
    g_seed ^= g_seed >> 7;
    g_seed ^= g_seed << 17;
    return (u32)(g_seed >> 33) % n;
}

static u64 *value_of(struct model_page *p)
{
    return p->shared ? &g_cells[p->fresh] : &p->value;
}

/* Other memory at an address that a member has shared memory at is refused. */
static bool others_share(const struct member *m, u32 i)
{
    for (u32 k = 0; k < MEMBERS; k++)
        if (&g_members[k] != m && g_members[k].mm && g_members[k].pages[i].mapped &&
            g_members[k].pages[i].shared)
            return true;
    return false;
}

static u32 alive(void)
{
    u32 n = 0;
    for (u32 i = 0; i < MEMBERS; i++)
        n += g_members[i].mm != NULL;
    return n;
}

static void end(struct member *m)
{
    mm_put(m->mm);
    m->mm = NULL;
}

/* The process of a doomed member dies, and does nothing else before. */
static void bury(void)
{
    struct mm *child;
    for (u32 i = 0; i < MEMBERS; i++) {
        struct mm *mm = g_members[i].mm;
        if (!mm || !mm->doomed)
            continue;
        if (mm_fork(mm, &child) == 0 || mm_unmap(mm, g_base, PAGE_SIZE) == 0)
            panic("a doomed member goes on");
        g_doomed++;
        end(&g_members[i]);
    }
}

/* false: there was no memory for that, and it is dead. */
static bool become(struct member *m)
{
    if (g_thread.mm == m->mm)
        return true;
    if (g_thread.mm)
        mm_leave(g_thread.mm);
    g_failures = 1 + rnd(2);
    if (alive() > 2 && rnd(4) == 0)
        g_allocations = rnd(rnd(2) ? 300 : 20);
    g_refusing = rnd(3) == 0 ? 1 + rnd(20) : 0;
    mm_enter(m->mm);
    g_refusing = 0;
    g_allocations = UINT32_MAX;
    BUG_ON((g_thread.mm == m->mm) == m->mm->doomed);
    bury();
    return m->mm != NULL;
}

static u64 *touch(struct member *m, u32 i, u32 flags)
{
    u64 addr = g_base + i * PAGE_SIZE;
    u32 need = flags & FAULT_WRITE ? PG_W : PG_R;
    u8 s = page_state(addr);
    if (!(s & PG_ACCEPTED) || !(s & need)) {
        refuse_some();
        int r = mm_fault(m->mm, addr, flags);
        g_refusing = 0;
        if (r == -ENOMEM)
            r = mm_fault(m->mm, addr, flags);
        if (r)
            panic("mm_fault");
    }
    return (u64 *)addr;
}

static void check_member(struct member *m)
{
    if (!become(m))
        return;
    for (u32 i = 0; i < PAGES; i++) {
        struct model_page *p = &m->pages[i];
        u64 addr = g_base + i * PAGE_SIZE;
        if (!p->mapped) {
            if (mm_fault(m->mm, addr, 0) != -EFAULT)
                panic("an unmapped page can be read");
        } else if (!(p->prot & PROT_READ)) {
            int r = mm_fault(m->mm, addr, 0);
            if (r != -EACCES || (!p->file && !p->shared && (page_state(addr) & PG_ACCEPTED))) {
                printf("not ok: member %d page %u: fault %d, state %u\n", (int)(m - g_members), i,
                       r, page_state(addr));
                panic("a protected page can be read");
            }
        } else {
            if (!pages_dynamic() && (page_state(addr) & (PG_ACCEPTED | PG_STALE)) != PG_ACCEPTED)
                panic("a mapped page waits for a fault, which a host need not raise");
            u64 *w = touch(m, i, 0);
            u64 value = *value_of(p);
            if (w[0] != value || w[511] != value) {
                printf("not ok: member %d %s page %u holds %lu and %lu, not %lu\n",
                       (int)(m - g_members), p->shared ? "shared" : "private", i, w[0], w[511],
                       value);
                abort();
            }
            if ((page_state(addr) & PG_W) && !(p->prot & PROT_WRITE))
                panic("a read-only page is writable");
        }
    }
}

static void do_map(struct member *m)
{
    u32 i = rnd(PAGES), n = 1 + rnd(96);
    n = MIN(n, PAGES - i);
    bool file = rnd(3) == 0;
    u32 prot = rnd(3) == 0 ? PROT_READ : PROT_READ | PROT_WRITE;
    i64 r = mm_map(m->mm, g_base + i * PAGE_SIZE, n * PAGE_SIZE, prot,
                   MAP_PRIVATE | MAP_FIXED | (file ? 0 : MAP_ANONYMOUS), file ? &g_file : NULL,
                   i * PAGE_SIZE);
    BUG_ON(r != (i64)(g_base + i * PAGE_SIZE));
    for (u32 k = i; k < i + n; k++)
        m->pages[k] = (struct model_page){true, file, prot, file ? k * PAGE_SIZE + 1 : 0,
                                          file ? k * PAGE_SIZE + 1 : 0};
}

static void do_map_shared(struct member *m)
{
    u32 i = rnd(PAGES), n = 1 + rnd(8);
    n = MIN(n, PAGES - i);
    bool refused = false;
    for (u32 k = i; k < i + n; k++)
        refused |= others_share(m, k);
    BUG_ON(g_cell_count + n > CELLS);
    i64 r = mm_map(m->mm, g_base + i * PAGE_SIZE, n * PAGE_SIZE, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, NULL, 0);
    BUG_ON(r != (refused ? -ENOMEM : (i64)(g_base + i * PAGE_SIZE)));
    for (u32 k = i; refused && k < i + n; k++)
        m->pages[k].mapped = false;
    if (refused)
        return;
    for (u32 k = i; k < i + n; k++)
        m->pages[k] = (struct model_page){.mapped = true,
                                          .shared = true,
                                          .prot = PROT_READ | PROT_WRITE,
                                          .fresh = g_cell_count++};
}

static void do_unmap(struct member *m)
{
    u32 i = rnd(PAGES), n = 1 + rnd(8);
    n = MIN(n, PAGES - i);
    BUG_ON(mm_unmap(m->mm, g_base + i * PAGE_SIZE, n * PAGE_SIZE));
    for (u32 k = i; k < i + n; k++)
        m->pages[k].mapped = false;
}

static void do_protect(struct member *m)
{
    u32 i = rnd(PAGES), n = 1 + rnd(16);
    n = MIN(n, PAGES - i);
    for (u32 k = i; k < i + n; k++)
        if (!m->pages[k].mapped)
            return;
    static const u32 prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
    u32 prot = prots[rnd(3)];
    refuse_some();
    int r = mm_protect(m->mm, g_base + i * PAGE_SIZE, n * PAGE_SIZE, prot);
    g_refusing = 0;
    if (r == -ENOMEM)
        r = mm_protect(m->mm, g_base + i * PAGE_SIZE, n * PAGE_SIZE, prot);
    BUG_ON(r);
    for (u32 k = i; k < i + n; k++)
        m->pages[k].prot = prot;
}

static void do_write(struct member *m)
{
    for (u32 c = 0; c < 12; c++) {
        u32 i = rnd(PAGES);
        if (!m->pages[i].mapped || !(m->pages[i].prot & PROT_WRITE))
            continue;
        u64 *w = touch(m, i, FAULT_WRITE);
        w[0] = w[511] = *value_of(&m->pages[i]) = g_seed;
    }
}

/* A range from its start to its end, or as far as the luck holds. */
static void do_fill(struct member *m)
{
    u32 i = rnd(PAGES), end = i + 1 + rnd(PAGES - i);
    for (; i < end && m->pages[i].mapped && (m->pages[i].prot & PROT_WRITE); i++) {
        u64 *w = touch(m, i, FAULT_WRITE);
        g_shared_writes += page_state((u64)w) & PG_COW ? 1 : 0;
        w[0] = w[511] = *value_of(&m->pages[i]) = g_seed + i;
    }
}

static void do_discard(struct member *m)
{
    u32 i = rnd(PAGES), n = 1 + rnd(16);
    n = MIN(n, PAGES - i);
    g_process.mm = m->mm;
    bool hole = false;
    for (u32 k = i; k < i + n; k++)
        hole |= !m->pages[k].mapped;
    BUG_ON(sys_madvise(g_base + i * PAGE_SIZE, n * PAGE_SIZE, 4) != (hole ? -ENOMEM : 0));
    for (u32 k = i; k < i + n; k++)
        if (!m->pages[k].shared)
            m->pages[k].value = m->pages[k].fresh;
}

static void do_move(struct member *m)
{
    u32 n = 1 + rnd(12), from = rnd(PAGES - n), to = rnd(PAGES - n);
    for (u32 k = from; k < from + n; k++)
        if (!m->pages[k].mapped || m->pages[k].shared)
            return;
    if (from < to + n && to < from + n)
        return;
    u64 old = g_base + from * PAGE_SIZE, new = g_base + to *PAGE_SIZE;
    refuse_some();
    i64 r = mm_remap(m->mm, old, n * PAGE_SIZE, n * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, new);
    g_refusing = 0;
    if (r == -ENOMEM) { /* what was there is gone, and the old pages are as they were */
        for (u32 k = 0; k < n; k++) {
            BUG_ON(vma_find(m->mm, new + k *PAGE_SIZE));
            m->pages[to + k].mapped = false;
        }
        return;
    }
    if (r == -EFAULT) /* more than one VMA */
        return;
    BUG_ON(r != (i64) new);
    for (u32 k = 0; k < n; k++) {
        m->pages[to + k] = m->pages[from + k];
        m->pages[from + k].mapped = false;
    }
}

static void do_fork(struct member *m)
{
    for (u32 i = 0; i < MEMBERS; i++) {
        if (g_members[i].mm)
            continue;
        refuse_some();
        int r = mm_fork(m->mm, &g_members[i].mm);
        g_refusing = 0;
        if (r == -ENOMEM) {
            g_members[i].mm = NULL;
            return;
        }
        BUG_ON(r);
        memcpy(g_members[i].pages, m->pages, sizeof(m->pages));
        for (u32 k = 0; k < PAGES; k++)
            g_shared += (page_state(g_base + k * PAGE_SIZE) & PG_COW) != 0;
        return;
    }
}

static void do_end(struct member *m)
{
    if (alive() < 2)
        return;
    if (rnd(2)) { /* as the resident, or while another one is */
        if (!become(m) || alive() < 2)
            return;
    } else if (g_thread.mm == m->mm) {
        mm_leave(m->mm);
    }
    end(m);
}

int main(int argc, char **argv)
{
    bool open = argc > 1 && strcmp(argv[1], "sgx1-open") == 0;
    bool sgx1 = open || (argc > 1 && strcmp(argv[1], "sgx1") == 0);
    for (const char *c = argc > 2 ? argv[2] : ""; *c; c++) /* a seed */
        g_seed = g_seed * 31 + (u64)*c;
    g_tcb[TCB_CURRENT / 8] = (u64)&g_thread;
    stub_set_gs(g_tcb);
    stub_reserve(LAYOUT_USER_START, 0x20000000 - LAYOUT_USER_START);
    stub_reserve(HEAP_AT, HEAP);
    struct enclave_layout layout = {.size = 1ul << 30,
                                    .heap = HEAP_AT,
                                    .heap_initial = sgx1 ? HEAP : 0,
                                    .heap_end = HEAP_AT + HEAP,
                                    .user_start = LAYOUT_USER_START,
                                    .user_end = 0x20000000,
                                    .flags = sgx1 ? 0 : LAYOUT_FLAG_SGX2};
    if (sgx1)
        host_sgx_protect(HEAP_AT, HEAP, PROT_READ | PROT_WRITE);
    if (open)
        stub_open_all();
    heap_init(&layout);
    BUG_ON(mm_init(&layout, 0, 0));

    printf("1..1\n");
    g_members[0].mm = mm_create();
    mm_enter(g_members[0].mm);
    g_base = (u64)mm_map(g_members[0].mm, 0, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
    for (u32 i = 0; i < PAGES; i++)
        g_members[0].pages[i] = (struct model_page){true, false, PROT_READ | PROT_WRITE, 0, 0};
    for (u32 step = 0; step < STEPS; step++) {
        struct member *m = &g_members[rnd(MEMBERS)];
        if (!m->mm)
            continue;
        u32 what = rnd(100);
        if (what < 4) {
            do_end(m);
            continue;
        }
        if (!become(m))
            continue;
        if (what < 30)
            do_write(m);
        else if (what < 42)
            do_fill(m);
        else if (what < 46)
            do_discard(m);
        else if (what < 50)
            do_move(m);
        else if (what < 58)
            do_map(m);
        else if (what < 60)
            do_map_shared(m);
        else if (what < 68)
            do_unmap(m);
        else if (what < 80)
            do_protect(m);
        else if (what < 88)
            do_fork(m);
        else
            check_member(m);
    }
    for (u32 i = 0; i < MEMBERS; i++)
        if (g_members[i].mm)
            check_member(&g_members[i]);
    if (!alive())
        panic("nobody is left");
    /* Everything goes: no page stays behind. */
    for (u32 i = 0; i < MEMBERS; i++) {
        if (!g_members[i].mm)
            continue;
        if (g_thread.mm == g_members[i].mm)
            mm_leave(g_thread.mm);
        mm_put(g_members[i].mm);
    }
    if (page_next_accepted(LAYOUT_USER_START, 0x20000000) != 0x20000000)
        panic("pages stay behind when the last member ends");
    if (!sgx1 && (!g_shared || g_shared_writes))
        panic("fork shared no page, or one that was written stayed shared");
    if (!g_doomed)
        panic("memory was always enough");
    printf("ok 1 - members of a fork group see their own pages over %u random steps, %lu doomed\n",
           STEPS, g_doomed);
    return 0;
}
