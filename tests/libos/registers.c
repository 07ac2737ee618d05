/* SPDX-License-Identifier: Apache-2.0 */
/* What system calls, signals, faults and preemption leave in the registers: general, flags, vector,
 * x87, MXCSR, FS base. */
#include "check.h"

#include <asm/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define FLAG_DF 0x400u
#define FLAG_AC 0x40000u

/* A `syscall` with r10 and up, rbx and rbp set to known values; 0 when all came back but rcx and
 * r11. */
static uint64_t call_keeps(long number)
{
    uint64_t bad;

    __asm__ volatile("push %%rbp\n\t"
                     "mov $0x1111, %%rbx\n\t"
                     "mov $0x2222, %%rbp\n\t"
                     "mov $0x3333, %%r12\n\t"
                     "mov $0x4444, %%r13\n\t"
                     "mov $0x5555, %%r14\n\t"
                     "mov $0x6666, %%r15\n\t"
                     "mov $0x7777, %%r10\n\t"
                     "mov $0x8888, %%r8\n\t"
                     "mov $0x9999, %%r9\n\t"
                     "xor %%edi, %%edi\n\t"
                     "mov $0xbbbb, %%rsi\n\t"
                     "mov $0xcccc, %%rdx\n\t"
                     "syscall\n\t"
                     "xor $0x1111, %%rbx\n\t"
                     "xor $0x2222, %%rbp\n\t"
                     "xor $0x3333, %%r12\n\t"
                     "xor $0x4444, %%r13\n\t"
                     "xor $0x5555, %%r14\n\t"
                     "xor $0x6666, %%r15\n\t"
                     "xor $0x7777, %%r10\n\t"
                     "xor $0x8888, %%r8\n\t"
                     "xor $0x9999, %%r9\n\t"
                     "xor $0xbbbb, %%rsi\n\t"
                     "xor $0xcccc, %%rdx\n\t"
                     "or %%rbp, %%rbx\n\t"
                     "or %%r12, %%rbx\n\t"
                     "or %%r13, %%rbx\n\t"
                     "or %%r14, %%rbx\n\t"
                     "or %%r15, %%rbx\n\t"
                     "or %%r10, %%rbx\n\t"
                     "or %%r8, %%rbx\n\t"
                     "or %%r9, %%rbx\n\t"
                     "or %%rdi, %%rbx\n\t"
                     "or %%rsi, %%rbx\n\t"
                     "or %%rdx, %%rbx\n\t"
                     "pop %%rbp\n\t"
                     : "=b"(bad), "+a"(number)
                     :
                     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "memory", "cc");
    return bad;
}

static void general_registers(void)
{
    for (int i = 0; i < 1000; i++) {
        CHECK(call_keeps(SYS_getppid) == 0);
        CHECK(call_keeps(SYS_sched_yield) == 0);
    }
}

/* The 128 bytes below RSP are the program's. */
static void red_zone(void)
{
    uint64_t seen = 0;

    for (int i = 0; i < 100; i++) {
        long number = SYS_getppid;

        __asm__ volatile("movq $0x1234567, -8(%%rsp)\n\t"
                         "movq $0x7654321, -128(%%rsp)\n\t"
                         "syscall\n\t"
                         "mov -8(%%rsp), %0\n\t"
                         "add -128(%%rsp), %0\n\t"
                         : "=&r"(seen), "+a"(number)
                         :
                         : "rcx", "r11", "memory");
        CHECK(seen == 0x1234567 + 0x7654321);
    }
}

static uint64_t flags(void)
{
    uint64_t f;

    __asm__ volatile("pushf\n\tpop %0" : "=r"(f));
    return f;
}

