/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent of a process in the foreground: passes signals on, relays its terminal, and waits for
 * its end. rune run and rune exec without --detach.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "container/private.h"

struct relay {
    char data[16384];
    size_t start, end;
};

struct foreground {
    sigset_t old_mask;
    int signal_fd;
    int master; /* -1 without a terminal */
    bool raw;   /* our stdin's settings were changed */
    struct termios saved;
    struct relay input, output;
    bool input_open;
    int watch; /* the caller's, -1: none */
    bool (*watch_ready)(void *ctx);
    void *watch_ctx;
};

struct foreground *foreground_new(struct error *err)
{
    struct foreground *fg = xcalloc(1, sizeof(*fg));
    fg->master = fg->watch = -1;
    sigset_t mask;
    sigfillset(&mask);
    /* Faults of rune itself must end it. */
    static const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < array_count(own); i++)
        sigdelset(&mask, own[i]);
    sigprocmask(SIG_BLOCK, &mask, &fg->old_mask);
    fg->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fg->signal_fd < 0) {
        error_errno(err, errno, "create a signal descriptor");
        sigprocmask(SIG_SETMASK, &fg->old_mask, NULL);
        free(fg);
        return NULL;
    }
    return fg;
}

void foreground_child(const struct foreground *fg)
{
    sigprocmask(SIG_SETMASK, &fg->old_mask, NULL);
}

static void copy_window_size(const struct foreground *fg)
{
    struct winsize size;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        ioctl(fg->master, TIOCSWINSZ, &size);
}

void foreground_watch(struct foreground *fg, int fd, bool (*ready)(void *ctx), void *ctx)
{
    fg->watch = fd;
    fg->watch_ready = ready;
    fg->watch_ctx = ctx;
}

int foreground_tty(struct foreground *fg, int master, struct error *err)
{
    fg->master = master;
    fd_set_nonblock(master, true);
    fg->input_open = true;
    if (tcgetattr(STDIN_FILENO, &fg->saved) < 0)
        return 0; /* stdin is no terminal: bytes are passed through all the same */
    copy_window_size(fg);
    struct termios raw = fg->saved;
    cfmakeraw(&raw);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
        return error_errno(err, errno, "set the terminal to raw mode");
    fg->raw = true;
    return 0;
}

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Reap whatever ended; true with *status when it was our process. */
static bool reap(pid_t pid, int *status)
{
    bool ours = false;
    for (;;) {
        int st;
        pid_t got = waitpid(-1, &st, WNOHANG);
        if (got <= 0)
            return ours;
        if (got == pid) {
            *status = exit_code(st);
            ours = true;
        }
    }
}

static bool handle_signals(struct foreground *fg, pid_t pid, int *status)
{
    struct signalfd_siginfo info;
    bool over = false;
    while (read(fg->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            over |= reap(pid, status);
            break;
        case SIGWINCH:
            if (fg->master >= 0)
                copy_window_size(fg);
            break;
        case SIGURG: /* used by language runtimes among themselves */
        case SIGPIPE:
        case SIGTTOU:
        case SIGTTIN:
            break;
        default:
            kill(pid, (int)info.ssi_signo);
        }
    }
    return over;
}

/* One step of copying; false at the end of the source. */
static bool fill(struct relay *relay, int fd)
{
    if (relay->start == relay->end)
        relay->start = relay->end = 0;
    ssize_t n = read(fd, relay->data + relay->end, sizeof(relay->data) - relay->end);
    if (n > 0)
        relay->end += (size_t)n;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool drain(struct relay *relay, int fd)
{
    while (relay->start < relay->end) {
        ssize_t n = write(fd, relay->data + relay->start, relay->end - relay->start);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        relay->start += (size_t)n;
    }
    return true;
}

static bool has_room(const struct relay *relay)
{
    return relay->end < sizeof(relay->data) || relay->start == relay->end;
}

/* What the process wrote last is still in the pty after its end. */
static void drain_terminal(struct foreground *fg)
{
    for (;;) {
        if (!drain(&fg->output, STDOUT_FILENO))
            return;
        struct pollfd p = {.fd = fg->master, .events = POLLIN};
        if (poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN) || !fill(&fg->output, fg->master))
            return;
    }
}

int foreground_wait(struct foreground *fg, pid_t pid, struct error *err)
{
    int status = -1;
    bool master_open = fg->master >= 0;
    /* It may have ended before the first signal could be seen here. */
    if (reap(pid, &status)) {
        if (master_open)
            drain_terminal(fg);
        return status;
    }
    for (;;) {
        struct relay *in = &fg->input, *out = &fg->output;
        struct pollfd fds[] = {
            {.fd = fg->signal_fd, .events = POLLIN},
            {.fd = master_open ? fg->master : -1,
             .events = (short)((has_room(out) ? POLLIN : 0) | (in->end > in->start ? POLLOUT : 0))},
            {.fd = master_open && fg->input_open && has_room(in) ? STDIN_FILENO : -1,
             .events = POLLIN},
            {.fd = out->end > out->start ? STDOUT_FILENO : -1, .events = POLLOUT},
            {.fd = fg->watch, .events = POLLIN},
        };
        if (poll(fds, array_count(fds), -1) < 0) {
            if (errno == EINTR)
                continue;
            return error_errno(err, errno, "poll");
        }
        if (fds[2].revents && !fill(in, STDIN_FILENO)) {
            fg->input_open = false;
            /* The end of a file given as stdin is end-of-file for the terminal as well. */
            if (has_room(in))
                in->data[in->end++] = 4;
        }
        if (fds[1].revents & POLLIN)
            master_open = fill(out, fg->master);
        else if (fds[1].revents & (POLLHUP | POLLERR))
            master_open = false;
        if (in->end > in->start && master_open)
            (void)drain(in, fg->master);
        if (fds[3].revents && !drain(out, STDOUT_FILENO))
            out->start = out->end = 0;
        if (fds[4].revents && fg->watch_ready(fg->watch_ctx))
            fg->watch = -1;
        if (fds[0].revents && handle_signals(fg, pid, &status)) {
            if (fg->master >= 0)
                drain_terminal(fg);
            return status;
        }
    }
}

void foreground_free(struct foreground *fg)
{
    if (fg->raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &fg->saved);
    if (fg->master >= 0)
        close(fg->master);
    close(fg->signal_fd);
    sigprocmask(SIG_SETMASK, &fg->old_mask, NULL);
    free(fg);
}
