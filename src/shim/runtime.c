/* SPDX-License-Identifier: Apache-2.0 */
/* Running rune: its arguments, its end, and what it said of an error. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "shim/shim.h"

enum { LOG_MAX = 1 << 20 };

void arguments_add(struct arguments *list, const char *item)
{
    if (list->count + 1 < array_count(list->items))
        list->items[list->count++] = item;
}

char *runtime_default_binary(void)
{
    cleanup_free char *prefix = path_own_prefix();
    if (prefix) {
        cleanup_free char *path = path_join(prefix, "bin/rune");
        if (access(path, X_OK) == 0)
            return take_ptr(path);
    }
    return xstrdup("rune");
}

void runtime_arguments(const struct runtime_config *config, const char *log, struct arguments *list)
{
    arguments_add(list, config->binary);
    arguments_add(list, "--root");
    arguments_add(list, config->root);
    arguments_add(list, "--log");
    arguments_add(list, log);
    arguments_add(list, "--log-format");
    arguments_add(list, "json");
    if (config->criu) {
        arguments_add(list, "--criu");
        arguments_add(list, config->criu);
    }
    if (config->systemd_cgroup)
        arguments_add(list, "--systemd-cgroup");
    if (config->enclave)
        arguments_add(list, "--enclave");
}

static void ended(struct child *child, int status)
{
    struct runtime_call *call = (struct runtime_call *)((char *)child -
                                                        offsetof(struct runtime_call, child));
    call->done(call, status);
    close_and_reset(&call->log);
    close_and_reset(&call->output);
    free(call);
}

/* A file in memory that the runtime may open by its /proc name. */
static int memory_file(const char *name, struct error *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? error_errno(err, errno, "memfd_create") : fd;
}

struct runtime_call *runtime_run(struct shim *shim, const struct runtime_config *config,
                                 const struct arguments *command, const int *fds,
                                 enum runtime_output output,
                                 void (*done)(struct runtime_call *call, int status), void *ctx,
                                 struct error *err)
{
    enum { LOG_FD = 3 };
    cleanup_close int log = memory_file("log", err);
    cleanup_close int out = output == RUNTIME_OUTPUT ? memory_file("output", err) : -1;
    if (log < 0 || (output == RUNTIME_OUTPUT && out < 0))
        return NULL;
    /* By number, and not inherited further: rune opens its log by this name at its start. */
    struct arguments argv = {.count = 0};
    runtime_arguments(config, "/proc/self/fd/3", &argv);
    for (size_t i = 0; i < command->count; i++)
        arguments_add(&argv, command->items[i]);
    struct child_setup setup = {
        .argv = argv.items,
        .fds = {fds ? fds[0] : -1, fds ? fds[1] : out, fds ? fds[2] : -1, [LOG_FD] = log},
        .fd_count = LOG_FD + 1};
    struct runtime_call *call = xcalloc(1, sizeof(*call));
    call->child.ended = ended;
    if (child_run(shim, &call->child, &setup, err) < 0) {
        free(call);
        return NULL;
    }
    call->log = take_fd(log);
    call->output = take_fd(out);
    call->done = done;
    call->ctx = ctx;
    return call;
}

/* The message of the last line that is an error; malloc'd, NULL when there is none. */
static char *last_error(int log)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (lseek(log, 0, SEEK_SET) < 0 || read_all(log, &text, LOG_MAX) < 0)
        return NULL;
    char *found = NULL, *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        cleanup_json json_t *entry = *line ? json_loads(line, 0, NULL) : NULL;
        const char *level = json_string_value(json_object_get(entry, "level"));
        const char *message = json_string_value(json_object_get(entry, "msg"));
        if (!level || !message)
            continue;
        if (strcmp(level, "error") == 0) {
            free(found);
            found = xstrdup(message);
        } else if (strcmp(level, "warning") == 0) {
            log_warning("runtime: %s", message);
        }
    }
    return found;
}

int runtime_result(const struct runtime_call *call, int status, const char *what, struct error *err)
{
    cleanup_free char *said = last_error(call->log);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    /* Whatever the log says: that may be of the container's init, which found rune gone. */
    if (WIFSIGNALED(status))
        return error_set(err, "%s: the runtime was ended by signal %d (%s)", what, WTERMSIG(status),
                         strsignal(WTERMSIG(status)));
    if (said)
        return error_set(err, "%s: %s", what, said);
    return error_set(err, "%s: the runtime ended with status %d and no message", what,
                     WEXITSTATUS(status));
}
