/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: delivery, masks, queues, contexts, alternate stacks, faults, restart of calls. */
#include "check.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>

static volatile sig_atomic_t g_count, g_last;
static volatile siginfo_t g_info;
static sigjmp_buf g_jump;

static void count(int sig)
{
    g_count++;
    g_last = sig;
}

static void keep_info(int sig, siginfo_t *info, void *context)
{
    g_count++;
    g_last = sig;
    memcpy((void *)&g_info, info, sizeof(*info));
}

static void install(int sig, void (*handler)(int), int flags)
{
    struct sigaction sa = {.sa_flags = flags};
    sa.sa_handler = handler;
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void install_info(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = {.sa_flags = flags | SA_SIGINFO};
    sa.sa_sigaction = handler;
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void raise_and_handle(void)
{
    g_count = 0;
    install(SIGUSR1, count, 0);
    CHECK(raise(SIGUSR1) == 0 && g_count == 1 && g_last == SIGUSR1);
    install_info(SIGUSR1, keep_info, 0);
    CHECK(kill(getpid(), SIGUSR1) == 0 && g_count == 2);
    CHECK(g_info.si_code == SI_USER && g_info.si_pid == getpid() && g_info.si_uid == getuid());
    struct sigaction old;
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && (old.sa_flags & SA_SIGINFO));
    CHECK(sigaction(SIGKILL, &old, NULL) == -1 && errno == EINVAL);
    install(SIGUSR1, count, SA_RESETHAND);
    CHECK(raise(SIGUSR1) == 0 && g_count == 3);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
}

static void masks(void)
{
    sigset_t set, old, pending;
    g_count = 0;
    install(SIGUSR1, count, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    raise(SIGUSR1);
    raise(SIGUSR1);
    CHECK(g_count == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && g_count == 1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    raise(SIGUSR1);
    CHECK(sigsuspend(&old) == -1 && errno == EINTR && g_count == 2);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &pending) == 0 && sigismember(&pending, SIGUSR1));
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    install(SIGUSR1, count, 0);
    /* Blocked, so it was queued although ignored. */
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0 && g_count == 3);
}

static int g_nested;
static void nest(int sig)
{
    if (g_nested++ < 3)
        raise(sig);
    g_count++;
}

static void nesting(void)
{
    g_count = 0;
    g_nested = 0;
    install(SIGUSR2, nest, SA_NODEFER);
    raise(SIGUSR2);
    CHECK(g_count == 4 && g_nested == 4);
    g_count = g_nested = 0;
    install(SIGUSR2, nest, 0);
    raise(SIGUSR2);
    CHECK(g_nested == 4 && g_count == 4);
}

static int g_order[8], g_values[8], g_n;
static void record(int sig, siginfo_t *info, void *context)
{
    if (g_n < 8) {
        g_order[g_n] = sig;
        g_values[g_n++] = info->si_value.sival_int;
    }
}

static void realtime(void)
{
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGRTMIN + 2);
    install_info(SIGRTMIN + 1, record, 0);
    install_info(SIGRTMIN + 2, record, 0);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 10 + i}) == 0);
        CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}) == 0);
    }
    siginfo_t info;
    struct timespec zero = {0, 0};
    CHECK(sigtimedwait(&set, &info, &zero) == SIGRTMIN + 1 && info.si_value.sival_int == 0 &&
          info.si_code == SI_QUEUE && info.si_pid == getpid());
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    CHECK(g_n == 5);
    int ones = 0, twos = 10;
    for (int i = 0; i < g_n; i++) {
        if (g_order[i] == SIGRTMIN + 1)
            CHECK(g_values[i] == ++ones);
        else
            CHECK(g_values[i] == twos++);
    }
    CHECK(sigtimedwait(&set, &info, &zero) == -1 && errno == EAGAIN);
}

static void set_rip(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    extern char after_fault[];
    g_count++;
    memcpy((void *)&g_info, info, sizeof(*info));
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)after_fault;
    uc->uc_mcontext.gregs[REG_RBX] = 4711;
}

__attribute__((noinline)) static long fault_here(void *p)
{
    long rbx;
    __asm__ volatile("movl $1, (%1)\n"
                     ".globl after_fault\n"
                     "after_fault: movq %%rbx, %0\n"
                     : "=r"(rbx)
                     : "r"(p)
                     : "rbx", "memory");
    return rbx;
}

