/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork groups and the end of threads under schedules that are chosen, not met by luck: the sources
 * of libos/mm and libos/proc run on fibers, and at every lock, wait, wake-up and atomic access a
 * controller says who goes on. Processes with threads fork, map at one another's addresses (which
 * joins their spaces, as exec of a fixed-address program does), wait, and end in all ways; each
 * must always find its own memory, nobody may wait for ever, and at the end nothing may be left.
 *
 * A scenario is what the threads do (from a number). First it runs with one switch of threads that
 * need not be, at each place where one can be; then with many, by chance. What fails prints its
 * scenario and schedule.
 *
 *   test-libos-schedule [SCENARIOS [FIRST]]
 */
#include "internal.h"
#include "fs.h"
#include "tracee.h"
#include "deployment.h"
#include "manifest.h"
#include "host.h"
#include "crypto.h"

#define FIBERS     7u
#define STACK      (64u << 10)
#define PAGES      3u
#define RANGES     2u
#define HEAP_AT    0x30000000ul
#define HEAP       (64ul << 20)
#define USER_END   0x20000000ul
#define OPS        9u
#define BELIEFS    1024u /* more than one run has processes and programs */
#define PLACES_MAX 200000u

int printf(const char *fmt, ...);
__noreturn void exit(int code);
long strtol(const char *s, char **end, int base);
int main(int argc, char **argv);
void stub_reserve(u64 addr, u64 size);
void stub_set_gs(void *gs);
int model_refuses_page(void);
void schedule_point(void);

int model_refuses_page(void)
{
    return 0;
}

/* What a process must find in its memory; its threads change it together with the memory. */
struct belief {
    u64 base;                    /* of its range; 0: none yet */
    u64 low[PAGES], high[PAGES]; /* a page's word is one of those; a child of fork learns which */
};

enum fiber_state { FIBER_FREE, FIBER_READY, FIBER_WAITING };

static struct fiber {
    struct thread thread;
    enum fiber_state state;
    bool token; /* of thread_wake() */
    u64 deadline;
    u64 random;
    void *sp;
    struct belief *belief;
    u8 stack[STACK] __attribute__((aligned(16)));
} g_fibers[FIBERS];
static struct belief g_beliefs[BELIEFS];
static u32 g_belief_count;
static struct fiber *g_now; /* NULL: the controller */
static void *g_controller_sp;
static u64 g_tcb[512];
static u64 g_clock, g_values;

/* The schedule: with `chance`, one in so many places is a switch; else only place `place` is, to
 * the `other`th fiber from there. */
static struct {
    u64 scenario, seed, place, count, random;
    u32 other, chance;
} g_plan;

/* ---- fibers ---- */

void fiber_switch(void **from, void *to);
__asm__("fiber_switch:\n"
        "push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, (%rdi); mov %rsi, %rsp\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
        "ret\n");

