/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp: strict mode and filters of a program's own. */
#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ON_CALL(number, action) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, (action))
#define RETURN(action)       BPF_STMT(BPF_RET | BPF_K, (action))
#define INSTALL(code, flags) install(code, sizeof(code) / sizeof(code[0]), flags)

static long install(struct sock_filter *code, unsigned short count, unsigned flags)
{
    struct sock_fprog prog = {count, code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

/* getppid() of the C library takes no error for possible. */
static long parent(void)
{
    return syscall(SYS_getppid);
}

static long refuse_getppid(unsigned flags)
{
    struct sock_filter code[] = {LOAD(arch),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
                                 RETURN(SECCOMP_RET_KILL_PROCESS),
                                 LOAD(nr),
                                 ON_CALL(SYS_getppid, SECCOMP_RET_ERRNO | 77),
                                 RETURN(SECCOMP_RET_ALLOW)};
    return INSTALL(code, flags);
}

static void wrong_programs(void)
{
    struct sock_filter no_end[] = {LOAD(nr)},
                       outside[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RETURN(0)},
                       crooked[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RETURN(0)},
                       far[] = {BPF_JUMP(BPF_JMP | BPF_JA, 5, 0, 0), RETURN(0)},
                       packet[] = {BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0), RETURN(0)},
                       memory[] = {BPF_STMT(BPF_ST, 16), RETURN(0)},
                       zero[] = {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RETURN(0)};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(INSTALL(no_end, 0) == -1 && errno == EINVAL);
    CHECK(INSTALL(outside, 0) == -1 && errno == EINVAL);
    CHECK(INSTALL(crooked, 0) == -1 && errno == EINVAL);
    CHECK(INSTALL(far, 0) == -1 && errno == EINVAL);
    CHECK(INSTALL(packet, 0) == -1 && errno == EINVAL);
    CHECK(INSTALL(memory, 0) == -1 && errno == EINVAL);
    CHECK(INSTALL(zero, 0) == -1 && errno == EINVAL);
    CHECK(install(no_end, 0, 0) == -1 && errno == EINVAL);
    CHECK(install(NULL, 1, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_seccomp, 99, 0, NULL) == -1 && errno == EINVAL);
    CHECK(prctl(PR_GET_SECCOMP) == 0);
}

static void needs_a_right(void)
{
    CHECK(setgid(1000) == 0 && setuid(1000) == 0);
    CHECK(refuse_getppid(0) == -1 && errno == EACCES);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(refuse_getppid(0) == 0 && parent() == -1 && errno == 77);
}

/* The arithmetic: the result is only right when every operation is. */
static void arithmetic(void)
{
    struct sock_filter code[] = {
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 1, 0),
        RETURN(SECCOMP_RET_ALLOW),
        LOAD(args[0]),                              /* a = n */
        BPF_STMT(BPF_ST, 3),                        /* m[3] = n */
        BPF_STMT(BPF_LDX | BPF_MEM, 3),             /* x = n */
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_X, 0),     /* n * n */
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 6),     /* + 6 */
        BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 2),     /* / 2 */
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 0x30),  /* ^ 0x30 */
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2),     /* << 2 */
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1),     /* >> 1 */
        BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),     /* - n */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff), /* & 0xfff */
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    CHECK(INSTALL(code, 0) == 0);
    for (unsigned n = 0; n < 40; n++) {
        unsigned want = (((((n * n + 6) / 2) ^ 0x30) << 2 >> 1) - n) & 0xfff;
        errno = 0;
        long r = syscall(SYS_getpgid, n);
        CHECK(want == 0 ? r == 0 : want > 4095 ? 1 : r == -1 && errno == (int)want);
    }
}

