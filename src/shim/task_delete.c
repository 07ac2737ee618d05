/* SPDX-License-Identifier: Apache-2.0 */
/* Delete: the output comes to its end, then rune removes the container, then the rootfs goes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "shim/shim.h"
#include "shim/times.h"

struct deletion {
    struct process *process;
    struct ttrpc_call *call;
};

static void answer(struct process *process, struct ttrpc_call *call)
{
    Task__DeleteResponse response = TASK__DELETE_RESPONSE__INIT;
    Ttrpc__Timestamp at;
    response.pid = (uint32_t)process->pid;
    response.exit_status = process->exit_status;
    response.exited_at = timestamp(&at, &process->exited_at);
    ttrpc_reply(call, &response.base);
}

static void finish_exec(struct deletion *deletion)
{
    struct process *process = deletion->process;
    struct process **slot = &process->container->execs;
    cleanup_free char *pid_file = process_pid_file(process);
    (void)unlink(pid_file);
    answer(process, deletion->call);
    while (*slot != process)
        slot = &(*slot)->next;
    *slot = process->next;
    process_release(process);
    free(process);
    free(deletion);
}

static void publish_delete(const struct process *process)
{
    struct container *container = process->container;
    Events__TaskDelete event = EVENTS__TASK_DELETE__INIT;
    Ttrpc__Timestamp at;
    event.container_id = container->id;
    event.pid = (uint32_t)process->pid;
    event.exit_status = process->exit_status;
    event.exited_at = timestamp(&at, &process->exited_at);
    publish(container->shim, "/tasks/delete", "containerd.events.TaskDelete", &event.base);
}

static void fail(struct deletion *deletion, const struct error *err)
{
    task_fail(deletion->call, TTRPC_UNKNOWN, err);
    process_settle(deletion->process);
    free(deletion);
}

static void removed(struct runtime_call *call, int status)
{
    struct deletion *deletion = call->ctx;
    struct process *process = deletion->process;
    struct container *container = process->container;
    cleanup_error struct error err = ERROR_INIT;
    int ret = runtime_result(call, status, "failed to delete task", &err);
    /* A checkpoint, or somebody else, has removed it before. */
    if (ret < 0 && !strstr(error_text(&err), "does not exist")) {
        fail(deletion, &err);
        return;
    }
    error_release(&err);
    if (container->mounted && rootfs_unmount(container->rootfs, &err) < 0) {
        error_wrap(&err, "failed rootfs umount");
        fail(deletion, &err);
        return;
    }
    publish_delete(process);
    answer(process, deletion->call);
    free(deletion);
    container_free(container);
}

static void output_finished(void *ctx)
{
    struct deletion *deletion = ctx;
    struct process *process = deletion->process;
    struct container *container = process->container;
    cleanup_error struct error err = ERROR_INIT;
    if (*process->exec_id) {
        finish_exec(deletion);
        return;
    }
    struct arguments command = {.items = {"delete", container->id}, .count = 2};
    /* Never started: rune has a process at the gate. */
    if (process->status != TASK__STATUS__STOPPED)
        arguments_add(&command, "--force");
    if (!runtime_run(container->shim, &container->runtime, &command, NULL, RUNTIME_QUIET, removed,
                     deletion, &err))
        fail(deletion, &err);
}

void task_delete(struct process *process, struct ttrpc_call *call)
{
    struct deletion *deletion = xmalloc(sizeof(*deletion));
    *deletion = (struct deletion){process, call};
    process->busy = true;
    if (process->stdio && process->status == TASK__STATUS__STOPPED)
        stdio_finish(process->stdio, output_finished, deletion);
    else
        output_finished(deletion);
}