static void fault_context(void)
{
    g_count = 0;
    install_info(SIGSEGV, set_rip, 0);
    CHECK(fault_here((void *)0x10) == 4711);
    CHECK(g_count == 1 && g_info.si_code == SEGV_MAPERR && g_info.si_addr == (void *)0x10);
    void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(fault_here(p) == 4711 && g_info.si_code == SEGV_ACCERR && g_info.si_addr == p);
    munmap(p, 4096);
    signal(SIGSEGV, SIG_DFL);
}

static void jump(int sig)
{
    g_last = sig;
    siglongjmp(g_jump, sig);
}

static void other_faults(void)
{
    install(SIGFPE, jump, 0);
    install(SIGILL, jump, 0);
    install(SIGTRAP, jump, 0);
    install(SIGSEGV, jump, 0);
    if (sigsetjmp(g_jump, 1) == 0) {
        volatile int zero = 0, seven = 7;
        /* cppcheck-suppress zerodiv ; the fault that is wanted */
        volatile int x = seven / zero;
        (void)x;
    }
    CHECK(g_last == SIGFPE);
    if (sigsetjmp(g_jump, 1) == 0)
        __asm__ volatile("ud2");
    CHECK(g_last == SIGILL);
    if (sigsetjmp(g_jump, 1) == 0)
        __asm__ volatile("int3");
    CHECK(g_last == SIGTRAP);
    if (sigsetjmp(g_jump, 1) == 0)
        __asm__ volatile("hlt");
    CHECK(g_last == SIGSEGV);
    signal(SIGFPE, SIG_DFL);
    signal(SIGILL, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
}

static char g_altstack[65536];
static volatile char *g_handler_stack;
static void on_altstack(int sig)
{
    char local;
    g_handler_stack = &local;
    siglongjmp(g_jump, 1);
}

__attribute__((noinline)) static int recurse(volatile char *p)
{
    volatile char room[4096];
    room[0] = p ? *p : 0;
    return recurse(room) + room[0];
}

static void stack_overflow(void)
{
    stack_t ss = {.ss_sp = g_altstack, .ss_size = sizeof(g_altstack)}, old;
    CHECK(sigaltstack(&ss, NULL) == 0);
    install(SIGSEGV, on_altstack, SA_ONSTACK);
    if (sigsetjmp(g_jump, 1) == 0)
        recurse(NULL);
    CHECK(g_handler_stack >= g_altstack && g_handler_stack < g_altstack + sizeof(g_altstack));
    CHECK(sigaltstack(NULL, &old) == 0 && old.ss_sp == g_altstack && old.ss_flags == 0);
    ss.ss_size = 100;
    CHECK(sigaltstack(&ss, NULL) == -1 && errno == ENOMEM);
    ss.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&ss, NULL) == 0 && sigaltstack(NULL, &old) == 0 &&
          old.ss_flags == SS_DISABLE);
    signal(SIGSEGV, SIG_DFL);
}

static void clobber_vectors(int sig)
{
    double x[8] = {9, 8, 7, 6, 5, 4, 3, 2};
    __asm__ volatile("movupd (%0), %%xmm0\n movupd 16(%0), %%xmm7\n movupd 32(%0), %%xmm15\n"
                     :
                     : "r"(x)
                     : "xmm0", "xmm7", "xmm15", "memory");
    g_count++;
}

static void vectors_survive(void)
{
    double in[2] = {1.5, -2.25}, out[6];
    g_count = 0;
    install(SIGUSR1, clobber_vectors, 0);
    long r;
    __asm__ volatile("movupd (%2), %%xmm0\n movupd (%2), %%xmm7\n movupd (%2), %%xmm15\n"
                     "syscall\n"
                     "movupd %%xmm0, (%3)\n movupd %%xmm7, 16(%3)\n movupd %%xmm15, 32(%3)\n"
                     : "=a"(r)
                     : "a"(SYS_kill), "r"(in), "r"(out), "D"((long)getpid()), "S"((long)SIGUSR1)
                     : "rcx", "r11", "xmm0", "xmm7", "xmm15", "memory");
    CHECK(r == 0 && g_count == 1);
    for (int i = 0; i < 6; i++)
        CHECK(out[i] == in[i % 2]);
}

static int g_pipe[2];
static void *poke(void *arg)
{
    sleep_ms(50);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    sleep_ms(50);
    if (write(g_pipe[1], "x", 1) != 1)
        abort();
    return NULL;
}

