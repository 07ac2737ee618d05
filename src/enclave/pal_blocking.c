/* SPDX-License-Identifier: Apache-2.0 */
/* PAL versions 1 to 3 in the shape of version 4: their pal_exec blocks, so each process has a
 * thread that waits. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/pal_private.h"

static char **copy_list(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    char **copy = xcalloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(list[i]);
    return copy;
}

static void free_list(char **list)
{
    for (size_t i = 0; list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

static void process_free(struct pal_blocking_process *process)
{
    free(process->path);
    free_list(process->argv);
    free_list(process->env);
    for (int i = 0; i < 3; i++)
        close_and_reset(&process->stdio[i]);
    free(process);
}

/* A runtime may use the caller's descriptors until the process ends, so they are kept here that
 * long. */
static int process_new(struct pal_runtime *runtime, const struct pal_process_args_v4 *args,
                       struct pal_blocking_process **out)
{
    struct pal_blocking_process *process = xcalloc(1, sizeof(*process));
    process->runtime = runtime;
    process->path = xstrdup(args->path != NULL ? args->path : args->argv[0]);
    process->argv = copy_list(args->argv);
    process->env = copy_list(args->env);
    int result = 0;
    for (int i = 0; i < 3; i++) {
        process->stdio[i] = fcntl(args->stdio[i], F_DUPFD_CLOEXEC, 3);
        if (process->stdio[i] < 0)
            result = -errno;
    }
    if (result < 0) {
        process_free(process);
        return result;
    }
    *out = process;
    return 0;
}

static void remember(struct pal_runtime *runtime, struct pal_blocking_process *process)
{
    pthread_mutex_lock(&runtime->lock);
    process->next = runtime->processes;
    runtime->processes = process;
    pthread_mutex_unlock(&runtime->lock);
}

/* Take the process out of the list of those that wait for their start. */
static struct pal_blocking_process *take(struct pal_runtime *runtime, int pid)
{
    struct pal_blocking_process *found = NULL;
    pthread_mutex_lock(&runtime->lock);
    for (struct pal_blocking_process **slot = &runtime->processes; *slot != NULL;
         slot = &(*slot)->next) {
        if ((*slot)->pid == pid) {
            found = *slot;
            *slot = found->next;
            break;
        }
    }
    pthread_mutex_unlock(&runtime->lock);
    return found;
}

/* What a shell would exit with when it cannot run a program. */
static int exit_code_of_errno(int code)
{
    return code == ENOENT ? 127 : code == EACCES || code == ENOEXEC ? 126 : 255;
}

static void *wait_thread(void *argument)
{
    struct pal_blocking_process *process = argument;
    struct pal_runtime *runtime = process->runtime;
    pal_stdio_fds stdio = {process->stdio[0], process->stdio[1], process->stdio[2]};
    int exit_code = 0, result;

    errno = 0;
    if (runtime->version->number == 1) {
        result = ((pal_exec_v1_fn *)runtime->exec)(process->path, process->argv, &stdio,
                                                   &exit_code);
    } else {
        pal_exec_args args = {process->pid, &exit_code};
        result = ((pal_exec_v2_fn *)runtime->exec)(&args);
    }
    result = pal_result(runtime, result);

    pthread_mutex_lock(&runtime->lock);
    if (result < 0) {
        char message[512];
        snprintf(message, sizeof(message), "exec: \"%s\": %s", process->path, strerror(-result));
        runtime->log(runtime->context, 1, message);
        exit_code = exit_code_of_errno(-result);
    }
    struct pal_event event = {.size = sizeof(event),
                              .type = PAL_EVENT_EXITED,
                              .pid = process->pid,
                              .status = W_EXITCODE(exit_code & 0xff, 0)};
    runtime->event(runtime->context, &event);
    pthread_mutex_unlock(&runtime->lock);
    process_free(process);
    return NULL;
}

static int blocking_start(struct pal_runtime *runtime, int pid)
{
    struct pal_blocking_process *process = take(runtime, pid);
    if (process == NULL)
        return -ESRCH;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    int code = pthread_create(&thread, &attr, wait_thread, process);
    pthread_attr_destroy(&attr);
    if (code != 0)
        process_free(process);
    return -code;
}

static int v1_init(struct pal_runtime *runtime, const struct pal_init_args_v4 *args)
{
    pal_attr_v1_t attr = {args->args, args->log_level};
    return ((pal_init_v1_fn *)runtime->init)(&attr);
}

static int v1_create(struct pal_runtime *runtime, const struct pal_process_args_v4 *args, int *pid)
{
    struct pal_blocking_process *process;
    int result = process_new(runtime, args, &process);
    if (result < 0)
        return result;
    *pid = process->pid = __atomic_add_fetch(&runtime->last_pid, 1, __ATOMIC_RELAXED);
    remember(runtime, process);
    return 0;
}

static int v2_create(struct pal_runtime *runtime, const struct pal_process_args_v4 *args, int *pid)
{
    struct pal_blocking_process *process;
    int result = process_new(runtime, args, &process);
    if (result < 0)
        return result;
    pal_stdio_fds stdio = {process->stdio[0], process->stdio[1], process->stdio[2]};
    pal_create_process_args create = {process->path, process->argv, process->env, &stdio, pid};
    errno = 0;
    result = pal_result(runtime, ((pal_create_process_v2_fn *)runtime->create_process)(&create));
    if (result < 0) {
        process_free(process);
        return result;
    }
    process->pid = *pid;
    remember(runtime, process);
    return 0;
}

static int v3_init(struct pal_runtime *runtime, const struct pal_init_args_v4 *args)
{
    pal_attr_v3_t attr = {.attr_v1 = {args->args, args->log_level}, .fd = -1};
    return ((pal_init_v3_fn *)runtime->init)(&attr);
}

const struct pal_version pal_version_1 = {
    .number = 1, .init = v1_init, .create = v1_create, .start = blocking_start};
const struct pal_version pal_version_2 = {
    .number = 2, .init = v1_init, .create = v2_create, .start = blocking_start};
const struct pal_version pal_version_3 = {
    .number = 3, .init = v3_init, .create = v2_create, .start = blocking_start};
