/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams of one process. A client gives names: FIFOs (it reads or writes the other end),
 * file://PATH, or binary://PATH?key=value, a program that takes the output. The process gets pipes
 * or a terminal; relays connect the two. docs/design/shim.md has who holds which end, and why.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "shim/console.h"
#include "shim/logger.h"
#include "shim/shim.h"

enum {
    OPEN_LIMIT = 30000, /* milliseconds that a client may take to open its end */
    RETRY_FIRST = 1,
    RETRY_MAX = 50,
    FINISH_LIMIT =
        2000, /* milliseconds that output may still take after the end, as in runc's shim */
};

/* One stream from the process to its client. */
struct outlet {
    const char *path; /* of the FIFO that the client has not opened yet; NULL: none */
    int target;       /* where it goes; -1: not open yet */
    struct relay relay;
};

struct stdio {
    struct shim *shim;
    struct process *process;
    int child[3];     /* what the runtime gets */
    int source[2];    /* our ends of the pipes of standard output and error */
    int sink;         /* our end of standard input's */
    int input;        /* the client's FIFO */
    int input_keeper; /* a writer of our own, so that it ends at CloseIO and not with a client */
    struct outlet outlets[2];
    struct relay in;
    struct console *console;
    int terminal; /* its master, once it is here; -1 */
    struct logger *logger;
    struct loop_timer retry;
    uint64_t opened_at, delay;
    void (*opened)(void *ctx, const struct error *err);
    void *opened_ctx;
    void (*finished)(void *ctx);
    void *finished_ctx;
    struct loop_timer finish;
};

static void check_finished(struct stdio *stdio);

static void relay_ended(struct relay *relay, void *ctx)
{
    check_finished(ctx);
}

/* --- names ----------------------------------------------------------------------------------- */

/* The path of "file:///PATH" or of a plain path; NULL when the scheme is another. */
static const char *path_of(const char *uri, const char *scheme)
{
    size_t length = strlen(scheme);
    if (strncmp(uri, scheme, length) == 0 && strncmp(uri + length, "://", 3) == 0)
        return uri + length + 3;
    return NULL;
}

