/* SPDX-License-Identifier: Apache-2.0 */
/* The service: everything starts in the loop from here on. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "shim/shim.h"

enum {
    FIRST_LIMIT = 60000, /* milliseconds until containerd connects */
    EMPTY_LIMIT = 5000,
};

void shim_check_empty(struct shim *shim)
{
    if (shim->containers || shim->connections > 0)
        loop_timer_cancel(&shim->loop, &shim->empty);
    else
        loop_timer_set(&shim->loop, &shim->empty, EMPTY_LIMIT);
}

/* Whoever connects may be a containerd that has come back. */
static void connections(void *ctx, size_t count)
{
    struct shim *shim = ctx;
    if (count > shim->connections)
        publisher_wake(shim->publisher);
    shim->connections = count;
    shim_check_empty(shim);
}

static void leave(struct loop_timer *timer)
{
    struct shim *shim = (struct shim *)((char *)timer - offsetof(struct shim, leaving));
    shim->loop.stop = true;
}

static void empty(struct loop_timer *timer)
{
    struct shim *shim = (struct shim *)((char *)timer - offsetof(struct shim, empty));
    log_warning("nobody is connected, and there is no container: the shim ends");
    shim->loop.stop = true;
}

/* A name as "containerd-shim-rune-enclave-v2" says that containers are to be in enclaves. */
static bool named_enclave(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strstr(slash ? slash + 1 : program, "-enclave-") != NULL;
}

int shim_serve(const struct shim_arguments *arguments, int listener, const char *path,
               struct error *err)
{
    struct shim shim = {.namespace = arguments->namespace,
                        .socket_path = xstrdup(path),
                        .enclave = named_enclave(arguments->program),
                        .signals.fd = -1,
                        .leaving.fire = leave,
                        .empty.fire = empty};
    if (loop_init(&shim.loop, err) < 0 || children_init(&shim, err) < 0 ||
        publisher_new(&shim, getenv("TTRPC_ADDRESS"), &shim.publisher, err) < 0 ||
        ttrpc_server_new(&shim.loop, listener, &g_task_service, &shim, connections, &shim.server,
                         err) < 0)
        return -1;
    loop_timer_set(&shim.loop, &shim.empty, FIRST_LIMIT);
    int ret = loop_run(&shim.loop, err);
    ttrpc_server_free(shim.server);
    free(shim.socket_path);
    return ret;
}
