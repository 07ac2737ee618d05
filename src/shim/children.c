/* SPDX-License-Identifier: Apache-2.0 */
/* Starting programs, and whose end a SIGCHLD tells of. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "shim/shim.h"

/* An end that came before its process was known: rune's pid file is read when rune has ended. */
struct exit_note {
    pid_t pid;
    int status;
    struct exit_note *next;
};

/* In the child. Descriptors are moved out of the way first: one may have another's number. */
static int place_descriptors(const struct child_setup *setup)
{
    int moved[array_count(setup->fds)];
    for (size_t i = 0; i < setup->fd_count; i++) {
        moved[i] = setup->fds[i];
        if (i <= STDERR_FILENO && moved[i] < 0)
            moved[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (moved[i] >= 0)
            moved[i] = fcntl(moved[i], F_DUPFD_CLOEXEC, (int)array_count(setup->fds));
        if ((i <= STDERR_FILENO || setup->fds[i] >= 0) && moved[i] < 0)
            return -1;
    }
    for (size_t i = 0; i < setup->fd_count; i++)
        if (moved[i] >= 0 && dup2(moved[i], (int)i) < 0)
            return -1;
    return 0;
}

static _Noreturn void child_main(const struct child_setup *setup, pid_t parent, int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent &&
        place_descriptors(setup) == 0) {
        for (const char *const *entry = setup->env; entry && *entry; entry++)
            putenv((char *)*entry);
        execvp(setup->argv[0], (char *const *)setup->argv);
    }
    int code = errno;
    (void)!write(report, &code, sizeof(code));
    _exit(127);
}

int child_run(struct shim *shim, struct child *child, const struct child_setup *setup,
              struct error *err)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0)
        return error_errno(err, errno, "create a pipe");
    cleanup_close int read_end = report[0], write_end = report[1];
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "fork");
    if (pid == 0) {
        /* What reports must be above the descriptors that are put in place. */
        int high = fcntl(write_end, F_DUPFD_CLOEXEC, 2 * (int)array_count(setup->fds));
        child_main(setup, self, high);
    }
    close_and_reset(&write_end);
    int code = 0;
    /* The end of the file comes with the execve(). */
    if (read_exact(read_end, &code, sizeof(code)) == 0) {
        waitpid(pid, NULL, 0);
        return error_errno(err, code, "start %s", setup->argv[0]);
    }
    child->shim = shim;
    child->pid = pid;
    child->next = shim->children;
    shim->children = child;
    return 0;
}

static struct child *take_child(struct shim *shim, pid_t pid)
{
    for (struct child **slot = &shim->children; *slot; slot = &(*slot)->next) {
        if ((*slot)->pid == pid) {
            struct child *child = *slot;
            *slot = child->next;
            return child;
        }
    }
    return NULL;
}

static struct process *process_of(struct shim *shim, pid_t pid)
{
    for (struct container *container = shim->containers; container; container = container->next) {
        if (container->init.pid == pid && container->init.status != TASK__STATUS__STOPPED)
            return &container->init;
        for (struct process *process = container->execs; process; process = process->next)
            if (process->pid == pid && process->status != TASK__STATUS__STOPPED)
                return process;
    }
    return NULL;
}

static void told(struct shim *shim, pid_t pid, int status)
{
    struct child *child = take_child(shim, pid);
    if (child) {
        child->ended(child, status);
        return;
    }
    struct process *process = process_of(shim, pid);
    if (process) {
        process_ended(process, status);
        return;
    }
    if (shim->launches == 0)
        return; /* left over from a container without a pid namespace */
    struct exit_note *note = xmalloc(sizeof(*note));
    *note = (struct exit_note){pid, status, shim->exits};
    shim->exits = note;
}

bool exit_note_take(struct shim *shim, pid_t pid, int *status)
{
    for (struct exit_note **slot = &shim->exits; *slot; slot = &(*slot)->next) {
        if ((*slot)->pid == pid) {
            struct exit_note *note = *slot;
            *status = note->status;
            *slot = note->next;
            free(note);
            return true;
        }
    }
    return false;
}

void exit_notes_clear(struct shim *shim)
{
    while (shim->exits) {
        struct exit_note *note = shim->exits;
        shim->exits = note->next;
        free(note);
    }
}

static void signals_ready(struct loop_watch *watch, uint32_t events)
{
    struct shim *shim = (struct shim *)((char *)watch - offsetof(struct shim, signals));
    struct signalfd_siginfo info;
    while (read(watch->fd, &info, sizeof(info)) == sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            shim->loop.stop = true;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        told(shim, pid, status);
}

int children_init(struct shim *shim, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return error_errno(err, errno, "block signals");
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno, "signalfd");
    shim->signals.ready = signals_ready;
    if (loop_add(&shim->loop, &shim->signals, fd, EPOLLIN, err) < 0) {
        close(fd);
        return -1;
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return error_errno(err, errno, "become a subreaper");
    return 0;
}
