/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "gramine.h"

#define EXIT_NO_EXEC 126

/* What follows runs between fork and exec in a process with threads: system calls only. */

/* rune's process keeps the session of its terminal; the program has the foreground. */
static int take_terminal(bool terminal)
{
    if (!terminal)
        return setsid() < 0 ? -1 : 0;
    if (setpgid(0, 0) < 0)
        return -1;
    if (tcsetpgrp(STDIN_FILENO, getpid()) == 0) /* SIGTTOU is blocked */
        return 0;
    return setsid() < 0 || ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0 ? -1 : 0;
}

static int set_limits(const struct pal_process_args_v4 *args)
{
    if (!(args->flags & PAL_PROCESS_HAS_LIMITS))
        return 0;
    for (int i = 0; i < PAL_RLIMIT_COUNT; i++) {
        const struct rlimit limit = {args->rlimits[i].soft, args->rlimits[i].hard};
        if (setrlimit(i, &limit) < 0)
            return -1;
    }
    return 0;
}

static int prepare(const struct pal_process_args_v4 *args, int kept_fd)
{
    for (int i = 0; i < 3; i++)
        if (dup2(args->stdio[i], i) < 0 || fcntl(i, F_SETFD, 0) < 0)
            return -1;
    if (kept_fd >= 0 && fcntl(kept_fd, F_SETFD, 0) < 0)
        return -1;
    umask(args->umask);
    if (take_terminal(args->flags & PAL_PROCESS_TERMINAL) < 0 || set_limits(args) < 0)
        return -1;
    return args->cwd ? chdir(args->cwd) : 0;
}

/* Handlers go with the exec; what rune ignores would not. */
static void default_signals(void)
{
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++)
        if (sig != SIGKILL && sig != SIGSTOP)
            sigaction(sig, &by_default, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(const struct pal_process_args_v4 *args, char *const *argv,
                             char *const *env, int kept_fd, int gate, int answer)
{
    static const char text[] = "rune: Gramine's loader cannot be executed\n";
    char byte;
    int code = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (prepare(args, kept_fd) < 0)
        code = errno;
    if (write(answer, &code, sizeof(code)) != sizeof(code) || code != 0)
        _exit(EXIT_NO_EXEC);
    close(answer);
    ssize_t n;
    while ((n = read(gate, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (n != 1)
        _exit(EXIT_NO_EXEC);
    default_signals();
    execve(argv[0], argv, env);
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(EXIT_NO_EXEC);
    _exit(EXIT_NO_EXEC);
}

/* ---- the parent's side ---- */

int gramine_process_fork(const struct pal_process_args_v4 *args, char *const *argv,
                         char *const *env, int kept_fd, struct gramine_process *out)
{
    int gate[2], answer[2], code = 0;
    if (pipe2(gate, O_CLOEXEC) < 0)
        return -errno;
    cleanup_close int gate_read = gate[0], gate_write = gate[1];
    if (pipe2(answer, O_CLOEXEC) < 0)
        return -errno;
    cleanup_close int answer_read = answer[0], answer_write = answer[1];
    const pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        close(gate_write);
        become(args, argv, env, kept_fd, gate_read, answer_write);
    }
    close_and_reset(&answer_write);
    if (read(answer_read, &code, sizeof(code)) != sizeof(code))
        code = EIO;
    *out = (struct gramine_process){.pid = pid, .gate = take_fd(gate_write)};
    return -code;
}
