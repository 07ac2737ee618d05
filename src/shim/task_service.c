/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of containerd.task.v2.Task, of which containerd.task.v3.Task differs in name only. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "shim/shim.h"
#include "shim/times.h"

#define PROCESS_TYPE_URL "containerd.runc.v1.ProcessDetails"

void task_fail(struct ttrpc_call *call, enum ttrpc_code code, const struct error *err)
{
    if (err->code == ENOENT)
        code = TTRPC_NOT_FOUND;
    ttrpc_fail(call, code, "%s", error_text(err));
}

static void reply_empty(struct ttrpc_call *call)
{
    Ttrpc__Empty empty = TTRPC__EMPTY__INIT;
    ttrpc_reply(call, &empty.base);
}

/* The container of a request; without one the call is answered. */
static struct container *need_container(struct shim *shim, struct ttrpc_call *call, const char *id)
{
    struct container *container = container_find(shim, id);
    if (container && !container->creating)
        return container;
    ttrpc_fail(call, TTRPC_NOT_FOUND, "container not created: not found");
    return NULL;
}

static struct process *need_process(struct shim *shim, struct ttrpc_call *call, const char *id,
                                    const char *exec_id)
{
    struct container *container = need_container(shim, call, id);
    struct process *process = container ? process_find(container, exec_id) : NULL;
    if (container && !process)
        ttrpc_fail(call, TTRPC_NOT_FOUND, "process does not exist %s: not found", exec_id);
    return process;
}

/* --- State, Start, Delete, Wait, Connect, Shutdown ------------------------------------------- */

static void on_state(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__ProcessRequest *request = (const Task__ProcessRequest *)message;
    struct process *process = need_process(ctx, call, request->id, request->exec_id);
    if (!process)
        return;
    struct container *container = process->container;
    Task__StateResponse response = TASK__STATE_RESPONSE__INIT;
    Ttrpc__Timestamp at;
    response.id = *process->exec_id ? process->exec_id : container->id;
    response.bundle = container->bundle;
    response.pid = (uint32_t)process->pid;
    /* Who is in a paused container is paused. */
    response.status = container->init.status == TASK__STATUS__PAUSED ? TASK__STATUS__PAUSED
                                                                     : process->status;
    response.stdin = process->stdin_uri;
    response.stdout = process->stdout_uri;
    response.stderr = process->stderr_uri;
    response.terminal = process->terminal;
    response.exit_status = process->exit_status;
    if (process->status == TASK__STATUS__STOPPED)
        response.exited_at = timestamp(&at, &process->exited_at);
    response.exec_id = process->exec_id;
    ttrpc_reply(call, &response.base);
}

static const char *status_name(const struct process *process)
{
    static const char *const names[] = {"unknown", "created", "running",
                                        "stopped", "paused",  "pausing"};
    return names[process->status];
}

static void on_start(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__ProcessRequest *request = (const Task__ProcessRequest *)message;
    struct process *process = need_process(ctx, call, request->id, request->exec_id);
    if (!process)
        return;
    if (process->status != TASK__STATUS__CREATED || process->busy)
        ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "cannot start a %s process%s",
                   status_name(process), process->busy ? " while a call for it is under way" : "");
    else if (*process->exec_id)
        task_start_exec(process, call);
    else
        task_start_init(process, call);
}

static void on_delete(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__ProcessRequest *request = (const Task__ProcessRequest *)message;
    struct process *process = need_process(ctx, call, request->id, request->exec_id);
    if (!process)
        return;
    bool ended = process->status == TASK__STATUS__STOPPED ||
                 process->status == TASK__STATUS__CREATED;
    if (!ended || process->busy)
        ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "cannot delete a %s process%s",
                   status_name(process), process->busy ? " while a call for it is under way" : "");
    else
        task_delete(process, call);
}

static void on_wait(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__ProcessRequest *request = (const Task__ProcessRequest *)message;
    struct process *process = need_process(ctx, call, request->id, request->exec_id);
    if (process)
        process_wait(process, call);
}

static void on_connect(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__ProcessRequest *request = (const Task__ProcessRequest *)message;
    /* A containerd that was started again asks: what it does not know of, it removes. */
    const struct container *container = need_container(ctx, call, request->id);
    if (!container)
        return;
    Task__ConnectResponse response = TASK__CONNECT_RESPONSE__INIT;
    response.shim_pid = (uint32_t)getpid();
    response.task_pid = (uint32_t)container->init.pid;
    ttrpc_reply(call, &response.base);
}