static u64 mix(u64 *state)
{
    u64 x = *state += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

__noreturn static void fail(const char *what)
{
    printf("not ok 1 - %s: scenario %lu, seed %lu, place %lu, other %u, chance %u (thread %d)\n",
           what, g_plan.scenario, g_plan.seed, g_plan.place, g_plan.other, g_plan.chance,
           g_now ? g_now->thread.tid : 0);
    exit(1);
}

/* From the fiber that runs to f; NULL: to the controller, which chooses. */
static void go_to(struct fiber *f)
{
    struct fiber *me = g_now;
    if (f == me)
        return;
    g_now = f;
    g_tcb[TCB_CURRENT / 8] = f ? (u64)&f->thread : 0;
    fiber_switch(me ? &me->sp : &g_controller_sp, f ? f->sp : g_controller_sp);
}

static struct fiber *nth_ready(u32 n)
{
    u32 start = g_now ? (u32)(g_now - g_fibers) : 0;
    for (u32 i = 1; i <= FIBERS; i++) {
        struct fiber *f = &g_fibers[(start + i) % FIBERS];
        if (f->state == FIBER_READY && f != g_now && n-- == 0)
            return f;
    }
    return NULL;
}

void schedule_point(void)
{
    if (!g_now)
        return;
    u64 place = g_plan.count++;
    if (place > PLACES_MAX)
        fail("nobody comes any further");
    struct fiber *f = NULL;
    if (g_plan.chance)
        f = mix(&g_plan.random) % g_plan.chance ? NULL
                                                : nth_ready((u32)mix(&g_plan.random) % FIBERS);
    else if (place == g_plan.place)
        f = nth_ready(g_plan.other);
    if (f)
        go_to(f);
}

/* The one that runs cannot go on. */
static void give_way(void)
{
    struct fiber *f = nth_ready(0);
    if (g_plan.count++ > PLACES_MAX)
        fail("nobody comes any further");
    if (g_now->state == FIBER_READY && f) { /* it spins for a lock */
        go_to(f);
        return;
    }
    go_to(f);
}

/* ---- the heap: what is freed is poisoned, and kept to the end of the run ---- */

#define POISON 0x5a

struct object {
    struct object *next; /* freed ones */
    u64 size;
};
static struct object *g_freed;
static u64 g_objects; /* that live */

void *__real_kmalloc(size_t size);
void __real_kfree(void *p);
void *__wrap_kmalloc(size_t size);
void *__wrap_kzalloc(size_t size);
void __wrap_kfree(void *p);

void *__wrap_kmalloc(size_t size)
{
    struct object *o = __real_kmalloc(sizeof(*o) + size);
    if (!o)
        fail("the heap is used up: something is never given back");
    o->size = size;
    g_objects++;
    return o + 1;
}

void *__wrap_kzalloc(size_t size)
{
    return memset(__wrap_kmalloc(size), 0, size);
}

void __wrap_kfree(void *p)
{
    struct object *o;
    if (!p)
        return;
    o = (struct object *)p - 1;
    g_objects--;
    memset(p, POISON, o->size);
    o->next = g_freed;
    g_freed = o;
}

static void check_freed(void)
{
    for (struct object *o = g_freed, *next; o; o = next) {
        const u8 *bytes = (const u8 *)(o + 1);
        next = o->next;
        for (u64 i = 0; i < o->size; i++)
            if (bytes[i] != POISON)
                fail("somebody wrote to what was freed");
        __real_kfree(o);
    }
    g_freed = NULL;
}

/* ---- what boot and lib give ---- */
int g_log_level = LOG_ERROR;
static struct manifest_image g_no_manifest;
const struct manifest_image *g_manifest = &g_no_manifest;

void log_write(enum log_level level, const char *fmt, ...)
{
}

void panic(const char *fmt, ...)
{
    fail(fmt);
}

void spin_lock(struct spinlock *l)
{
    schedule_point();
    while (l->v)
        give_way();
    l->v = 1;
}

void spin_unlock(struct spinlock *l)
{
    l->v = 0;
}

bool mutex_trylock(struct mutex *m)
{
    schedule_point();
    if (m->state)
        return false;
    m->state = 1;
    return true;
}

void mutex_lock(struct mutex *m)
{
    while (!mutex_trylock(m)) {
        if (!g_now)
            fail("a lock was left behind");
        give_way();
    }
}

void mutex_unlock(struct mutex *m)
{
    m->state = 0;
    schedule_point();
}

void waitq_init(struct waitq *q)
{
    list_init(&q->entries);
}

void waitq_add(struct waitq *q, struct wait_entry *e)
{
    schedule_point();
    e->thread = current();
    e->queue = q;
    list_add_tail(&e->link, &q->entries);
}

void waitq_remove(struct wait_entry *e)
{
    schedule_point();
    if (e->queue)
        list_del(&e->link);
    e->queue = NULL;
}

void waitq_wake(struct waitq *q, u32 count)
{
    struct wait_entry *e;
    list_for_each_entry (e, &q->entries, link)
        thread_wake(e->thread);
    schedule_point();
}

void thread_wake(struct thread *t)
{
    struct fiber *f = container_of(t, struct fiber, thread);
    f->token = true;
    if (f->state == FIBER_WAITING)
        f->state = FIBER_READY;
}

void thread_notify(struct thread *t, u32 flags)
{
    t->attention |= flags;
    if (t != current())
        thread_wake(t);
}

/* As wait.c. */
int thread_wait(u64 deadline, bool interruptible, struct host_pollfd *fds, size_t count)
{
    struct fiber *me = g_now;
    struct mm *mm = me->thread.mm;
    if (mm) {
        me->thread.attention &= ~ATTENTION_GROUP;
        mm_leave(mm);
    }
    schedule_point();
    if (!me->token && (deadline == NO_DEADLINE || deadline > g_clock)) {
        me->deadline = deadline;
        me->state = FIBER_WAITING;
        give_way();
    }
    me->token = false;
    if (mm)
        mm_enter(mm);
    return deadline != NO_DEADLINE && g_clock >= deadline ? -ETIMEDOUT : 0;
}

u64 clock_monotonic(void)
{
    return g_clock;
}

/* ---- what keys ask for: no process of the schedule has any ---- */

u64 clock_realtime(void)
{
    return g_clock;
}

u64 random_u64(void)
{
    return g_clock;
}

struct thread *thread_alloc(struct process *p)
{
    for (u32 i = 0; i < FIBERS; i++) {
        struct fiber *f = &g_fibers[i];
        if (f->state != FIBER_FREE || f->thread.process)
            continue;
        f->thread = (struct thread){.process = p};
        list_init(&f->thread.siblings);
        list_init(&f->thread.sig_queue);
        f->token = false;
        return &f->thread;
    }
    return NULL;
}

void thread_release(struct thread *t)
{
    t->process = NULL;
}

void thread_finish(void)
{
    struct fiber *me = g_now;
    if (me->thread.mm)
        mm_leave(me->thread.mm);
    me->thread.process = NULL;
    me->state = FIBER_FREE;
    give_way();
    fail("an ended thread goes on");
}

/* ---- what the other rooms give: nothing ---- */
// clang-format off
struct file *file_get(struct file *f) { return f; }
void file_put(struct file *f) {}
bool dentry_noexec(const struct dentry *d) { return false; }
struct inode *inode_get(struct inode *i) { return i; }
void inode_put(struct inode *i) {}
struct file *fd_get(int fd) { return NULL; }
int copy_to_user(uaddr dst, const void *src, size_t n) { return -EFAULT; }
int copy_from_user(void *dst, uaddr src, size_t n) { return -EFAULT; }
void host_event(u32 type, i32 pid, i32 status, const char *message) {}
int host_sites_read(u64 off, void *buf, size_t n) { return -EIO; }
void sha256_once(const void *prefix, size_t prefix_size, const void *data, size_t size,
    u8 digest[SHA256_SIZE]) {}
void futex_robust_exit(struct thread *t) {}
void futex_wake_address(struct mm *mm, u64 address, u32 count) {}
void signal_notify_parent_locked(struct process *p, int code, int status) {}
int signal_send_process_locked(struct process *p, const struct siginfo_k *info,
    bool forced) { return 0; }
void signal_flush_queue(struct list_head *queue, u64 *pending, u64 set) {}
void signal_retarget_locked(struct thread *t, u64 set) {}
void files_put(struct files *f) {}
void fs_context_put(struct fs_context *fs) {}
void process_note_rss(struct process *p) {}
void seccomp_put(struct seccomp_filter *f) {}
void step_disarm(struct thread *t) {}
void tracee_event(u32 event, u64 message) {}
void tracee_forget_locked(struct tracee *e) {}
void tracee_let_go_locked(struct process *p) {}
bool tracee_process_end_locked(struct process *p) { return false; }
void tracee_thread_end_locked(struct thread *t, u32 status) {}
void tracer_end_locked(struct process *p) {}
int spawn_start_locked(struct process *p) { return 0; }
u64 thread_cpu_time(struct thread *t) { return 0; }
void timers_cpu_limit_locked(struct process *p) {}
void timers_destroy(struct process *p) {}
void acct_process(struct process *p) {}
void core_wait(void) {}
void core_thread_gone_locked(struct process *p) {}
void core_killed_locked(struct process *p) {}
size_t strlcpy(char *d, const char *s, size_t n) { d[0] = 0; return 0; }
static void nothing(struct process *p) {}
// clang-format on

/* ---- programs ---- */

#define FIXED 0x1000000ul /* where all programs are */

static struct thread *me_now(void)
{
    return &g_now->thread;
}

/* The way back to user code. */
static void to_user(void)
{
    struct thread *t = me_now();
    while (t->attention) {
        u32 flags = t->attention;
        t->attention = 0;
        if ((flags & ATTENTION_GROUP) && t->process->mm)
            mm_yield();
        if (t->process->group_exit)
            thread_exit(t->process->exit_status);
    }
}

/* A program reads a word of its memory, or writes one that was never there. */
static void use(u32 page, bool write)
{
    struct thread *t = me_now();
    struct belief *b = g_now->belief;
    const u64 addr = b->base + page * PAGE_SIZE;
    for (;;) {
        to_user();
        if (!t->mm || t->mm != t->process->mm)
            fail("a program runs without its memory");
        const struct mm *r = t->mm->space->resident;
        if (t->mm->space->shared && r && r != t->mm)
            fail("a program runs while another one is resident");
        u8 s = page_state(addr);
        if (!t->attention && t->mm == t->process->mm && (s = page_state(addr)) & PG_ACCEPTED &&
            (!write || (s & PG_W)))
            break;
        if (mm_fault(t->mm, addr, write ? FAULT_WRITE : 0) < 0)
            fail("a page of a program is not there");
        schedule_point();
    }
    u64 *word = (u64 *)addr;
    if (*word < b->low[page] || *word > b->high[page])
        fail("a program finds what is not its own");
    if (write)
        *word = ++g_values;
    b->low[page] = b->high[page] = *word;
}

static void use_all(bool write)
{
    for (u32 i = 0; i < PAGES; i++) {
        schedule_point();
        use(i, write);
    }
}

static struct belief *new_belief(void)
{
    struct belief *b = &g_beliefs[g_belief_count++ % BELIEFS];
    *b = (struct belief){.base = FIXED};
    return b;
}

static void fiber_main(void);

static void start(struct thread *t, struct belief *b, u64 random)
{
    struct fiber *f = container_of(t, struct fiber, thread);
    u64 *top = (u64 *)(f->stack + STACK) - 2;
    f->belief = b;
    f->random = random;
    *top = (u64)fiber_main;
    f->sp = top - 6;
    f->state = FIBER_READY;
}

static bool has_room(void)
{
    u32 room = 0;
    for (u32 i = 0; i < FIBERS; i++)
        room += g_fibers[i].state == FIBER_FREE && !g_fibers[i].thread.process;
    return room > 0;
}

/* As clone.c does it. */
static void new_process(void)
{
    struct process *me = current_process(), *child;
    struct belief before, *b;
    struct thread *t;
    if (!has_room() || !(child = process_alloc()))
        return;
    use_all(false); /* what a fork's child itself has not looked at is not known yet */
    before = *g_now->belief;
    child->pid = pid_allocate();
    child->state = PROCESS_RUNNING;
    child->exit_signal = SIGCHLD;
    t = process_thread_add(child, child->pid);
    if (!t) {
        process_put(child);
        return;
    }
    struct mm *mm = me->mm;
    if (mm_fork(mm, &child->mm) < 0)
        fail("fork has no memory");
    mutex_lock(&g_process_lock);
    process_publish_locked(child, me);
    process_get(child);
    mutex_unlock(&g_process_lock);
    b = new_belief();
    for (u32 i = 0; i < PAGES; i++) {
        b->low[i] = before.low[i];
        b->high[i] = g_now->belief->high[i];
    }
    start(t, b, mix(&g_now->random));
    process_put(child);
    mm_enter(mm);
}

static void new_thread(void)
{
    struct process *me = current_process();
    struct thread *t = has_room() ? process_thread_add(me, pid_allocate()) : NULL;
    if (!t)
        return;
    mutex_lock(&g_process_lock);
    bool ending = me->group_exit || me->exec_thread;
    mutex_unlock(&g_process_lock);
    if (ending)
        process_thread_remove(t);
    else
        start(t, g_now->belief, mix(&g_now->random));
}

/* As load.c and exec.c do it, for a process with one thread. */
static void new_program(void)
{
    struct process *me = current_process();
    struct mm *old = me->mm, *mm;
    if (me->thread_count > 1)
        return;
    if (!(mm = mm_create()))
        fail("the heap is used up: something is never given back");
    mm_leave(old);
    mm_enter(mm);
    if (mm_map(mm, FIXED, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0) != FIXED)
        fail("exec has no memory");
    g_now->belief = new_belief();
    mutex_lock(&g_process_lock);
    me->mm = mm;
    mutex_unlock(&g_process_lock);
    if (old)
        mm_put(old);
    vfork_release(me);
    mm_enter(mm);
}

static void rest(void)
{
    thread_wait(g_clock + mix(&g_now->random) % 4 * 5000000, true, NULL, 0);
}

static void fiber_main(void)
{
    struct process *p = current_process();
    if (p->mm)
        mm_enter(p->mm);
    else
        new_program();
    for (u32 i = 0; i < OPS; i++) {
        to_user();
        switch (mix(&g_now->random) % 16) {
        case 0:
        case 1:
        case 2:
            new_process();
            break;
        case 3:
        case 4:
            new_thread();
            break;
        case 5:
            new_program();
            break;
        case 6:
        case 7:
            rest();
            break;
        case 8:
            if (mix(&g_now->random) % 2)
                process_exit_group(0);
            break;
        default:
            use_all(mix(&g_now->random) % 2);
        }
    }
    use_all(false);
    thread_exit(0);
}

/* ---- the controller ---- */

static void first_process(i32 pid, u64 random)
{
    struct process *p = process_alloc();
    struct thread *t;
    p->pid = pid;
    p->state = PROCESS_RUNNING;
    p->exit_signal = SIGCHLD;
    t = process_thread_add(p, pid);
    mutex_lock(&g_process_lock);
    process_publish_locked(p, g_init == p ? NULL : g_init);
    mutex_unlock(&g_process_lock);
    start(t, NULL, random);
}

/* Time passes only when nobody has anything to do. */
static bool pass_time(void)
{
    u64 next = NO_DEADLINE;
    for (u32 i = 0; i < FIBERS; i++)
        if (g_fibers[i].state == FIBER_WAITING)
            next = MIN(next, g_fibers[i].deadline);
    for (u32 i = 0; i < FIBERS; i++) {
        if (g_fibers[i].state == FIBER_WAITING && next == NO_DEADLINE)
            fail("somebody waits for ever");
        if (g_fibers[i].state == FIBER_WAITING && g_fibers[i].deadline == next)
            g_fibers[i].state = FIBER_READY;
    }
    g_clock = next == NO_DEADLINE ? g_clock : MAX(g_clock, next);
    return next != NO_DEADLINE;
}

static void play(void)
{
    u64 random = g_plan.scenario;
    struct fiber *f;
    g_plan.random = g_plan.seed;
    g_plan.count = g_belief_count = 0;
    first_process(1, mix(&random));
    first_process(2, mix(&random));
    do {
        u32 chosen = g_plan.chance ? (u32)mix(&g_plan.random) % FIBERS : 0;
        while ((f = nth_ready(chosen)) || (f = nth_ready(0)))
            go_to(f);
    } while (pass_time());
    if (!list_empty(&g_processes))
        fail("a process is left");
    if (page_next_accepted(LAYOUT_USER_START, USER_END) != USER_END)
        fail("pages are left");
    check_freed();
}

static u64 play_scenario(u64 scenario)
{
    u64 runs = 0, places;
    g_plan = (typeof(g_plan)){.scenario = scenario, .place = UINT64_MAX};
    play();
    places = g_plan.count;
    /* Every place takes too long: each scenario takes others. */
    for (u64 place = scenario % 7; place < places; place += 7)
        for (u32 other = 0; other < 3; other++, runs++) {
            g_plan = (typeof(g_plan)){.scenario = scenario, .place = place, .other = other};
            play();
        }
    for (u32 seed = 0; seed < 60; seed++, runs++) {
        g_plan = (typeof(g_plan)){.scenario = scenario, .seed = seed, .chance = 3 + seed % 60};
        play();
    }
    return runs;
}

int main(int argc, char **argv)
{
    u64 scenarios = argc > 1 ? (u64)strtol(argv[1], NULL, 0) : 8;
    u64 first = argc > 2 ? (u64)strtol(argv[2], NULL, 0) : 1, runs = 0;
    struct enclave_layout layout = {.size = 1ul << 30,
                                    .heap = HEAP_AT,
                                    .heap_end = HEAP_AT + HEAP,
                                    .user_start = LAYOUT_USER_START,
                                    .user_end = USER_END,
                                    .flags = LAYOUT_FLAG_SGX2};
    static const struct process_hooks hooks = {.exec = nothing, .exit = nothing};
    stub_set_gs(g_tcb);
    stub_reserve(LAYOUT_USER_START, USER_END - LAYOUT_USER_START);
    stub_reserve(HEAP_AT, HEAP);
    heap_init(&layout);
    BUG_ON(mm_init(&layout, 0, 0));
    process_init(&hooks);
    while (pid_allocate() < 2) /* those of the first processes */
        ;
    printf("1..1\n");
    for (u64 i = 0; i < scenarios; i++)
        runs += play_scenario(first + i);
    printf("ok 1 - fork groups and ends of threads under %lu schedules of %lu scenarios\n", runs,
           scenarios);
    return 0;
}
