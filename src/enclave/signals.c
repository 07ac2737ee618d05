/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"

/*
 * What an enclave runtime's threads cannot block, because their exceptions arrive as these: one
 * that is sent may go to any of them, past the signalfd. A runtime that installs handlers of its
 * own calls ours for what was sent.
 */
static const int g_fault_signals[] = {SIGILL, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGTRAP};
static int g_sent_fault_pipe = -1; /* write end, for the handler */

/*
 * A fault of our own ends us as it would have; one that somebody sent is a signal like any other.
 * So is a real-time signal, which this process blocks, but a runtime's threads may not: they use
 * some among themselves.
 */
static void fault_handler(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code <= 0 && info->si_code != SI_TKILL) {
        if (write(g_sent_fault_pipe, &sig, sizeof(sig)) < 0) {
            /* The pipe is full of such signals: one more or less makes no difference. */
        }
    } else {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(sig, &action, NULL); /* the instruction is run again and ends the process */
        if (info->si_code == SI_TKILL)
            raise(sig);
    }
    errno = saved;
}

int signals_open(int *signal_fd, int *sent_fault_fd, struct error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_errno(err, errno, "signals: pipe");
    *sent_fault_fd = fds[0];
    g_sent_fault_pipe = fds[1];

    sigset_t set;
    struct sigaction action = {.sa_sigaction = fault_handler,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigfillset(&set);
    for (size_t i = 0; i < array_count(g_fault_signals); i++) {
        sigaction(g_fault_signals[i], &action, NULL);
        sigdelset(&set, g_fault_signals[i]);
    }
    for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
        sigaction(sig, &action, NULL);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return error_errno(err, errno, "signals: block");
    *signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (*signal_fd < 0)
        return error_errno(err, errno, "signals: signalfd");
    return 0;
}

bool signal_from_terminal(const struct signalfd_siginfo *info)
{
    switch (info->ssi_signo) {
    case SIGINT:
    case SIGQUIT:
    case SIGTSTP:
    case SIGWINCH:
        return info->ssi_code == SI_KERNEL;
    default:
        return false;
    }
}

bool signal_is_own(const struct signalfd_siginfo *info)
{
    if (info->ssi_signo == SIGCHLD)
        return info->ssi_code != SI_USER;
    return info->ssi_code <= 0 && info->ssi_pid == (uint32_t)getpid();
}

bool signal_ends_process(int sig)
{
    switch (sig) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return false;
    default:
        return true;
    }
}

void signal_die(int sig)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(sig, &action, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    kill(getpid(), sig);
}