static void on_shutdown(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    enum { EVENTS_LIMIT = 5000 }; /* milliseconds for what containerd has not heard yet */
    struct shim *shim = ctx;
    reply_empty(call);
    if (shim->containers)
        return; /* of the same pod */
    if (publisher_idle(shim->publisher))
        shim->loop.stop = true;
    else
        loop_timer_set(&shim->loop, &shim->leaving, EVENTS_LIMIT);
}

/* --- what rune does in one go ---------------------------------------------------------------- */

struct action {
    struct process *process;
    struct ttrpc_call *call;
    const char *what;
    /* After success; answers. NULL: the empty answer. */
    void (*done)(struct action *action, struct runtime_call *runtime);
    char *text; /* of the request */
};

static struct action *action_new(const struct action *prototype)
{
    container_use(prototype->process->container);
    return xmemdup(prototype, sizeof(*prototype));
}

static void action_free(struct action *action)
{
    container_leave(action->process->container);
    free(action->text);
    free(action);
}

static void action_over(struct runtime_call *runtime, int status)
{
    struct action *action = runtime->ctx;
    cleanup_error struct error err = ERROR_INIT;
    if (runtime_result(runtime, status, action->what, &err) < 0)
        task_fail(action->call, TTRPC_UNKNOWN, &err);
    else if (action->done)
        action->done(action, runtime);
    else
        reply_empty(action->call);
    action_free(action);
}

static void act(struct action prototype, const struct arguments *command, const int *fds,
                enum runtime_output output)
{
    struct container *container = prototype.process->container;
    cleanup_error struct error err = ERROR_INIT;
    struct action *action = action_new(&prototype);
    if (runtime_run(container->shim, &container->runtime, command, fds, output, action_over, action,
                    &err))
        return;
    task_fail(action->call, TTRPC_UNKNOWN, &err);
    action_free(action);
}

static void publish_container(struct action *action, const char *topic, const char *type)
{
    Events__TaskContainer event = EVENTS__TASK_CONTAINER__INIT;
    event.container_id = action->process->container->id;
    publish(action->process->container->shim, topic, type, &event.base);
    reply_empty(action->call);
}

static void paused(struct action *action, struct runtime_call *runtime)
{
    if (action->process->status == TASK__STATUS__RUNNING)
        action->process->status = TASK__STATUS__PAUSED;
    publish_container(action, "/tasks/paused", "containerd.events.TaskPaused");
}

static void resumed(struct action *action, struct runtime_call *runtime)
{
    if (action->process->status == TASK__STATUS__PAUSED)
        action->process->status = TASK__STATUS__RUNNING;
    publish_container(action, "/tasks/resumed", "containerd.events.TaskResumed");
}

static void freeze(struct shim *shim, struct ttrpc_call *call, const ProtobufCMessage *message,
                   Task__Status from, const char *verb,
                   void (*done)(struct action *action, struct runtime_call *runtime))
{
    const Task__ProcessRequest *request = (const Task__ProcessRequest *)message;
    struct process *process = need_process(shim, call, request->id, "");
    if (!process)
        return;
    if (process->status != from) {
        ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "cannot %s a %s process", verb,
                   status_name(process));
        return;
    }
    struct arguments command = {.items = {verb, process->container->id}, .count = 2};
    act((struct action){process, call,
                        from == TASK__STATUS__RUNNING ? "OCI runtime pause failed"
                                                      : "OCI runtime resume failed",
                        done, NULL},
        &command, NULL, RUNTIME_QUIET);
}

static void on_pause(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    freeze(ctx, call, message, TASK__STATUS__RUNNING, "pause", paused);
}

static void on_resume(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    freeze(ctx, call, message, TASK__STATUS__PAUSED, "resume", resumed);
}

static void killed(struct runtime_call *runtime, int status)
{
    struct action *action = runtime->ctx;
    cleanup_error struct error err = ERROR_INIT;
    if (runtime_result(runtime, status, action->what, &err) == 0)
        reply_empty(action->call);
    else if (strstr(error_text(&err), "not running") || strstr(error_text(&err), "o such process"))
        ttrpc_fail(action->call, TTRPC_NOT_FOUND, "process already finished: not found");
    else if (strstr(error_text(&err), "does not exist"))
        ttrpc_fail(action->call, TTRPC_NOT_FOUND, "no such container: not found");
    else
        task_fail(action->call, TTRPC_UNKNOWN, &err);
    action_free(action);
}