/* The most severe answer of all filters counts; children and programs have them too. */
static void chains(void)
{
    struct sock_filter milder[] = {LOAD(nr), ON_CALL(SYS_getppid, SECCOMP_RET_ALLOW),
                                   ON_CALL(SYS_getpgrp, SECCOMP_RET_ERRNO | 5),
                                   RETURN(SECCOMP_RET_LOG)};
    char status[4096] = "";
    CHECK(refuse_getppid(0) == 0 && INSTALL(milder, 0) == 0);
    CHECK(parent() == -1 && errno == 77);
    CHECK(syscall(SYS_getpgrp) == -1 && errno == 5);
    CHECK(prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER);
    FILE *f = fopen("/proc/self/status", "r");
    fread(status, 1, sizeof(status) - 1, f);
    fclose(f);
    CHECK(strstr(status, "Seccomp:\t2\n") != NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(parent() == -1 && errno == 77 ? 7 : 1);
    int s;
    CHECK(waitpid(pid, &s, 0) == pid && WEXITSTATUS(s) == 7);
}

static volatile sig_atomic_t g_trapped;
static int g_number, g_data;
static unsigned g_arch;

static void on_sys(int sig, siginfo_t *info, void *context)
{
    g_trapped = info->si_code;
    g_number = info->si_syscall;
    g_arch = info->si_arch;
    g_data = info->si_errno;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 4242;
}

static void traps(void)
{
    struct sock_filter code[] = {LOAD(nr), ON_CALL(SYS_getppid, SECCOMP_RET_TRAP | 9),
                                 RETURN(SECCOMP_RET_ALLOW)};
    struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSYS, &sa, NULL) == 0 && INSTALL(code, 0) == 0);
    CHECK(parent() == 4242);
    CHECK(g_trapped == 1 && g_number == SYS_getppid && g_arch == AUDIT_ARCH_X86_64 && g_data == 9);
    signal(SIGSYS, SIG_DFL);
    parent();
    CHECK(!"a trap without a handler ends the process");
}

static void kills_process(void)
{
    struct sock_filter code[] = {LOAD(nr), ON_CALL(SYS_getppid, SECCOMP_RET_KILL_PROCESS),
                                 RETURN(SECCOMP_RET_ALLOW)};
    CHECK(INSTALL(code, 0) == 0);
    parent();
    CHECK(!"it is gone");
}

static volatile int g_tid;

static void *ask_parent(void *arg)
{
    g_tid = (int)syscall(SYS_gettid);
    parent();
    return (void *)1;
}

static void kills_thread(void)
{
    struct sock_filter code[] = {LOAD(nr), ON_CALL(SYS_getppid, SECCOMP_RET_KILL_THREAD),
                                 RETURN(SECCOMP_RET_ALLOW)};
    pthread_t t;
    CHECK(INSTALL(code, 0) == 0);
    CHECK(pthread_create(&t, NULL, ask_parent, NULL) == 0);
    while (!g_tid || syscall(SYS_tgkill, getpid(), g_tid, 0) == 0)
        sleep_ms(1);
    _exit(3); /* the process goes on */
}

static int g_pipe[2], g_pipe_back[2];

static void *wait_and_ask(void *arg)
{
    char c;
    write(g_pipe_back[1], "r", 1);
    read(g_pipe[0], &c, 1);
    return (void *)(long)(parent() == -1 && errno == 77);
}

static void all_threads(void)
{
    pthread_t t;
    void *result;
    char c;
    CHECK(pipe(g_pipe) == 0 && pipe(g_pipe_back) == 0);
    CHECK(pthread_create(&t, NULL, wait_and_ask, NULL) == 0);
    CHECK(read(g_pipe_back[0], &c, 1) == 1);
    CHECK(refuse_getppid(SECCOMP_FILTER_FLAG_TSYNC) == 0);
    CHECK(write(g_pipe[1], "g", 1) == 1);
    CHECK(pthread_join(t, &result) == 0 && result == (void *)1);
}

static void strict(void)
{
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    write(1, "", 0);
    syscall(SYS_getpid);
    syscall(SYS_exit, 1);
}

static void filters(void)
{
    int s;
    CHECK(in_child(wrong_programs) == 0);
    CHECK(in_child(needs_a_right) == 0);
    CHECK(in_child(arithmetic) == 0);
    CHECK(in_child(chains) == 0);
    s = in_child(traps);
    CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGSYS);
    s = in_child(kills_process);
    CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGSYS);
    s = in_child(kills_thread);
    CHECK(WIFEXITED(s) && WEXITSTATUS(s) == 3);
    CHECK(in_child(all_threads) == 0);
    s = in_child(strict);
    CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL);
    CHECK(parent() >= 0);
}

int main(void)
{
    unsigned action = SECCOMP_RET_ERRNO, unknown = 0x12340000;
    CHECK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &unknown) == -1 && errno == EOPNOTSUPP);
    RUN(filters);
    return finish();
}
