/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/hex.h"

enum { TERM_LIMIT = 12000 }; /* milliseconds between SIGTERM and SIGKILL, as in runc's shim */

struct logger {
    struct child child;
    struct loop_watch watch; /* the pipe that it closes when it is ready */
    struct loop_timer kill;
    bool ready, ended;
    void (*on_ready)(void *ctx);
    void (*on_ended)(void *ctx);
    void *ctx; /* NULL: nobody waits */
};

static void stop_watching(struct logger *logger)
{
    int fd = logger->watch.fd;
    loop_remove(&logger->child.shim->loop, &logger->watch);
    if (fd >= 0)
        close(fd);
}

static void became_ready(struct logger *logger)
{
    if (logger->ready)
        return;
    logger->ready = true;
    stop_watching(logger);
    if (logger->ctx)
        logger->on_ready(logger->ctx);
}

static void pipe_ready(struct loop_watch *watch, uint32_t events)
{
    became_ready((struct logger *)((char *)watch - offsetof(struct logger, watch)));
}

static void child_ended(struct child *child, int status)
{
    struct logger *logger = (struct logger *)((char *)child - offsetof(struct logger, child));
    logger->ended = true;
    loop_timer_cancel(&child->shim->loop, &logger->kill);
    if (!logger->ctx) {
        stop_watching(logger);
        free(logger);
        return;
    }
    became_ready(logger);
    if (logger->ctx)
        logger->on_ended(logger->ctx);
}

static void kill_it(struct loop_timer *timer)
{
    struct logger *logger = (struct logger *)((char *)timer - offsetof(struct logger, kill));
    (void)kill(logger->child.pid, SIGKILL);
}

/* %XX and, in a query, '+', in place. */
static void unescape(char *text, bool query)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in == '%' && hex_digit(in[1]) >= 0 && hex_digit(in[2]) >= 0) {
            *out++ = (char)(hex_digit(in[1]) << 4 | hex_digit(in[2]));
            in += 2;
        } else {
            *out++ = query && *in == '+' ? ' ' : *in;
        }
    }
    *out = '\0';
}

/* PATH and its arguments: "?key=value&key" is "key", "value", "key". Changes the text. */
static void split(char *text, struct arguments *argv)
{
    char *query = strchr(text, '?');
    if (query)
        *query++ = '\0';
    unescape(text, false);
    arguments_add(argv, text);
    for (char *pair; (pair = strsep(&query, "&"));) {
        char *value = strchr(pair, '=');
        if (value)
            *value++ = '\0';
        unescape(pair, true);
        arguments_add(argv, pair);
        if (value && *value) {
            unescape(value, true);
            arguments_add(argv, value);
        }
    }
}

struct logger *logger_start(const struct process *process, const char *uri, const int outputs[2],
                            void (*ready)(void *ctx), void (*ended)(void *ctx), void *ctx,
                            struct error *err)
{
    const struct container *container = process->container;
    struct shim *shim = container->shim;
    cleanup_free char *text = xstrdup(uri + strlen("binary://"));
    cleanup_free char *id = xasprintf("CONTAINER_ID=%s",
                                      *process->exec_id ? process->exec_id : container->id);
    cleanup_free char *namespace = xasprintf("CONTAINER_NAMESPACE=%s", shim->namespace);
    struct arguments argv = {.count = 0};
    split(text, &argv);
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        error_errno(err, errno, "create a pipe");
        return NULL;
    }
    cleanup_close int read_end = fds[0], write_end = fds[1];
    const char *const env[] = {id, namespace, NULL};
    struct child_setup setup = {.argv = argv.items,
                                .env = env,
                                .fds = {-1, -1, -1, outputs[0], outputs[1], write_end},
                                .fd_count = 6};
    struct logger *logger = xcalloc(1, sizeof(*logger));
    *logger = (struct logger){.child.ended = child_ended,
                              .watch = {.fd = -1, .ready = pipe_ready},
                              .kill.fire = kill_it,
                              .on_ready = ready,
                              .on_ended = ended,
                              .ctx = ctx};
    if (child_run(shim, &logger->child, &setup, err) < 0) {
        error_wrap(err, "failed to start logging binary process");
        free(logger);
        return NULL;
    }
    if (loop_add(&shim->loop, &logger->watch, read_end, EPOLLIN, err) == 0)
        (void)take_fd(read_end);
    return logger;
}

bool logger_ready(const struct logger *logger)
{
    return logger->ready;
}

bool logger_ended(const struct logger *logger)
{
    return logger->ended;
}

void logger_leave(struct logger *logger)
{
    if (!logger)
        return;
    logger->ctx = NULL;
    if (logger->ended) {
        free(logger);
        return;
    }
    stop_watching(logger);
    (void)kill(logger->child.pid, SIGTERM);
    loop_timer_set(&logger->child.shim->loop, &logger->kill, TERM_LIMIT);
}