static int open_log_file(const char *path, struct error *err)
{
    cleanup_free char *copy = xstrdup(path);
    char *slash = strrchr(copy, '/');
    if (slash && slash != copy) {
        *slash = '\0';
        if (path_mkdir_p(copy, 0755, err) < 0)
            return -1;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    return fd < 0 ? error_errno(err, errno, "open %s", path) : fd;
}

/*
 * A FIFO for writing, held open for reading as well: the process must not see a client that comes
 * and goes. That waits until a client has opened its end, or what is written before would be lost.
 * 0: not yet.
 */
static int open_outlet(struct outlet *outlet, struct error *err)
{
    cleanup_close int writer = open(outlet->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (writer < 0 && errno == ENXIO)
        return 0;
    struct stat st;
    if (writer < 0 || fstat(writer, &st) < 0)
        return error_errno(err, errno, "containerd-shim: opening %s failed", outlet->path);
    if (S_ISFIFO(st.st_mode)) {
        outlet->target = open(outlet->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (outlet->target < 0)
            return error_errno(err, errno, "containerd-shim: opening %s failed", outlet->path);
    } else {
        if (fcntl(writer, F_SETFL, O_APPEND) < 0)
            return error_errno(err, errno, "append to %s", outlet->path);
        outlet->target = take_fd(writer);
    }
    outlet->path = NULL;
    return 1;
}

static int open_input(struct stdio *stdio, const char *path, struct error *err)
{
    stdio->input = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (stdio->input < 0)
        return error_errno(err, errno, "containerd-shim: opening %s failed", path);
    stdio->input_keeper = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (stdio->input_keeper < 0)
        return error_errno(err, errno, "failed to open stdin fifo %s", path);
    return 0;
}

/* --- passing on ---------------------------------------------------------------- */

int stdio_relay(struct stdio *stdio, struct error *err)
{
    for (int i = 0; i < 2; i++) {
        int source = i == 0 && stdio->terminal >= 0 ? fcntl(stdio->terminal, F_DUPFD_CLOEXEC, 3)
                                                    : take_fd(stdio->source[i]);
        struct outlet *outlet = &stdio->outlets[i];
        if (source < 0 || outlet->target < 0) {
            close_and_reset(&source);
            continue;
        }
        if (relay_start(&outlet->relay, &stdio->shim->loop, source, take_fd(outlet->target),
                        relay_ended, stdio, err) < 0)
            return -1;
    }
    int sink = stdio->terminal >= 0 ? fcntl(stdio->terminal, F_DUPFD_CLOEXEC, 3)
                                    : take_fd(stdio->sink);
    if (sink >= 0 && stdio->input >= 0)
        return relay_start(&stdio->in, &stdio->shim->loop, take_fd(stdio->input), sink, relay_ended,
                           stdio, err);
    close_and_reset(&sink);
    return 0;
}

/* --- waiting until everything is open -------------------------------------------------------- */

/* Everything that is still missing; tells when nothing is. */
static void go_on(struct stdio *stdio)
{
    cleanup_error struct error err = ERROR_INIT;
    bool missing = false;
    if (!stdio->opened)
        return;
    for (int i = 0; i < 2 && !err.message; i++)
        if (stdio->outlets[i].path && open_outlet(&stdio->outlets[i], &err) == 0)
            missing = true;
    if (!err.message && missing && loop_now() - stdio->opened_at > OPEN_LIMIT)
        error_set(&err, "containerd-shim: nobody opened %s for reading",
                  stdio->outlets[0].path ? stdio->outlets[0].path : stdio->outlets[1].path);
    if (!err.message && missing) {
        loop_timer_set(&stdio->shim->loop, &stdio->retry, stdio->delay);
        stdio->delay = stdio->delay * 2 > RETRY_MAX ? RETRY_MAX : stdio->delay * 2;
        return;
    }
    if (!err.message && ((stdio->console && stdio->terminal < 0) ||
                         (stdio->logger && !logger_ready(stdio->logger))))
        return; /* these call */
    void (*opened)(void *ctx, const struct error *err) = stdio->opened;
    stdio->opened = NULL;
    opened(stdio->opened_ctx, err.message ? &err : NULL);
}

static void retry(struct loop_timer *timer)
{
    go_on((struct stdio *)((char *)timer - offsetof(struct stdio, retry)));
}

static void console_here(void *ctx, int master)
{
    struct stdio *stdio = ctx;
    stdio->terminal = master;
    fd_set_nonblock(master, true);
    go_on(stdio);
}

static void logger_here(void *ctx)
{
    go_on(ctx);
}

static void logger_gone(void *ctx)
{
    check_finished(ctx);
}

/* --- making them ----------------------------------------------------------------------------- */

static int make_pipe(const struct process *process, int *ours, int *child, bool output,
                     struct error *err)
{
    const struct runtime_config *runtime = &process->container->runtime;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, errno, "create a pipe");
    *ours = fds[output ? 0 : 1];
    *child = fds[output ? 1 : 0];
    fd_set_nonblock(*ours, true);
    /* Both ends are one inode: a user of the container may open /dev/stdout again. */
    if ((runtime->io_uid != 0 || runtime->io_gid != 0) &&
        fchown(*child, runtime->io_uid, runtime->io_gid) < 0)
        return error_errno(err, errno, "give a pipe to user %u", (unsigned)runtime->io_uid);
    return 0;
}

static int open_logger(struct stdio *stdio, const char *uri, struct error *err)
{
    int ends[2] = {-1, -1};
    for (int i = 0; i < 2; i++) {
        if (make_pipe(stdio->process, &ends[i], &stdio->child[i + 1], true, err) < 0)
            break;
        fd_set_nonblock(ends[i], false);
    }
    if (ends[1] >= 0)
        stdio->logger = logger_start(stdio->process, uri, ends, logger_here, logger_gone, stdio,
                                     err);
    close_and_reset(&ends[0]);
    close_and_reset(&ends[1]);
    if (!stdio->logger)
        return -1;
    if (stdio->process->terminal) {
        /* The relay writes into the pipe, and nobody has standard error. */
        stdio->outlets[0].target = take_fd(stdio->child[1]);
        fd_set_nonblock(stdio->outlets[0].target, true);
        close_and_reset(&stdio->child[2]);
    }
    return 0;
}

static int open_outputs(struct stdio *stdio, struct error *err)
{
    const struct process *process = stdio->process;
    const char *uris[2] = {process->stdout_uri, process->terminal ? "" : process->stderr_uri};
    const char *file = path_of(uris[0], "file");
    if (strncmp(uris[0], "binary://", 9) == 0)
        return open_logger(stdio, uris[0], err);
    if (!file && uris[0][0] != '\0' && uris[0][0] != '/' && !path_of(uris[0], "fifo"))
        return error_set(err, "unknown STDIO scheme in %s", uris[0]);
    for (int i = 0; i < 2; i++) {
        struct outlet *outlet = &stdio->outlets[i];
        if (!*uris[i])
            continue;
        if (file)
            outlet->target = open_log_file(file, err);
        else
            outlet->path = path_of(uris[i], "fifo") ? path_of(uris[i], "fifo") : uris[i];
        if ((file && outlet->target < 0) || (outlet->path && open_outlet(outlet, err) < 0) ||
            (!process->terminal &&
             make_pipe(process, &stdio->source[i], &stdio->child[i + 1], true, err) < 0))
            return -1;
    }
    return 0;
}

int stdio_open(struct process *process, void (*opened)(void *ctx, const struct error *err),
               void *ctx, struct error *err)
{
    struct stdio *stdio = xcalloc(1, sizeof(*stdio));
    *stdio = (struct stdio){
        .shim = process->container->shim,
        .process = process,
        .child = {-1, -1, -1},
        .source = {-1, -1},
        .sink = -1,
        .input = -1,
        .input_keeper = -1,
        .terminal = -1,
        .opened_at = loop_now(),
        .delay = RETRY_FIRST,
        .opened_ctx = ctx,
        .retry.fire = retry,
    };
    relay_init(&stdio->in);
    for (int i = 0; i < 2; i++) {
        stdio->outlets[i].target = -1;
        relay_init(&stdio->outlets[i].relay);
    }
    process->stdio = stdio;
    if (open_outputs(stdio, err) < 0 ||
        (*process->stdin_uri && open_input(stdio, process->stdin_uri, err) < 0) ||
        (*process->stdin_uri && !process->terminal &&
         make_pipe(process, &stdio->sink, &stdio->child[0], false, err) < 0) ||
        (process->terminal &&
         !(stdio->console = console_listen(stdio->shim, console_here, stdio, err))))
        return -1;
    stdio->opened = opened;
    loop_timer_set(&stdio->shim->loop, &stdio->retry, 0);
    return 0;
}

const int *stdio_fds(const struct stdio *stdio)
{
    return stdio->child;
}

const char *stdio_console_socket(const struct stdio *stdio)
{
    return stdio->console ? console_path(stdio->console) : NULL;
}

void stdio_started(struct stdio *stdio)
{
    for (int i = 0; i < 3; i++)
        close_and_reset(&stdio->child[i]);
}

void stdio_close_stdin(struct stdio *stdio)
{
    close_and_reset(&stdio->input_keeper);
}

int stdio_resize(struct stdio *stdio, unsigned width, unsigned height)
{
    struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};
    return stdio->terminal >= 0 && ioctl(stdio->terminal, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

/* --- the end --------------------------------------------------------------------------------- */

void stdio_ended(struct stdio *stdio)
{
    relay_stop(&stdio->in);
    close_and_reset(&stdio->input_keeper);
    if (stdio->terminal >= 0)
        relay_drain(&stdio->outlets[0].relay);
}

static void tell_finished(struct stdio *stdio)
{
    void (*finished)(void *ctx) = stdio->finished;
    stdio->finished = NULL;
    loop_timer_cancel(&stdio->shim->loop, &stdio->finish);
    finished(stdio->finished_ctx);
}

static void finish_late(struct loop_timer *timer)
{
    tell_finished((struct stdio *)((char *)timer - offsetof(struct stdio, finish)));
}

static void check_finished(struct stdio *stdio)
{
    if (stdio->finished && !stdio->outlets[0].relay.running && !stdio->outlets[1].relay.running &&
        (!stdio->logger || logger_ended(stdio->logger)))
        tell_finished(stdio);
}

void stdio_finish(struct stdio *stdio, void (*finished)(void *ctx), void *ctx)
{
    stdio->finished = finished;
    stdio->finished_ctx = ctx;
    stdio->finish.fire = finish_late;
    loop_timer_set(&stdio->shim->loop, &stdio->finish, FINISH_LIMIT);
    check_finished(stdio);
}

void stdio_free(struct stdio *stdio)
{
    if (!stdio)
        return;
    loop_timer_cancel(&stdio->shim->loop, &stdio->retry);
    loop_timer_cancel(&stdio->shim->loop, &stdio->finish);
    console_free(stdio->console);
    logger_leave(stdio->logger);
    relay_stop(&stdio->in);
    int *const fds[] = {&stdio->child[0],  &stdio->child[1],     &stdio->child[2],
                        &stdio->source[0], &stdio->source[1],    &stdio->sink,
                        &stdio->input,     &stdio->input_keeper, &stdio->terminal};
    for (size_t i = 0; i < array_count(fds); i++)
        close_and_reset(fds[i]);
    for (int i = 0; i < 2; i++) {
        close_and_reset(&stdio->outlets[i].target);
        relay_stop(&stdio->outlets[i].relay);
    }
    free(stdio);
}
