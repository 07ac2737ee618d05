/* SPDX-License-Identifier: Apache-2.0 */
/* ptrace(2): stops, memory, registers, system calls, single steps, events and ends. */
#include "check.h"
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <elf.h>

static volatile long g_word = 11;

static pid_t traced(void (*fn)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
            _exit(99);
        raise(SIGSTOP);
        fn();
        _exit(7);
    }
    return pid;
}

static int next_status(pid_t pid)
{
    int status = -1;
    CHECK(waitpid(pid, &status, __WALL) == pid);
    return status;
}

static int stops_by(pid_t pid, int sig)
{
    int status = next_status(pid);
    return WIFSTOPPED(status) && WSTOPSIG(status) == sig;
}

static void finish_child(pid_t pid, int code)
{
    CHECK(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
    int status = next_status(pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static void ends_with_word(void)
{
    _exit((int)g_word);
}

static void memory_is_read_and_written(void)
{
    pid_t pid = traced(ends_with_word);
    CHECK(stops_by(pid, SIGSTOP));
    errno = 0;
    CHECK(ptrace(PTRACE_PEEKDATA, pid, &g_word, 0) == 11 && errno == 0);
    CHECK(ptrace(PTRACE_POKEDATA, pid, &g_word, 42L) == 0);
    CHECK(ptrace(PTRACE_PEEKDATA, pid, 8, 0) == -1 && errno == EIO);
    CHECK(g_word == 11);
    finish_child(pid, 42);
}

static void calls_getppid(void)
{
    _exit(syscall(SYS_getppid) == 12345 ? 5 : 6);
}

static void calls_stop_twice_and_results_change(void)
{
    struct user_regs_struct regs;
    pid_t pid = traced(calls_getppid);
    CHECK(stops_by(pid, SIGSTOP));
    CHECK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD) == 0);
    for (int inside = 0, n = 0; n < 50; n++) {
        CHECK(ptrace(PTRACE_SYSCALL, pid, 0, 0) == 0);
        if (!stops_by(pid, SIGTRAP | 0x80))
            break;
        struct __ptrace_syscall_info info;
        CHECK(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
        CHECK(info.op == (inside ? PTRACE_SYSCALL_INFO_EXIT : PTRACE_SYSCALL_INFO_ENTRY));
        CHECK(ptrace(PTRACE_GETREGS, pid, 0, &regs) == 0);
        if (inside && regs.orig_rax == SYS_getppid) {
            regs.rax = 12345;
            CHECK(ptrace(PTRACE_SETREGS, pid, 0, &regs) == 0);
            break;
        }
        inside = !inside;
    }
    finish_child(pid, 5);
}

static void gets_usr1(void)
{
    signal(SIGUSR1, SIG_DFL);
    raise(SIGUSR1);
}

static void signals_are_taken_away(void)
{
    siginfo_t info;
    pid_t pid = traced(gets_usr1);
    CHECK(stops_by(pid, SIGSTOP));
    CHECK(ptrace(PTRACE_CONT, pid, 0, 0) == 0 && stops_by(pid, SIGUSR1));
    CHECK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info) == 0 && info.si_signo == SIGUSR1);
    finish_child(pid, 7);
}

static void adds(void)
{
    long n = 0;
    for (int i = 0; i < 3; i++)
        __asm__ volatile("call 1f; jmp 2f; 1: addq $1, %0; ret; 2:" : "+r"(n));
    _exit((int)n);
}

static void steps_are_single(void)
{
    struct user_regs_struct a, b;
    long moved = 0;
    pid_t pid = traced(adds);
    CHECK(stops_by(pid, SIGSTOP));
    for (int n = 0; n < 20; n++) {
        CHECK(ptrace(PTRACE_GETREGS, pid, 0, &a) == 0);
        CHECK(ptrace(PTRACE_SINGLESTEP, pid, 0, 0) == 0);
        if (!stops_by(pid, SIGTRAP))
            break;
        CHECK(ptrace(PTRACE_GETREGS, pid, 0, &b) == 0);
        moved += a.rip != b.rip;
    }
    CHECK(moved >= 18);
    finish_child(pid, 3);
}

static void forks_too(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(1);
    waitpid(pid, &status, 0);
    _exit(WEXITSTATUS(status) + 1);
}

static void forks_are_followed(void)
{
    unsigned long child = 0;
    pid_t pid = traced(forks_too);
    CHECK(stops_by(pid, SIGSTOP));
    CHECK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE) == 0);
    CHECK(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
    int status = next_status(pid);
    CHECK(status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8) ||
          status >> 8 == (SIGTRAP | PTRACE_EVENT_CLONE << 8));
    CHECK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &child) == 0 && child > 0);
    CHECK(stops_by((pid_t)child, SIGSTOP));
    CHECK(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
    finish_child((pid_t)child, 1);
    CHECK(stops_by(pid, SIGCHLD));
    finish_child(pid, 2);
}

static void waits(void)
{
    for (;;)
        pause();
}

static void seize_interrupt_detach(void)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        waits();
    CHECK(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0);
    CHECK(ptrace(PTRACE_SEIZE, pid, 0, 0) == -1 && errno == EPERM);
    CHECK(ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0);
    status = next_status(pid);
    CHECK(status >> 8 == (SIGTRAP | PTRACE_EVENT_STOP << 8));
    CHECK(ptrace(PTRACE_DETACH, pid, 0, 0) == 0);
    CHECK(ptrace(PTRACE_CONT, pid, 0, 0) == -1 && errno == ESRCH);
    CHECK(kill(pid, SIGKILL) == 0);
    status = next_status(pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void tracer_leaves(void)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        waits();
    pid_t tracer = fork();
    if (tracer == 0) { /* no descendant: refused, unless it has the right of it */
        _exit(ptrace(PTRACE_ATTACH, pid, 0, 0) == 0 && waitpid(pid, &status, __WALL) == pid ? 0
                                                                                            : 1);
    }
    CHECK(waitpid(tracer, &status, 0) == tracer && WIFEXITED(status));
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

static void kill_ends_a_stopped_one(void)
{
    pid_t pid = traced(waits);
    CHECK(stops_by(pid, SIGSTOP) && kill(pid, SIGKILL) == 0);
    int status = next_status(pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(void)
{
    RUN(memory_is_read_and_written);
    RUN(calls_stop_twice_and_results_change);
    RUN(signals_are_taken_away);
    RUN(steps_are_single);
    RUN(forks_are_followed);
    RUN(seize_interrupt_detach);
    RUN(tracer_leaves);
    RUN(kill_ends_a_stopped_one);
    return finish();
}
