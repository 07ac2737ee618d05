/* SPDX-License-Identifier: Apache-2.0 */
/* fork, vfork, clone, wait: statuses, copies of memory, orphans, groups, sessions. */
#include "check.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

extern char **environ;
static int g_value = 1;
static char g_big[300000];

static void exit_seven(void)
{
    _exit(7);
}

static void die_of_term(void)
{
    signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
}

static void die_of_abort(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    abort();
}

static void statuses(void)
{
    int s = in_child(exit_seven);
    CHECK(WIFEXITED(s) && WEXITSTATUS(s) == 7);
    s = in_child(die_of_term);
    CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGTERM);
    s = in_child(die_of_abort);
    CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGABRT);
    CHECK(waitpid(-1, &s, 0) == -1 && errno == ECHILD);
}

static void change_memory(void)
{
    CHECK(g_value == 1 && g_big[200000] == 'a');
    g_value = 2;
    memset(g_big, 'b', sizeof(g_big));
    _exit(g_value == 2 && g_big[200000] == 'b' ? 0 : 1);
}

static void memory_is_copied(void)
{
    memset(g_big, 'a', sizeof(g_big));
    for (int i = 0; i < 5; i++) {
        CHECK(in_child(change_memory) == 0);
        CHECK(g_value == 1 && g_big[200000] == 'a' && g_big[0] == 'a');
    }
}

/* Parent and children take turns on the same addresses. */
static void interleaved(void)
{
    int to[3][2], from[3][2];
    pid_t pids[3];
    for (int i = 0; i < 3; i++) {
        CHECK(pipe(to[i]) == 0 && pipe(from[i]) == 0);
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int n = 0; n < 20; n++) {
                char c;
                if (read(to[i][0], &c, 1) != 1)
                    _exit(1);
                g_value = g_value + c;
                g_big[i * 100000] = (char)g_value;
                if (write(from[i][1], &g_value, sizeof(g_value)) != sizeof(g_value))
                    _exit(2);
            }
            _exit(g_value == 1 + 20 * (i + 1) ? 0 : 3);
        }
    }
    for (int n = 0; n < 20; n++)
        for (int i = 0; i < 3; i++) {
            char c = (char)(i + 1);
            int v = 0;
            g_value = 1;
            CHECK(write(to[i][1], &c, 1) == 1);
            CHECK(read(from[i][0], &v, sizeof(v)) == sizeof(v));
            CHECK(v == 1 + (n + 1) * (i + 1) && g_value == 1);
        }
    for (int i = 0; i < 3; i++) {
        int s = -1;
        CHECK(waitpid(pids[i], &s, 0) == pids[i] && s == 0);
        close(to[i][0]), close(to[i][1]), close(from[i][0]), close(from[i][1]);
    }
}

/* Both compute without a system call. */
static void both_compute(void)
{
    pid_t pid = fork();
    volatile unsigned long x = 0;
    double end = now() + 0.2;
    while (now() < end)
        for (int i = 0; i < 10000; i++)
            x += (unsigned long)i;
    if (pid == 0)
        _exit(x ? 9 : 1);
    int s = -1;
    CHECK(waitpid(pid, &s, 0) == pid && WEXITSTATUS(s) == 9);
}

static void shared_memory(void)
{
    int *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    *p = 1;
    pid_t pid = fork();
    if (pid == 0) {
        *p = 42;
        _exit(0);
    }
    CHECK(waitpid(pid, NULL, 0) == pid && *p == 42);
    munmap(p, 4096);
}

static void vfork_waits(void)
{
    volatile int shared = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        shared = 5;
        _exit(3);
    }
    int s = -1;
    CHECK(shared == 5);
    CHECK(waitpid(pid, &s, 0) == pid && WEXITSTATUS(s) == 3);
}

static void nested_forks(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        g_value = 10;
        pid_t grandchild = fork();
        if (grandchild == 0) {
            g_value = 100;
            _exit(g_value == 100 && getppid() > 0 ? 0 : 1);
        }
        int s = -1;
        if (waitpid(grandchild, &s, 0) != grandchild || s != 0 || g_value != 10)
            _exit(1);
        _exit(0);
    }
    int s = -1;
    CHECK(waitpid(pid, &s, 0) == pid && s == 0 && g_value == 1);
}

