/* SPDX-License-Identifier: Apache-2.0 */
/* A container's init, as its payload and rune see it. What it does is in steps.c. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "container/sequence.h"

static void log_to_rune(void *ctx, enum log_level level, const char *text)
{
    const struct container_init *init = ctx;
    (void)!sync_write(init->sync_fd, SYNC_LOG, (int)level, text);
}

void init_divert_log(struct container_init *init)
{
    log_divert(log_to_rune, init);
    /* The words are those that tools (and runc's tests) look for in a debug log. */
    log_debug("nsexec container setup: in the new namespaces");
    log_debug("child process in init()");
}

int init_report(const struct container_init *init, const struct error *err)
{
    if (init->sync_fd < 0)
        return -EBADF;
    return sync_write(init->sync_fd, SYNC_ERROR, err->code, error_text(err));
}

void container_init_fail(const struct container_init *init, const struct error *err)
{
    if (init_report(init, err) < 0) {
        log_divert(NULL, NULL);
        log_fatal("%s", error_text(err));
    }
}

void container_init_warn(const struct container_init *init, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    log_vmessage(LOG_LEVEL_WARNING, fmt, args);
    va_end(args);
}

int container_init_child(struct container_init *init, const struct container_payload *payload,
                         struct error *err)
{
    struct setup setup = {.init = init, .payload = payload};
    return sequence_run(&setup, err);
}

void container_init_started(const struct container_init *init)
{
    struct container_init *own = (struct container_init *)(uintptr_t)init;
    if (init->is_exec)
        close_and_reset(&own->sync_fd);
}

const struct oci_process *container_init_process(const struct container_init *init)
{
    return init->process;
}

int container_init_fd(const struct container_init *init, const char *name)
{
    for (size_t i = 0; i < init->fd_count; i++)
        if (strcmp(init->fds[i].name, name) == 0)
            return init->fds[i].fd;
    return -1;
}