/* A program may have unaligned accesses checked; that is no matter of the kernel's own accesses. */
static void alignment_check(void)
{
    long r = SYS_getppid;
    char buf[64];

    __asm__ volatile("pushf\n\torl $0x40000, (%%rsp)\n\tpopf\n\t"
                     "syscall\n\t"
                     "pushf\n\tandl $~0x40000, (%%rsp)\n\tpopf\n\t"
                     : "+a"(r)
                     :
                     : "rcx", "r11", "memory", "cc");
    CHECK(r >= 0);
    r = SYS_getcwd;
    __asm__ volatile("pushf\n\torl $0x40000, (%%rsp)\n\tpopf\n\t"
                     "syscall\n\t"
                     "pushf\n\tandl $~0x40000, (%%rsp)\n\tpopf\n\t"
                     : "+a"(r)
                     : "D"(buf + 1), "S"(sizeof(buf) - 1)
                     : "rcx", "r11", "memory", "cc");
    CHECK(r > 0);
    CHECK((flags() & (FLAG_AC | FLAG_DF)) == 0);
}

/* ---- vector state, in threads that do different things, under a flood of signals ---- */

static volatile sig_atomic_t g_signals;
static volatile int g_stop;

static void clobber(int signo)
{
    __asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm7, %%xmm7\n\tpxor %%xmm15, %%xmm15\n\t"
                     "fldpi\n\tfstp %%st(0)"
                     :
                     :
                     : "xmm0", "xmm7", "xmm15");
    getppid();
    g_signals++;
}

/* Keeps k in three XMM registers and an x87 register over a system call or a loop; 0 when all are
 * still there. */
static int holds(uint64_t k, int mode)
{
    uint64_t a, b, c, x = k, d = 0;
    long number = mode == 1 ? SYS_getppid : SYS_sched_yield;

    __asm__ volatile("movq %[k], %%xmm0\n\t"
                     "movq %[k], %%xmm7\n\t"
                     "movq %[k], %%xmm15\n\t"
                     "fildll %[x]\n\t"
                     "cmpl $0, %[mode]\n\t"
                     "je 1f\n\t"
                     "syscall\n\t"
                     "jmp 2f\n"
                     "1: mov $3000, %%ecx\n"
                     "3: dec %%ecx\n\t"
                     "jnz 3b\n"
                     "2: fistpll %[d]\n\t"
                     "movq %%xmm0, %[a]\n\t"
                     "movq %%xmm7, %[b]\n\t"
                     "movq %%xmm15, %[c]\n\t"
                     : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=m"(d), "+a"(number)
                     : [k] "r"(k), [x] "m"(x), [mode] "r"(mode)
                     : "rcx", "r11", "xmm0", "xmm7", "xmm15", "memory", "cc");
    return (a != k) | (b != k) << 1 | (c != k) << 2 | (d != k) << 3;
}

static void *vector_thread(void *arg)
{
    uint64_t k = (uint64_t)(uintptr_t)arg;
    long bad = 0;

    for (int i = 0; !g_stop; i++) {
        k = k * 6364136223846793005u + 1;
        bad |= holds(k >> 12, i % 3);
    }
    return (void *)bad;
}

static void vector_state(void)
{
    struct sigaction action = {.sa_handler = clobber, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, 1000}, {0, 1000}};
    pthread_t threads[4];
    double start = now();

    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    g_stop = 0;
    for (long i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, vector_thread, (void *)(i + 1)) == 0);
    /* A busy machine, or a host that steps through each handler, takes its time. */
    while (now() - start < 0.4 || (g_signals <= 100 && now() - start < 60)) {
        for (int i = 0; i < 4; i++)
            pthread_kill(threads[i], SIGUSR1);
        sleep_ms(1);
    }
    g_stop = 1;
    for (int i = 0; i < 4; i++) {
        void *bad;

        pthread_join(threads[i], &bad);
        CHECK(bad == NULL);
    }
    memset(&timer, 0, sizeof(timer));
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK(g_signals > 100);
}

/* MXCSR and the x87 control word: the program's over calls, inherited by threads and forks, fresh
 * after the handler's changes. */
static uint32_t mxcsr(void)
{
    uint32_t v;

    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}