static void orphans(void)
{
    int p[2];
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    CHECK(pipe(p) == 0);
    pid_t me = getpid(), pid = fork();
    if (pid == 0) {
        if (fork() == 0) {
            pid_t first = getppid(), parent;
            while ((parent = getppid()) == first && first != me)
                sleep_ms(2);
            if (write(p[1], &parent, sizeof(parent)) < 0)
                _exit(1);
            _exit(11);
        }
        _exit(0);
    }
    CHECK(waitpid(pid, NULL, 0) == pid);
    pid_t heir = 0;
    CHECK(read(p[0], &heir, sizeof(heir)) == sizeof(heir) && heir == me);
    int s = -1;
    CHECK(waitpid(-1, &s, 0) > 0 && WEXITSTATUS(s) == 11);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    close(p[0]), close(p[1]);
}

static void groups_and_sessions(void)
{
    int p[2];
    char c;
    CHECK(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[1]);
        if (read(p[0], &c, 1) != 0)
            _exit(1);
        if (getpgrp() != getpid())
            _exit(2);
        if (setsid() != -1 || errno != EPERM)
            _exit(3);
        _exit(0);
    }
    CHECK(setpgid(pid, pid) == 0);
    CHECK(getpgid(pid) == pid);
    CHECK(setpgid(pid, 999999) == -1 && errno == EPERM);
    close(p[0]), close(p[1]);
    int s = -1;
    CHECK(waitpid(-pid, &s, 0) == pid && s == 0);
    pid = fork();
    if (pid == 0) {
        if (setsid() != getpid() || getsid(0) != getpid() || getpgrp() != getpid())
            _exit(1);
        _exit(0);
    }
    CHECK(waitpid(pid, &s, 0) == pid && s == 0);
    CHECK(getpgid(999999) == -1 && errno == ESRCH);
}

static void wait_options(void)
{
    siginfo_t info;
    pid_t pid = fork();
    if (pid == 0) {
        sleep_ms(50);
        _exit(4);
    }
    int s = -1;
    CHECK(waitpid(pid, &s, WNOHANG) == 0);
    memset(&info, 0, sizeof(info));
    CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    CHECK(info.si_pid == pid && info.si_code == CLD_EXITED && info.si_status == 4 &&
          info.si_signo == SIGCHLD);
    CHECK(kill(pid, 0) == 0);
    struct rusage u;
    CHECK(wait4(pid, &s, 0, &u) == pid && WEXITSTATUS(s) == 4);
    CHECK(kill(pid, 0) == -1 && errno == ESRCH);
    CHECK(waitid(P_ALL, 0, &info, WEXITED) == -1 && errno == ECHILD);
    CHECK(waitpid(pid, &s, 0x4000) == -1 && errno == EINVAL);
}

static void ignored_children(void)
{
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0)
        _exit(5);
    CHECK(waitpid(pid, NULL, 0) == -1 && errno == ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

static int clone_main(void *arg)
{
    *(int *)arg = 77;
    return 6;
}

static void clone_shares_memory(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    int value = 0, s = -1;
    pid_t pid = clone(clone_main, stack + sizeof(stack), CLONE_VM | SIGCHLD, &value);
    CHECK(pid > 0 && waitpid(pid, &s, 0) == pid && WEXITSTATUS(s) == 6 && value == 77);
    pid = clone(clone_main, stack + sizeof(stack), CLONE_VM, &value);
    CHECK(pid > 0 && waitpid(pid, &s, 0) == -1 && errno == ECHILD);
    CHECK(waitpid(pid, &s, __WALL) == pid && WEXITSTATUS(s) == 6);
    CHECK(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0) == -1 && errno == EINVAL);
}