static void kill_init(struct process *process, struct ttrpc_call *call,
                      const Task__KillRequest *request)
{
    struct container *container = process->container;
    cleanup_free char *number = xasprintf("%u", request->signal);
    cleanup_error struct error err = ERROR_INIT;
    struct arguments command = {.items = {"kill"}, .count = 1};
    if (request->all)
        arguments_add(&command, "--all");
    arguments_add(&command, container->id);
    arguments_add(&command, number);
    struct action *action = action_new(
        &(struct action){process, call, "unknown error after kill", NULL, NULL});
    if (runtime_run(container->shim, &container->runtime, &command, NULL, RUNTIME_QUIET, killed,
                    action, &err))
        return;
    task_fail(call, TTRPC_UNKNOWN, &err);
    action_free(action);
}

static void on_kill(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__KillRequest *request = (const Task__KillRequest *)message;
    struct process *process = need_process(ctx, call, request->id, request->exec_id);
    if (!process)
        return;
    if (!*process->exec_id)
        kill_init(process, call, request);
    else if (process->status == TASK__STATUS__STOPPED)
        ttrpc_fail(call, TTRPC_NOT_FOUND, "process already finished: not found");
    else if (process->pid <= 0)
        ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "process not created: failed precondition");
    else if (kill(process->pid, (int)request->signal) < 0)
        ttrpc_fail(call, errno == ESRCH ? TTRPC_NOT_FOUND : TTRPC_INVALID_ARGUMENT,
                   "exec kill error: %s", strerror(errno));
    else
        reply_empty(call);
}

/* --- Pids ------------------------------------------------------------------------------------ */

static const struct process *exec_of(const struct container *container, pid_t pid)
{
    const struct process *process = container->execs;
    while (process && process->pid != pid)
        process = process->next;
    return process;
}

static void fill_info(Task__ProcessInfo *info, Ttrpc__Any *any, const struct process *process)
{
    Options__ProcessDetails details = OPTIONS__PROCESS_DETAILS__INIT;
    details.exec_id = process->exec_id;
    ttrpc__any__init(any);
    any->type_url = (char *)PROCESS_TYPE_URL;
    any->value.data = ttrpc_pack(&details.base, &any->value.len);
    info->info = any;
}

static void listed(struct action *action, struct runtime_call *runtime)
{
    enum { OUTPUT_MAX = 16 << 20 };
    cleanup_buffer struct buffer text = BUFFER_INIT;
    cleanup_error struct error err = ERROR_INIT;
    cleanup_json json_t *list = NULL;
    if (lseek(runtime->output, 0, SEEK_SET) < 0 ||
        read_all(runtime->output, &text, OUTPUT_MAX) < 0 ||
        !(list = json_parse(buffer_text(&text), text.size, "output of ps", &err))) {
        task_fail(action->call, TTRPC_UNKNOWN, &err);
        return;
    }
    size_t count = json_array_size(list);
    Task__PidsResponse response = TASK__PIDS_RESPONSE__INIT;
    Task__ProcessInfo *infos = xcalloc(count + 1, sizeof(*infos));
    Ttrpc__Any *details = xcalloc(count + 1, sizeof(*details));
    response.processes = xcalloc(count + 1, sizeof(*response.processes));
    response.n_processes = count;
    for (size_t i = 0; i < count; i++) {
        pid_t pid = (pid_t)json_integer_value(json_array_get(list, i));
        const struct process *process = exec_of(action->process->container, pid);
        task__process_info__init(&infos[i]);
        infos[i].pid = (uint32_t)pid;
        if (process)
            fill_info(&infos[i], &details[i], process);
        response.processes[i] = &infos[i];
    }
    ttrpc_reply(action->call, &response.base);
    for (size_t i = 0; i < count; i++)
        free(details[i].value.data);
    free(details);
    free(infos);
    free(response.processes);
}

static void on_pids(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__ProcessRequest *request = (const Task__ProcessRequest *)message;
    struct process *process = need_process(ctx, call, request->id, "");
    if (!process)
        return;
    struct arguments command = {.items = {"ps", "--format", "json", process->container->id},
                                .count = 4};
    act((struct action){process, call, "OCI runtime ps failed", listed, NULL}, &command, NULL,
        RUNTIME_OUTPUT);
}

/* --- Checkpoint, Update, Stats --------------------------------------------------------------- */