static void restart_of_calls(void)
{
    pthread_t self = pthread_self(), other;
    char c;
    CHECK(pipe(g_pipe) == 0);
    g_count = 0;
    install(SIGUSR1, count, 0);
    CHECK(pthread_create(&other, NULL, poke, &self) == 0);
    CHECK(read(g_pipe[0], &c, 1) == -1 && errno == EINTR && g_count == 1);
    CHECK(read(g_pipe[0], &c, 1) == 1 && c == 'x');
    pthread_join(other, NULL);
    install(SIGUSR1, count, SA_RESTART);
    CHECK(pthread_create(&other, NULL, poke, &self) == 0);
    CHECK(read(g_pipe[0], &c, 1) == 1 && c == 'x' && g_count == 2);
    pthread_join(other, NULL);
    struct timespec ts = {0, 200000000}, left = {9, 9};
    CHECK(pthread_create(&other, NULL, poke, &self) == 0);
    CHECK(nanosleep(&ts, &left) == -1 && errno == EINTR && left.tv_sec == 0 &&
          left.tv_nsec < 190000000);
    pthread_join(other, NULL);
    CHECK(read(g_pipe[0], &c, 1) == 1);
    close(g_pipe[0]), close(g_pipe[1]);
}

static void broken_pipe(void)
{
    int p[2];
    CHECK(pipe(p) == 0);
    close(p[0]);
    g_count = 0;
    install(SIGPIPE, count, 0);
    CHECK(write(p[1], "x", 1) == -1 && errno == EPIPE && g_count == 1);
    signal(SIGPIPE, SIG_IGN);
    CHECK(write(p[1], "x", 1) == -1 && errno == EPIPE);
    signal(SIGPIPE, SIG_DFL);
    close(p[1]);
}

static void child_signals(void)
{
    g_count = 0;
    install_info(SIGCHLD, keep_info, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(12);
    while (!g_count)
        sleep_ms(1);
    CHECK(g_info.si_code == CLD_EXITED && g_info.si_status == 12 && g_info.si_pid == pid);
    CHECK(waitpid(pid, NULL, 0) == pid);
    signal(SIGCHLD, SIG_DFL);
}

static volatile int g_spin_done;
static void stop_spinning(int sig)
{
    g_spin_done = 1;
}

static void *signal_main(void *arg)
{
    sleep_ms(30);
    pthread_kill(*(pthread_t *)arg, SIGURG);
    return NULL;
}

/* A thread that makes no system call still gets its signal. */
static void interrupts_computation(void)
{
    pthread_t self = pthread_self(), other;
    install(SIGURG, stop_spinning, SA_RESTART | SA_ONSTACK);
    CHECK(pthread_create(&other, NULL, signal_main, &self) == 0);
    while (!g_spin_done)
        __asm__ volatile("" ::: "memory");
    pthread_join(other, NULL);
    CHECK(g_spin_done == 1);
}

static void errors(void)
{
    CHECK(kill(999999, 0) == -1 && errno == ESRCH);
    CHECK(kill(getpid(), 65) == -1 && errno == EINVAL);
    CHECK(kill(getpid(), 0) == 0);
    CHECK(syscall(SYS_tgkill, getpid(), 999999, 0) == -1 && errno == ESRCH);
    CHECK(syscall(SYS_rt_sigprocmask, 77, &(sigset_t){0}, NULL, 8) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_rt_sigaction, SIGUSR1, (void *)8, NULL, 8) == -1 && errno == EFAULT);
}

static int queued_signals(void)
{
    char line[256];
    int n = -1, limit = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "SigQ: %d/%d", &n, &limit) == 2)
            break;
    if (f)
        fclose(f);
    return limit;
}

/* RLIMIT_SIGPENDING is of what carries something; an ordinary signal arrives all the same. */
static void without_room(void)
{
    struct rlimit none = {0, 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    CHECK(setrlimit(RLIMIT_SIGPENDING, &none) == 0);
    CHECK(queued_signals() == 0);
    CHECK(syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN) == -1 && errno == EAGAIN);
    CHECK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1}) == -1 && errno == EAGAIN);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    siginfo_t info;
    CHECK(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_pid == getpid());
    _exit(g_failed);
}

static void pending_limit(void)
{
    int status = in_child(without_room);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    RUN(raise_and_handle);
    RUN(masks);
    RUN(nesting);
    RUN(realtime);
    RUN(fault_context);
    RUN(other_faults);
    RUN(stack_overflow);
    RUN(vectors_survive);
    RUN(restart_of_calls);
    RUN(broken_pipe);
    RUN(child_signals);
    RUN(interrupts_computation);
    RUN(errors);
    RUN(pending_limit);
    return finish();
}
