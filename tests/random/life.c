/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads that make random calls, until they have made enough of them. */
#include "random.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define STACK   (64u << 10)
#define CALLS   200u /* of a child */
#define TICK_US 3000 /* what waits is interrupted */

char *g_area;
uint64_t g_spared[8];
bool g_trace, g_privileged;
static volatile long g_ids[8]; /* of System V objects */

long raw(long number, const long *a)
{
    long result;
    register long r10 __asm__("r10") = a[3];
    register long r8 __asm__("r8") = a[4];
    register long r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#define CALL(number, ...) raw(SYS_##number, (const long[6]){__VA_ARGS__})

/* A call that makes a thread, which runs child(arg) on whatever stack the call gave it. */
long spawn(long number, const long *a, void (*child)(void *), void *arg);
__asm__("spawn:\n"
        "push %rbx; push %r12; push %r13\n"
        "mov %rdx, %rbx; mov %rcx, %r12; mov %rsi, %r13; mov %rdi, %rax\n"
        "mov (%r13), %rdi; mov 8(%r13), %rsi; mov 16(%r13), %rdx; mov 24(%r13), %r10; mov "
        "32(%r13), %r8\n"
        "syscall\n"
        "test %rax, %rax; jz 1f\n"
        "pop %r13; pop %r12; pop %rbx; ret\n"
        "1: xor %ebp, %ebp; and $-16, %rsp; mov %r12, %rdi; call *%rbx; hlt\n");

/* ---- what is said of a call ---- */

static char *put_text(char *to, const char *s, unsigned most)
{
    for (unsigned i = 0; i < most && s[i] != '\0'; i++)
        *to++ = s[i] > ' ' && s[i] < 127 ? s[i] : '?';
    return to;
}

static char *put_number(char *to, long n)
{
    char digits[20];
    unsigned count = 0;
    unsigned long u = n < 0 && n > -100000 ? (unsigned long)-n : (unsigned long)n;
    const unsigned base = u < 100000 ? 10 : 16;
    if (u != (unsigned long)n)
        *to++ = '-';
    if (base == 16)
        to = put_text(to, "0x", 2);
    do
        digits[count++] = "0123456789abcdef"[u % base];
    while ((u /= base) != 0);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

static bool is_memory(enum kind kind)
{
    return kind == BUF || (kind >= OFFSETP && kind <= IOV) ||
           (kind >= SIGSET && kind <= ITSPEC && kind != SIGSETSIZE) || kind == ADDR ||
           kind == SOCKADDR || kind == SOCKLENP || kind == POLLFDS || kind == FDSET ||
           kind == EPEVENT || kind == TWOFDS || kind == HOW;
}

/* How it is said must not differ between two runs of a pure sequence. */
static char *put_call(char *to, const struct run *r, const struct call *c, const long *a)
{
    if (!r->pure) {
        to = put_number(to, CALL(gettid));
        *to++ = ' ';
    }
    to = put_text(to, c->name, 40);
    for (unsigned i = 0; i < 6 && c->kinds[i] != NONE; i++) {
        *to++ = i == 0 ? '(' : ',';
        if (c->kinds[i] == PATH &&
            (unsigned long)a[i] - (unsigned long)r->arena < ARENA_SIZE - 4096)
            to = put_text(to, (const char *)a[i], 60);
        else if (r->pure && (is_memory(c->kinds[i]) || (a[i] & ~0xfffl) > 0x7fffffff))
            *to++ = '*';
        else
            to = put_number(to, a[i]);
    }
    return to;
}

static void say(const char *text, const char *end)
{
    CALL(write, TRACE_FD, (long)text, end - text);
}

/* ---- calls ---- */

/* Not outside of the round's directory: the supervisor needs its world. */
static bool is_barred(const struct call *c, const long *a)
{
    static const uint16_t world[] = {SYS_mount, SYS_umount2, SYS_pivot_root, SYS_swapon, SYS_acct};
    if (c->number == SYS_fcntl && a[1] == F_SETSIG && (a[2] == SIGKILL || a[2] == SIGSTOP))
        return true;
    for (unsigned i = 0; i < sizeof(world) / sizeof(world[0]); i++) {
        const char *target = (const char *)(c->number == SYS_mount ? a[1] : a[0]);
        if (c->number != world[i] || (unsigned long)target < 0x10000 ||
            (unsigned long)target > 0x7fffffffffff)
            continue;
        for (unsigned n = 0; n < sizeof(PLACE) - 1; n++)
            if (target[n] != PLACE[n])
                return true;
        return target[sizeof(PLACE) - 1] != '/' || target[sizeof(PLACE)] == '\0';
    }
    return false;
}

static void one_call(struct run *r)
{
    const struct call *c;
    do
        c = &g_calls[below(r, g_call_count)];
    while (((c->flags & RARE) && !one_in(r, 16)) || (r->pure && !(c->flags & PURE)));
    long a[6];
    for (unsigned i = 0; i < 6; i++)
        a[i] = c->kinds[i] == IPCID && one_in(r, 2) ? g_ids[below(r, 8)] : value(r, c->kinds[i]);
    if (c->number == SYS_poll)
        a[2] = 0;
    if (is_barred(c, a))
        return;
    char text[600], *end = text;
    if (g_trace || r->pure)
        end = put_call(text, r, c, a);
    if (g_trace && !r->pure) {
        *end++ = '\n';
        say(text, end);
    }
    long result = raw(c->number, a);
    if (r->pure) {
        end = put_number(put_text(end, ")=", 2), result);
        *end++ = '\n';
        say(text, end);
    }
    if (result > 0 &&
        (c->number == SYS_semget || c->number == SYS_msgget || c->number == SYS_shmget))
        g_ids[(unsigned long)result % 8] = result;
}

/* ---- births and ends ---- */

struct birth {
    struct run run;
    bool thread;
};

static void live(void *arg)
{
    struct birth *b = arg;
    struct run r = b->run;
    if (b->thread)
        run_calls(&r);
    else
        run_process(&r);
    if (b->thread || one_in(&r, 4))
        CALL(exit, 0);
    CALL(exit_group, (long)below(&r, 256));
}

/* A range for a stack and an arena, with what the child starts with at its end. */
static struct birth *birth(struct run *r)
{
    char *p = (char *)CALL(mmap, 0, STACK + ARENA_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if ((unsigned long)p > -4096ul)
        return NULL;
    struct birth *b = (struct birth *)(p + STACK - sizeof(*b));
    b->run = (struct run){.chance = chance(r),
                          .arena = p + STACK,
                          .depth = r->depth + 1,
                          .calls = CALLS / (r->depth + 1),
                          .children = r->children / 2};
    CALL(mprotect, (long)p + STACK + ARENA_SIZE - 8192, 4096, PROT_READ);
    CALL(mprotect, (long)p + STACK + ARENA_SIZE - 4096, 4096, PROT_NONE);
    return b;
}

static void have_child(struct run *r)
{
    static const long odd[] = {CLONE_FS,
                               CLONE_FILES,
                               CLONE_SIGHAND,
                               CLONE_VFORK,
                               CLONE_PARENT,
                               CLONE_NEWNS,
                               CLONE_SYSVSEM,
                               CLONE_SETTLS,
                               CLONE_PARENT_SETTID,
                               CLONE_CHILD_CLEARTID,
                               CLONE_CHILD_SETTID,
                               CLONE_UNTRACED,
                               CLONE_NEWPID,
                               CLONE_PIDFD,
                               CLONE_THREAD,
                               CLONE_VM,
                               CLONE_IO,
                               CLONE_NEWUSER};
    struct birth *b = birth(r);
    if (b == NULL)
        return;
    const uint64_t kind = below(r, 8);
    const long thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                        CLONE_SYSVSEM;
    long flags = kind < 3    ? thread
                 : kind < 5  ? SIGCHLD
                 : kind == 5 ? CLONE_VM | CLONE_VFORK | SIGCHLD
                             : (long)below(r, 66);
    while (kind >= 6 && !one_in(r, 3))
        flags |= odd[below(r, sizeof(odd) / sizeof(odd[0]))];
    if ((flags & CLONE_THREAD) && one_in(r, 2))
        flags |= CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
    b->thread = flags & CLONE_THREAD;
    long stack = (flags & CLONE_VM) && !one_in(r, 60) ? (long)b - 64 : 0;
    long word = value(r, FUTEX);
    if (g_trace) {
        char text[100], *end = put_number(put_text(text, "clone:", 8), flags);
        *end++ = '\n';
        say(text, end);
    }
    if (one_in(r, 3)) {
        struct clone_args args = {.flags = (uint64_t)flags & ~0xfful,
                                  .pidfd = (uint64_t)word,
                                  .child_tid = (uint64_t)word,
                                  .parent_tid = (uint64_t)word,
                                  .exit_signal = flags & CLONE_THREAD ? 0 : (uint64_t)flags & 0xff,
                                  .stack = stack ? (uint64_t)b - STACK + sizeof(*b) : 0,
                                  .stack_size = stack ? STACK - sizeof(*b) - 64 : 0};
        spawn(
            SYS_clone3,
            (const long[6]){(long)&args, one_in(r, 20) ? (long)below(r, 200) : (long)sizeof(args)},
            live, b);
    } else if (flags == SIGCHLD && one_in(r, 2)) {
        spawn(SYS_fork, (const long[6]){0}, live, b);
    } else {
        spawn(SYS_clone, (const long[6]){flags, stack, word, word, value(r, WORD)}, live, b);
    }
}

static void hex(char *to, uint64_t n)
{
    for (unsigned i = 0; i < 16; i++)
        to[i] = "0123456789abcdef"[n >> (60 - 4 * i) & 15];
    to[16] = '\0';
}

static void become_another(struct run *r)
{
    char seed[17], depth[2] = {(char)('0' + r->depth + 1), '\0'};
    hex(seed, chance(r));
    const char *argv[] = {"calls", "run", seed, depth, NULL};
    const long arguments = one_in(r, 12) ? value(r, BUF) : (long)argv;
    if (one_in(r, 4))
        CALL(execveat, value(r, DIRFD), value(r, PATH), arguments, value(r, BUF),
             value(r, AT_FLAGS));
    else if (one_in(r, 3))
        CALL(execve, value(r, PATH), arguments, 0);
    else
        CALL(execve, (long)"/bin/calls", arguments, 0);
}

void run_calls(struct run *r)
{
    while (r->calls-- > 0) {
        one_call(r);
        if (r->pure || r->depth >= DEPTH_MAX)
            continue;
        if (r->children > 0 && one_in(r, 25)) {
            r->children--;
            have_child(r);
        } else if (one_in(r, 400)) {
            become_another(r);
        }
    }
}

static void on_tick(int signo)
{
}

__attribute__((naked)) static void restorer(void)
{
    __asm__("mov $15, %eax; syscall");
}

void run_process(struct run *r)
{
    const struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        unsigned long mask;
    } action = {on_tick, 0x04000000, restorer, 0};
    const struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};
    CALL(rt_sigaction, SIGALRM, (long)&action, 0, 8);
    CALL(setitimer, ITIMER_REAL, (long)&tick, 0);
    run_calls(r);
}

void run_begin(struct run *r, uint64_t seed, unsigned depth, unsigned calls)
{
    g_area = (char *)CALL(mmap, 0, AREA_PAGES * 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    r->chance = seed;
    r->depth = depth;
    struct birth *b = birth(r);
    *r = (struct run){
        .chance = seed, .arena = b->run.arena, .depth = depth, .calls = calls, .children = 6};
}
