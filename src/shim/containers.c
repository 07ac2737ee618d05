/* SPDX-License-Identifier: Apache-2.0 */
/* Containers, their processes, and what happens when one ends. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "shim/shim.h"
#include "shim/times.h"

/* A Wait that is not answered yet. */
struct waiter {
    struct process *process;
    struct ttrpc_call *call;
    struct waiter *next;
};

struct container *container_find(struct shim *shim, const char *id)
{
    struct container *container = shim->containers;
    while (container && strcmp(container->id, id) != 0)
        container = container->next;
    return container;
}

struct process *process_find(struct container *container, const char *exec_id)
{
    if (!*exec_id)
        return &container->init;
    struct process *process = container->execs;
    while (process && strcmp(process->exec_id, exec_id) != 0)
        process = process->next;
    return process;
}

char *process_pid_file(const struct process *process)
{
    return xasprintf("%s/%s.pid", process->container->bundle,
                     *process->exec_id ? process->exec_id : "init");
}

/* --- Wait ------------------------------------------------------------------------------------ */

static void answer(struct process *process, struct ttrpc_call *call)
{
    Task__WaitResponse response = TASK__WAIT_RESPONSE__INIT;
    Ttrpc__Timestamp at;
    response.exit_status = process->exit_status;
    response.exited_at = timestamp(&at, &process->exited_at);
    ttrpc_reply(call, &response.base);
}

static void answer_all(struct process *process)
{
    while (process->waiters) {
        struct waiter *waiter = process->waiters;
        process->waiters = waiter->next;
        answer(process, waiter->call);
        free(waiter);
    }
}

static void nobody_waits(struct ttrpc_call *call, void *ctx)
{
    struct waiter *waiter = ctx;
    struct waiter **slot = &waiter->process->waiters;
    while (*slot != waiter)
        slot = &(*slot)->next;
    *slot = waiter->next;
    free(waiter);
    ttrpc_fail(call, TTRPC_CANCELLED, "nobody waits");
}

void process_wait(struct process *process, struct ttrpc_call *call)
{
    if (process->status == TASK__STATUS__STOPPED) {
        answer(process, call);
        return;
    }
    struct waiter *waiter = xmalloc(sizeof(*waiter));
    *waiter = (struct waiter){process, call, process->waiters};
    process->waiters = waiter;
    ttrpc_call_on_cancel(call, nobody_waits, waiter);
}

/* --- the end of a process -------------------------------------------------------------------- */

static void publish_end(struct process *process)
{
    struct container *container = process->container;
    Events__TaskExit event = EVENTS__TASK_EXIT__INIT;
    Ttrpc__Timestamp at;
    /* Who looks at why it ended must have heard of the memory by then. */
    if (!*process->exec_id)
        oom_watch_check(container->oom);
    process->status = TASK__STATUS__STOPPED;
    if (process->stdio)
        stdio_ended(process->stdio);
    event.container_id = container->id;
    event.id = *process->exec_id ? process->exec_id : container->id;
    event.pid = (uint32_t)process->pid;
    event.exit_status = process->exit_status;
    event.exited_at = timestamp(&at, &process->exited_at);
    publish(container->shim, "/tasks/exit", "containerd.events.TaskExit", &event.base);
    answer_all(process);
}

static void others_killed(struct runtime_call *call, int status)
{
    struct process *process = call->ctx;
    cleanup_error struct error err = ERROR_INIT;
    if (runtime_result(call, status, "kill what is left of the container", &err) < 0)
        log_debug("%s", error_text(&err));
    process->busy = false;
    publish_end(process);
}

/*
 * Without a pid namespace of its own the rest of a container goes on when its first process ends.
 */
static bool kill_others(struct process *process)
{
    struct container *container = process->container;
    struct arguments command = {.items = {"kill", "--all", container->id, "KILL"}, .count = 4};
    process->busy = true;
    if (runtime_run(container->shim, &container->runtime, &command, NULL, RUNTIME_QUIET,
                    others_killed, process, NULL))
        return true;
    process->busy = false;
    return false;
}

void process_ended(struct process *process, int wait_status)
{
    if (process->busy) {
        process->ended = true;
        process->end_status = wait_status;
        clock_gettime(CLOCK_REALTIME, &process->exited_at);
        return;
    }
    process->exit_status = WIFSIGNALED(wait_status) ? 128u + (unsigned)WTERMSIG(wait_status)
                                                    : (unsigned)WEXITSTATUS(wait_status);
    if (process->exited_at.tv_sec == 0)
        clock_gettime(CLOCK_REALTIME, &process->exited_at);
    if (!*process->exec_id && process->container->kill_all && kill_others(process))
        return;
    publish_end(process);
}

void process_settle(struct process *process)
{
    process->busy = false;
    if (!process->ended)
        return;
    process->ended = false;
    process_ended(process, process->end_status);
}

/* --- release --------------------------------------------------------------------------------- */

void process_release(struct process *process)
{
    while (process->waiters) {
        struct waiter *waiter = process->waiters;
        process->waiters = waiter->next;
        ttrpc_fail(waiter->call, TTRPC_NOT_FOUND, "the process is deleted");
        free(waiter);
    }
    stdio_free(process->stdio);
    free(process->exec_id);
    free(process->stdin_uri);
    free(process->stdout_uri);
    free(process->stderr_uri);
    free(process->checkpoint);
    buffer_release(&process->spec);
}

void container_use(struct container *container)
{
    container->users++;
}

void container_leave(struct container *container)
{
    if (--container->users == 0 && container->deleted)
        container_free(container);
}

void container_free(struct container *container)
{
    struct container **slot = &container->shim->containers;
    while (*slot && *slot != container)
        slot = &(*slot)->next;
    if (*slot)
        *slot = container->next;
    container->deleted = true;
    shim_check_empty(container->shim);
    if (container->users > 0)
        return;
    while (container->execs) {
        struct process *process = container->execs;
        container->execs = process->next;
        process_release(process);
        free(process);
    }
    process_release(&container->init);
    oom_watch_free(container->oom);
    cgroups_free(container->cgroups);
    task__create_request__free_unpacked(container->request, NULL);
    runtime_config_release(&container->runtime);
    free(container->id);
    free(container->bundle);
    free(container->rootfs);
    free(container);
}
