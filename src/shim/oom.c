/* SPDX-License-Identifier: Apache-2.0 */
/* TaskOOM: the kernel has killed a process of a container for want of memory. */
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "container/oom.h"
#include "shim/shim.h"

struct oom_watch {
    struct container *container;
    const char *dir; /* of the container's cgroups */
    bool unified;
    uint64_t seen;
    struct loop_watch watch;
};

static void stop(struct oom_watch *watch)
{
    int fd = watch->watch.fd;
    loop_remove(&watch->container->shim->loop, &watch->watch);
    if (fd >= 0)
        close(fd);
}

void oom_watch_check(struct oom_watch *watch)
{
    if (!watch || watch->watch.fd < 0)
        return;
    int happened = memory_oom_read(watch->dir, watch->unified, watch->watch.fd, &watch->seen);
    if (happened < 0) {
        stop(watch); /* the cgroup has gone */
    } else if (happened > 0) {
        Events__TaskContainer event = EVENTS__TASK_CONTAINER__INIT;
        event.container_id = watch->container->id;
        publish(watch->container->shim, "/tasks/oom", "containerd.events.TaskOOM", &event.base);
    }
}

static void ready(struct loop_watch *watch, uint32_t events)
{
    oom_watch_check((struct oom_watch *)((char *)watch - offsetof(struct oom_watch, watch)));
}

struct oom_watch *oom_watch_new(struct container *container)
{
    cleanup_error struct error err = ERROR_INIT;
    bool unified = container->cgroups && cgroups_unified(container->cgroups);
    const char *dir = cgroups_path(container->cgroups, unified ? "" : "memory");
    if (!dir)
        return NULL;
    cleanup_close int fd = memory_oom_open(dir, unified, &err);
    struct oom_watch *watch = xcalloc(1, sizeof(*watch));
    *watch = (struct oom_watch){.container = container,
                                .dir = dir,
                                .unified = unified,
                                .watch = {.fd = -1, .ready = ready}};
    if (fd >= 0 && loop_add(&container->shim->loop, &watch->watch, fd, EPOLLIN, &err) == 0) {
        (void)take_fd(fd);
        return watch;
    }
    log_warning("the memory of %s is not watched: %s", container->id, error_text(&err));
    free(watch);
    return NULL;
}

void oom_watch_free(struct oom_watch *watch)
{
    if (!watch)
        return;
    stop(watch);
    free(watch);
}