static void saved(struct action *action, struct runtime_call *runtime)
{
    Events__TaskCheckpointed event = EVENTS__TASK_CHECKPOINTED__INIT;
    event.container_id = action->process->container->id;
    event.checkpoint = action->text;
    publish(action->process->container->shim, "/tasks/checkpointed",
            "containerd.events.TaskCheckpointed", &event.base);
    reply_empty(action->call);
}

static void checkpoint(struct process *process, struct ttrpc_call *call,
                       const Task__CheckpointRequest *request, const Options__Checkpoint *options)
{
    struct container *container = process->container;
    cleanup_free char *work = *options->work_path
                                  ? xstrdup(options->work_path)
                                  : xasprintf("%s/work/criu-work", container->bundle);
    const struct {
        bool given;
        const char *flag;
    } flags[] = {{!options->exit, "--leave-running"},
                 {options->open_tcp, "--tcp-established"},
                 {options->external_unix_sockets, "--ext-unix-sk"},
                 {options->terminal, "--shell-job"},
                 {options->file_locks, "--file-locks"}};
    struct arguments command = {
        .items = {"checkpoint", "--image-path", request->path, "--work-path", work}, .count = 5};
    for (size_t i = 0; i < array_count(flags); i++)
        if (flags[i].given)
            arguments_add(&command, flags[i].flag);
    for (size_t i = 0; i < options->n_empty_namespaces; i++) {
        arguments_add(&command, "--empty-ns");
        arguments_add(&command, options->empty_namespaces[i]);
    }
    arguments_add(&command, container->id);
    act((struct action){process, call, "OCI runtime checkpoint failed", saved,
                        xstrdup(request->path)},
        &command, NULL, RUNTIME_QUIET);
}

static void on_checkpoint(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__CheckpointRequest *request = (const Task__CheckpointRequest *)message;
    struct process *process = need_process(ctx, call, request->id, "");
    if (!process)
        return;
    Options__Checkpoint defaults = OPTIONS__CHECKPOINT__INIT, *options = NULL;
    if (request->options) {
        options = options__checkpoint__unpack(NULL, request->options->value.len,
                                              request->options->value.data);
        if (!options) {
            ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "the checkpoint options cannot be decoded");
            return;
        }
    }
    checkpoint(process, call, request, options ? options : &defaults);
    options__checkpoint__free_unpacked(options, NULL);
}

static void on_update(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__UpdateRequest *request = (const Task__UpdateRequest *)message;
    struct process *process = need_process(ctx, call, request->id, "");
    if (!process)
        return;
    if (!request->resources) {
        ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "an update needs resources");
        return;
    }
    cleanup_close int file = memfd_create("resources", MFD_CLOEXEC);
    const ProtobufCBinaryData *json = &request->resources->value;
    if (file < 0 || write_all(file, json->data, json->len) < 0 || lseek(file, 0, SEEK_SET) < 0) {
        ttrpc_fail(call, TTRPC_UNKNOWN, "keep the resources: %s", strerror(errno));
        return;
    }
    int fds[3] = {file, -1, -1};
    struct arguments command = {.items = {"update", "--resources", "-", process->container->id},
                                .count = 4};
    act((struct action){process, call, "OCI runtime update failed", NULL, NULL}, &command, fds,
        RUNTIME_QUIET);
}

static void on_stats(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__ProcessRequest *request = (const Task__ProcessRequest *)message;
    struct container *container = need_container(ctx, call, request->id);
    if (!container)
        return;
    if (!container->cgroups) {
        ttrpc_fail(call, TTRPC_NOT_FOUND, "cgroup does not exist: not found");
        return;
    }
    Task__StatsResponse response = TASK__STATS_RESPONSE__INIT;
    Ttrpc__Any any = TTRPC__ANY__INIT;
    cgroups_stats(container->cgroups, &any);
    response.stats = &any;
    ttrpc_reply(call, &response.base);
    free(any.type_url);
    free(any.value.data);
}

/* --- Exec, ResizePty, CloseIO ---------------------------------------------------------------- */

/* The process as the client gave it, with the terminal that it asks for now. */
static bool take_spec(struct process *process, const Task__ExecRequest *request, struct error *err)
{
    const ProtobufCBinaryData *data = &request->spec->value;
    cleanup_json json_t *json = json_parse((const char *)data->data, data->len, "exec spec", err);
    if (!json)
        return false;
    if (!json_is_object(json)) {
        error_set(err, "the exec spec is not an object");
        return false;
    }
    json_object_set_new(json, "terminal", json_boolean(request->terminal));
    cleanup_free char *text = json_text(json, JSON_COMPACT);
    buffer_append_text(&process->spec, text);
    return true;
}

