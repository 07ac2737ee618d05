/* SPDX-License-Identifier: Apache-2.0 */
#include "toy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define TOY_MAX 64

struct toy_process {
    bool used, started, done;
    char **argv, **env, *cwd;
    uint32_t uid, gid;
    int stdio[3];
    int signals[2]; /* pipe of int */
    int status;
    unsigned rows, columns;
    toy_exited_fn *exited;
};

static struct toy_process g_table[TOY_MAX + 1]; /* index is the pid */
static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_changed = PTHREAD_COND_INITIALIZER;

void toy_log(const char *format, ...)
{
    const char *path = getenv("TOY_PAL_LOG");
    if (path == NULL)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    va_list ap;
    va_start(ap, format);
    vdprintf(fd, format, ap);
    va_end(ap);
    close(fd);
}

static char **copy_list(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    char **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(list[i]);
        if (copy[i] == NULL)
            abort();
    }
    return copy;
}

static void free_list(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

static void release(struct toy_process *process)
{
    free_list(process->argv);
    free_list(process->env);
    free(process->cwd);
    for (int i = 0; i < 3; i++)
        if (process->stdio[i] >= 0)
            close(process->stdio[i]);
    close(process->signals[0]);
    close(process->signals[1]);
    process->argv = NULL;
    process->env = NULL;
    process->cwd = NULL;
}

static bool ignored_by_default(int sig)
{
    return sig == SIGCHLD || sig == SIGCONT || sig == SIGURG || sig == SIGWINCH;
}

/*
 * Wait for a signal or for data on fd (-1: none), at most timeout_ms (-1: for ever). Returns the
 * signal, 0 for data, -1 at the end of the time.
 */
static int wait_signal(struct toy_process *process, int fd, int timeout_ms)
{
    struct pollfd fds[2] = {{process->signals[0], POLLIN, 0}, {fd, POLLIN, 0}};
    int ready = poll(fds, fd >= 0 ? 2 : 1, timeout_ms);
    if (ready == 0)
        return -1;
    int sig = 0;
    if (fds[0].revents != 0 && read(process->signals[0], &sig, sizeof(sig)) == sizeof(sig))
        return sig;
    return 0;
}

/* The same for programs that catch nothing: returns a wait status to end with, or -1 to go on. */
static int wait_default(struct toy_process *process, int fd, int timeout_ms, bool *timed_out)
{
    int sig = wait_signal(process, fd, timeout_ms);
    *timed_out = sig == -1;
    if (sig > 0 && !ignored_by_default(sig))
        return sig;
    return -1;
}

static int program_echo(struct toy_process *process)
{
    for (size_t i = 1; process->argv[i] != NULL; i++)
        dprintf(process->stdio[1], "%s%s", i > 1 ? " " : "", process->argv[i]);
    dprintf(process->stdio[1], "\n");
    return 0;
}

/* cat ends with its input, line after the first piece of it. */
static int copy_input(struct toy_process *process, bool once)
{
    for (;;) {
        bool timed_out;
        int status = wait_default(process, process->stdio[0], -1, &timed_out);
        if (status >= 0)
            return status;
        char buffer[4096];
        ssize_t got = read(process->stdio[0], buffer, sizeof(buffer));
        if (got <= 0)
            return got < 0 ? 1 << 8 : 0;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(process->stdio[1], buffer + done, got - done);
            if (put < 0)
                return 1 << 8;
            done += put;
        }
        if (once)
            return 0;
    }
}

static int program_cat(struct toy_process *process)
{
    return copy_input(process, false);
}

static int program_line(struct toy_process *process)
{
    return copy_input(process, true);
}

static int argument(struct toy_process *process)
{
    return process->argv[1] != NULL ? (int)strtol(process->argv[1], NULL, 10) : 0;
}

static int program_exit(struct toy_process *process)
{
    return (argument(process) & 0xff) << 8;
}

static int program_die(struct toy_process *process)
{
    return argument(process) & 0x7f;
}

static int program_sleep(struct toy_process *process)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t end = now.tv_sec + argument(process);
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= end)
            return 0;
        bool timed_out;
        int status = wait_default(process, -1, (int)(end - now.tv_sec) * 1000, &timed_out);
        if (status >= 0)
            return status;
    }
}

static int program_env(struct toy_process *process)
{
    for (size_t i = 0; process->env[i] != NULL; i++)
        dprintf(process->stdio[1], "%s\n", process->env[i]);
    return 0;
}

static int program_pwd(struct toy_process *process)
{
    dprintf(process->stdio[1], "%s\n", process->cwd);
    return 0;
}

static int program_id(struct toy_process *process)
{
    dprintf(process->stdio[1], "uid=%u gid=%u tty=%d\n", process->uid, process->gid,
            isatty(process->stdio[0]));
    return 0;
}

/* Says every signal; SIGTERM ends it with code 0. */
static int program_trap(struct toy_process *process)
{
    dprintf(process->stdio[1], "ready\n");
    for (;;) {
        int sig = wait_signal(process, -1, -1);
        if (sig == SIGKILL)
            return SIGKILL;
        dprintf(process->stdio[1], "signal %d\n", sig);
        if (sig == SIGTERM)
            return 0;
    }
}