static void child_tid(void)
{
    pid_t tid = 0, parent_tid = 0;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_CHILD_SETTID | CLONE_PARENT_SETTID | SIGCHLD, 0,
                               &parent_tid, &tid, 0);
    if (pid == 0)
        _exit(tid == getpid() ? 0 : 1);
    int s = -1;
    CHECK(waitpid(pid, &s, 0) == pid && s == 0 && tid == 0 && parent_tid == pid);
}

static void many(void)
{
    int sum = 0;
    for (int i = 0; i < 30; i++)
        if (fork() == 0)
            _exit(i);
    for (int i = 0; i < 30; i++) {
        int s = -1;
        CHECK(wait(&s) > 0 && WIFEXITED(s));
        sum += WEXITSTATUS(s);
    }
    CHECK(sum == 435);
}

static void killed(void)
{
    int s = -1;
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, &s, 0) == pid && WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL);
    pid = fork();
    if (pid == 0)
        for (;;)
            __asm__ volatile("" ::: "memory");
    sleep_ms(20);
    CHECK(kill(pid, SIGTERM) == 0);
    CHECK(waitpid(pid, &s, 0) == pid && WIFSIGNALED(s) && WTERMSIG(s) == SIGTERM);
}

static void names_and_flags(void)
{
    char name[17] = {0};
    CHECK(prctl(PR_SET_NAME, "a-very-long-name-for-this") == 0);
    CHECK(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "a-very-long-nam") == 0);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    int sig = -1;
    CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0 && prctl(PR_GET_PDEATHSIG, &sig) == 0 &&
          sig == SIGUSR1);
    CHECK(prctl(PR_SET_PDEATHSIG, 0) == 0);
}

/* Before there was pidfd_open(), a directory of /proc named the process. */
static void signal_by_directory(void)
{
    char name[32];
    int s = -1;
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    snprintf(name, sizeof(name), "/proc/%d", (int)pid);
    int fd = open(name, O_DIRECTORY | O_RDONLY);
    CHECK(fd >= 0 && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0);
    CHECK(waitpid(pid, &s, 0) == pid && WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL);
    CHECK(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == -1 && errno == ESRCH);
    CHECK(syscall(SYS_pidfd_send_signal, 0, SIGKILL, NULL, 0) == -1 && errno == EBADF);
    close(fd);
}

static void affinity_in_child(void)
{
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1);
}

static void affinity(void)
{
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof(all), &all) == 0 && CPU_COUNT(&all) >= 1);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
    CHECK(in_child(affinity_in_child) == 0);
    CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
    CPU_ZERO(&one);
    CHECK(sched_setaffinity(0, sizeof(one), &one) == -1 && errno == EINVAL);
    CHECK(sched_getaffinity(-1, sizeof(one), &one) == -1 && errno == ESRCH);
}

static void burn(void)
{
    for (;;)
        __asm__ volatile("" ::: "memory");
}

static void burn_with_limit(void)
{
    setrlimit(RLIMIT_CPU, &(struct rlimit){1, RLIM_INFINITY});
    burn();
}

static void burn_to_the_end(void)
{
    signal(SIGXCPU, SIG_IGN);
    setrlimit(RLIMIT_CPU, &(struct rlimit){1, 2});
    burn();
}

/* Sleeping does not count. */
static void sleep_with_limit(void)
{
    setrlimit(RLIMIT_CPU, &(struct rlimit){1, 1});
    sleep_ms(1200);
}

static void cpu_limit(void)
{
    int s = in_child(burn_with_limit);
    CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGXCPU);
    s = in_child(burn_to_the_end);
    CHECK(WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL);
    CHECK(in_child(sleep_with_limit) == 0);
}

int main(void)
{
    RUN(statuses);
    RUN(memory_is_copied);
    RUN(interleaved);
    RUN(both_compute);
    RUN(shared_memory);
    RUN(vfork_waits);
    RUN(nested_forks);
    RUN(orphans);
    RUN(groups_and_sessions);
    RUN(wait_options);
    RUN(ignored_children);
    RUN(clone_shares_memory);
    RUN(child_tid);
    RUN(many);
    RUN(killed);
    RUN(names_and_flags);
    RUN(signal_by_directory);
    RUN(affinity);
    RUN(cpu_limit);
    return finish();
}