static bool exec_id_valid(const char *id)
{
    return *id && strlen(id) <= 128 && !strchr(id, '/') && strcmp(id, "init") != 0 && id[0] != '.';
}

static void on_exec(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__ExecRequest *request = (const Task__ExecRequest *)message;
    struct container *container = need_container(ctx, call, request->id);
    cleanup_error struct error err = ERROR_INIT;
    if (!container)
        return;
    if (!exec_id_valid(request->exec_id) || !request->spec) {
        ttrpc_fail(call, TTRPC_INVALID_ARGUMENT, "an exec needs a name for files and a process");
        return;
    }
    if (process_find(container, request->exec_id)) {
        ttrpc_fail(call, TTRPC_ALREADY_EXISTS, "id %s: already exists", request->exec_id);
        return;
    }
    if (container->init.status == TASK__STATUS__STOPPED ||
        container->init.status == TASK__STATUS__PAUSED) {
        ttrpc_fail(call, TTRPC_FAILED_PRECONDITION, "cannot exec in a %s state",
                   status_name(&container->init));
        return;
    }
    struct process *process = xcalloc(1, sizeof(*process));
    if (!take_spec(process, request, &err)) {
        task_fail(call, TTRPC_INVALID_ARGUMENT, &err);
        free(process);
        return;
    }
    process->container = container;
    process->exec_id = xstrdup(request->exec_id);
    process->status = TASK__STATUS__CREATED;
    process->stdin_uri = xstrdup(request->stdin);
    process->stdout_uri = xstrdup(request->stdout);
    process->stderr_uri = xstrdup(request->stderr);
    process->terminal = request->terminal;
    process->next = container->execs;
    container->execs = process;
    Events__TaskExecAdded event = EVENTS__TASK_EXEC_ADDED__INIT;
    event.container_id = container->id;
    event.exec_id = process->exec_id;
    publish(ctx, "/tasks/exec-added", "containerd.events.TaskExecAdded", &event.base);
    reply_empty(call);
}

static void on_resize(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__ResizePtyRequest *request = (const Task__ResizePtyRequest *)message;
    struct process *process = need_process(ctx, call, request->id, request->exec_id);
    if (!process)
        return;
    int ret = process->stdio ? stdio_resize(process->stdio, request->width, request->height) : 0;
    if (ret < 0)
        ttrpc_fail(call, TTRPC_UNKNOWN, "resize the terminal: %s", strerror(-ret));
    else
        reply_empty(call);
}

static void on_close_io(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    const Task__CloseIORequest *request = (const Task__CloseIORequest *)message;
    struct process *process = need_process(ctx, call, request->id, request->exec_id);
    if (!process)
        return;
    if (process->stdio && request->stdin)
        stdio_close_stdin(process->stdio);
    reply_empty(call);
}

static void on_create(void *ctx, struct ttrpc_call *call, const ProtobufCMessage *message)
{
    task_create(ctx, call, (const Task__CreateRequest *)message);
}

static const char *const names[] = {"containerd.task.v2.Task", "containerd.task.v3.Task", NULL};
static const struct ttrpc_method methods[] = {
    {"Create", &task__create_request__descriptor, on_create},
    {"State", &task__process_request__descriptor, on_state},
    {"Start", &task__process_request__descriptor, on_start},
    {"Delete", &task__process_request__descriptor, on_delete},
    {"Pids", &task__process_request__descriptor, on_pids},
    {"Pause", &task__process_request__descriptor, on_pause},
    {"Resume", &task__process_request__descriptor, on_resume},
    {"Wait", &task__process_request__descriptor, on_wait},
    {"Stats", &task__process_request__descriptor, on_stats},
    {"Connect", &task__process_request__descriptor, on_connect},
    {"Checkpoint", &task__checkpoint_request__descriptor, on_checkpoint},
    {"Kill", &task__kill_request__descriptor, on_kill},
    {"Exec", &task__exec_request__descriptor, on_exec},
    {"ResizePty", &task__resize_pty_request__descriptor, on_resize},
    {"CloseIO", &task__close_iorequest__descriptor, on_close_io},
    {"Update", &task__update_request__descriptor, on_update},
    {"Shutdown", &task__shutdown_request__descriptor, on_shutdown},
};

const struct ttrpc_service g_task_service = {names, methods, array_count(methods)};
