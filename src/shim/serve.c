/* SPDX-License-Identifier: Apache-2.0 */
/* The service: everything starts in the loop from here on. */
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "shim/shim.h"

/* Whoever connects may be a containerd that has come back. */
static void accepted(void *ctx)
{
    struct shim *shim = ctx;
    publisher_wake(shim->publisher);
}

static void leave(struct loop_timer *timer)
{
    struct shim *shim = (struct shim *)((char *)timer - offsetof(struct shim, leaving));
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
                        .leaving.fire = leave};
    if (loop_init(&shim.loop, err) < 0 || children_init(&shim, err) < 0 ||
        publisher_new(&shim, getenv("TTRPC_ADDRESS"), &shim.publisher, err) < 0 ||
        ttrpc_server_new(&shim.loop, listener, &g_task_service, &shim, accepted, &shim.server,
                         err) < 0)
        return -1;
    int ret = loop_run(&shim.loop, err);
    ttrpc_server_free(shim.server);
    free(shim.socket_path);
    return ret;
}