/* Says the size of its terminal whenever that changes, as the runtime told it. */
static int program_size(struct toy_process *process)
{
    struct winsize size = {0};
    ioctl(process->stdio[0], TIOCGWINSZ, &size);
    dprintf(process->stdio[1], "size %u %u\n", size.ws_row, size.ws_col);
    for (;;) {
        int sig = wait_signal(process, -1, -1);
        if (sig == SIGWINCH)
            dprintf(process->stdio[1], "size %u %u\n", process->rows, process->columns);
        else if (!ignored_by_default(sig))
            return sig;
    }
}

static const struct {
    const char *name;
    int (*run)(struct toy_process *process);
} g_programs[] = {
    {"echo", program_echo}, {"cat", program_cat},   {"line", program_line},
    {"exit", program_exit}, {"die", program_die},   {"sleep", program_sleep},
    {"env", program_env},   {"pwd", program_pwd},   {"id", program_id},
    {"trap", program_trap}, {"size", program_size},
};

static int find_program(const char *name)
{
    const char *slash = strrchr(name, '/');
    if (slash != NULL)
        name = slash + 1;
    for (size_t i = 0; i < sizeof(g_programs) / sizeof(g_programs[0]); i++)
        if (strcmp(name, g_programs[i].name) == 0)
            return (int)i;
    return -ENOENT;
}

int toy_create(const struct toy_spec *spec)
{
    if (spec->argv == NULL || spec->argv[0] == NULL)
        return -EINVAL;
    int program = find_program(spec->argv[0]);
    if (program < 0)
        return program;

    pthread_mutex_lock(&g_lock);
    int pid = 1;
    while (pid <= TOY_MAX && g_table[pid].used)
        pid++;
    int result = pid > TOY_MAX ? -EAGAIN : pid;
    if (result > 0) {
        struct toy_process *process = &g_table[pid];
        *process = (struct toy_process){.used = true, .uid = spec->uid, .gid = spec->gid};
        process->argv = copy_list(spec->argv);
        process->env = copy_list(spec->env);
        process->cwd = strdup(spec->cwd != NULL ? spec->cwd : "/");
        for (int i = 0; i < 3; i++)
            process->stdio[i] = fcntl(spec->stdio[i], F_DUPFD_CLOEXEC, 3);
        if (pipe2(process->signals, O_CLOEXEC) < 0) {
            process->used = false;
            result = -errno;
        }
    }
    pthread_mutex_unlock(&g_lock);
    return result;
}

static void *run_thread(void *argument_)
{
    struct toy_process *process = argument_;
    int pid = (int)(process - g_table);
    int program = find_program(process->argv[0]);
    int status = program < 0 ? 127 << 8 : g_programs[program].run(process);

    pthread_mutex_lock(&g_lock);
    process->status = status;
    process->done = true;
    toy_exited_fn *exited = process->exited;
    release(process);
    if (exited != NULL)
        process->used = false; /* else toy_wait() frees the slot */
    pthread_cond_broadcast(&g_changed);
    pthread_mutex_unlock(&g_lock);
    if (exited != NULL)
        exited(pid, status);
    return NULL;
}

static struct toy_process *lookup(int pid)
{
    return pid >= 1 && pid <= TOY_MAX && g_table[pid].used ? &g_table[pid] : NULL;
}

int toy_start(int pid, toy_exited_fn *exited)
{
    pthread_mutex_lock(&g_lock);
    struct toy_process *process = lookup(pid);
    int result = process == NULL || process->started ? -ESRCH : 0;
    if (result == 0) {
        process->started = true;
        process->exited = exited;
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_t thread;
        result = -pthread_create(&thread, &attr, run_thread, process);
        pthread_attr_destroy(&attr);
    }
    pthread_mutex_unlock(&g_lock);
    return result;
}

int toy_wait(int pid, int *status)
{
    pthread_mutex_lock(&g_lock);
    struct toy_process *process = lookup(pid);
    int result = process == NULL ? -ESRCH : 0;
    if (result == 0) {
        while (!process->done)
            pthread_cond_wait(&g_changed, &g_lock);
        *status = process->status;
        process->used = false;
    }
    pthread_mutex_unlock(&g_lock);
    return result;
}

static void send_signal(struct toy_process *process, int sig)
{
    if (!process->done && write(process->signals[1], &sig, sizeof(sig)) != sizeof(sig))
        abort();
}

int toy_kill(int pid, int sig)
{
    int result = -ESRCH;
    pthread_mutex_lock(&g_lock);
    for (int i = 1; i <= TOY_MAX; i++) {
        if (g_table[i].used && (pid == -1 || pid == i)) {
            send_signal(&g_table[i], sig);
            result = 0;
        }
    }
    pthread_mutex_unlock(&g_lock);
    return result;
}

int toy_resize(int pid, unsigned rows, unsigned columns)
{
    pthread_mutex_lock(&g_lock);
    struct toy_process *process = lookup(pid);
    if (process != NULL) {
        process->rows = rows;
        process->columns = columns;
        send_signal(process, SIGWINCH);
    }
    pthread_mutex_unlock(&g_lock);
    return process == NULL ? -ESRCH : 0;
}

int toy_count(void)
{
    int count = 0;
    pthread_mutex_lock(&g_lock);
    for (int i = 1; i <= TOY_MAX; i++)
        count += g_table[i].used;
    pthread_mutex_unlock(&g_lock);
    return count;
}