static void *see_mxcsr(void *unused)
{
    return (void *)(uintptr_t)mxcsr();
}

static void change_mxcsr(int signo)
{
    uint32_t other = 0x1f80 | 0x2000;

    __asm__ volatile("ldmxcsr %0" : : "m"(other));
}

static void control_words(void)
{
    uint32_t rounding_up = 0x1f80 | 0x4000;
    pthread_t thread;
    void *seen;

    __asm__ volatile("ldmxcsr %0" : : "m"(rounding_up));
    getppid();
    syscall(SYS_sched_yield);
    sleep_ms(1);
    CHECK(mxcsr() == rounding_up);
    pthread_create(&thread, NULL, see_mxcsr, NULL);
    pthread_join(thread, &seen);
    CHECK((uint32_t)(uintptr_t)seen == rounding_up);
    signal(SIGUSR2, change_mxcsr);
    raise(SIGUSR2);
    CHECK(mxcsr() == rounding_up);
    pid_t pid = fork();
    if (pid == 0)
        _exit(mxcsr() == rounding_up ? 3 : 4);
    int status = 0;
    waitpid(pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    rounding_up = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(rounding_up));
}

/* ---- contexts of faults ---- */

static volatile uint64_t g_seen_rip, g_seen_rbx, g_seen_address;

static void skip_fault(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    g_seen_rip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
    g_seen_rbx = (uint64_t)uc->uc_mcontext.gregs[REG_RBX];
    g_seen_address = (uint64_t)info->si_addr;
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* each instruction that faults here is two bytes long */
    uc->uc_mcontext.gregs[REG_RDX] = 0x77;
}

static void fault_contexts(void)
{
    struct sigaction action = {.sa_sigaction = skip_fault, .sa_flags = SA_SIGINFO};
    uint64_t rip, rdx,
        none = (uint64_t)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    __asm__ volatile("lea 1f(%%rip), %0\n\t"
                     "mov $0x1357, %%ebx\n"
                     "1: movb %%al, (%%rdi)\n\t"
                     : "=&a"(rip), "=&d"(rdx)
                     : "D"(none + 5)
                     : "rbx", "memory");
    CHECK(g_seen_rip == rip && g_seen_rbx == 0x1357 && g_seen_address == none + 5 && rdx == 0x77);
    __asm__ volatile("lea 1f(%%rip), %0\n\t"
                     "mov $0x2468, %%ebx\n"
                     "1: ud2\n\t"
                     : "=&a"(rip), "=&d"(rdx)
                     :
                     : "rbx", "memory");
    CHECK(g_seen_rip == rip && g_seen_rbx == 0x2468 && rdx == 0x77);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGILL, SIG_DFL);
    munmap((void *)none, 4096);
}

static void fs_base(void)
{
    uint64_t before = 0, after = 0;

    syscall(SYS_arch_prctl, ARCH_GET_FS, &before);
    for (int i = 0; i < 50; i++) {
        sleep_ms(i % 10 == 0);
        syscall(SYS_arch_prctl, ARCH_GET_FS, &after);
        CHECK(before == after && before != 0);
    }
}

/* Code that the program made itself: nobody could prepare its system calls. */
static void generated_code(void)
{
    static const uint8_t code[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xc3};
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long (*call)(void) = (long (*)(void))page;
    long parent = getppid();

    memcpy(page, code, sizeof(code));
    CHECK(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
    for (int i = 0; i < 1000; i++)
        CHECK(call() == parent);
    CHECK(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
    page[1] = SYS_getpid;
    CHECK(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
    CHECK(call() == getpid());
    munmap(page, 4096);
}

int main(void)
{
    RUN(general_registers);
    RUN(red_zone);
    RUN(alignment_check);
    RUN(vector_state);
    RUN(control_words);
    RUN(fault_contexts);
    RUN(fs_base);
    RUN(generated_code);
    return finish();
}
