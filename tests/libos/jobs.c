/* SPDX-License-Identifier: Apache-2.0 */
/* Job control: stop, continue, and what the parent hears of it. */
#include "check.h"
#include <signal.h>
#include <sys/mman.h>

static volatile sig_atomic_t g_children, g_code;
static volatile int *g_shared;

static void on_child(int sig, siginfo_t *info, void *context)
{
    g_children++;
    g_code = info->si_code;
}

static void install(int flags)
{
    struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_RESTART | flags};
    sa.sa_sigaction = on_child;
    sigaction(SIGCHLD, &sa, NULL);
}

static pid_t counter_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;) {
            (*g_shared)++;
            sleep_ms(1);
        }
    return pid;
}

static void stop_and_continue(void)
{
    int s = -1;
    install(0);
    g_children = 0;
    pid_t pid = counter_process();
    sleep_ms(20);
    CHECK(kill(pid, SIGSTOP) == 0);
    CHECK(waitpid(pid, &s, WUNTRACED) == pid && WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP);
    CHECK(g_children == 1 && g_code == CLD_STOPPED);
    CHECK(waitpid(pid, &s, WUNTRACED | WNOHANG) == 0);
    sleep_ms(10);
    int before = *g_shared;
    sleep_ms(30);
    CHECK(*g_shared == before);
    CHECK(kill(pid, SIGCONT) == 0);
    CHECK(waitpid(pid, &s, WCONTINUED) == pid && WIFCONTINUED(s));
    for (int i = 0; i < 200 && *g_shared == before; i++)
        sleep_ms(5);
    CHECK(*g_shared > before);
    CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &s, WUNTRACED) == pid);
    CHECK(kill(pid, SIGTERM) == 0);
    sleep_ms(20);
    CHECK(waitpid(pid, &s, WNOHANG) == 0);
    CHECK(kill(pid, SIGCONT) == 0 && waitpid(pid, &s, 0) == pid && WTERMSIG(s) == SIGTERM);
}

static void kill_while_stopped(void)
{
    int s = -1;
    pid_t pid = counter_process();
    CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &s, WUNTRACED) == pid);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &s, 0) == pid && WTERMSIG(s) == SIGKILL);
}

static void no_stop_signals(void)
{
    int s = -1;
    install(SA_NOCLDSTOP);
    g_children = 0;
    pid_t pid = counter_process();
    CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &s, WUNTRACED) == pid && g_children == 0);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &s, 0) == pid && g_children == 1);
}

static void on_cont(int sig)
{
    *g_shared = 1000000;
}

static void handled_stop(void)
{
    int s = -1;
    *g_shared = 0;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGTSTP, SIG_IGN);
        signal(SIGCONT, on_cont);
        *g_shared = 1;
        for (;;)
            pause();
    }
    while (*g_shared == 0)
        sleep_ms(1);
    CHECK(kill(pid, SIGTSTP) == 0);
    sleep_ms(20);
    CHECK(waitpid(pid, &s, WUNTRACED | WNOHANG) == 0);
    CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &s, WUNTRACED) == pid);
    CHECK(kill(pid, SIGCONT) == 0);
    for (int i = 0; i < 400 && *g_shared != 1000000; i++)
        sleep_ms(5);
    CHECK(*g_shared == 1000000);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &s, 0) == pid);
}

/* A group of the same session whose parent is outside it can be stopped from the keyboard. */
static void group_stop(void)
{
    int s = -1;
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            pause();
    }
    CHECK(setpgid(pid, pid) == 0);
    sleep_ms(10);
    CHECK(kill(-pid, SIGTSTP) == 0);
    CHECK(waitpid(pid, &s, WUNTRACED) == pid && WIFSTOPPED(s) && WSTOPSIG(s) == SIGTSTP);
    CHECK(killpg(pid, SIGKILL) == 0 && waitpid(pid, &s, 0) == pid);
}

int main(void)
{
    g_shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    RUN(stop_and_continue);
    RUN(kill_while_stopped);
    RUN(no_stop_signals);
    RUN(handled_stop);
    RUN(group_stop);
    return finish();
}
