/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Create, and Start of what needs its streams only then: a further process, a restored container.
 * These are one thing: open the streams, run rune with them, read the pid. Streams and rune go on
 * at the same time; a launch is over when both are done, or one has failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "shim/shim.h"

struct launch {
    struct process *process;
    struct ttrpc_call *call;
    const char *what; /* of an error: "OCI runtime create failed" */
    struct runtime_call *running;
    bool streams_open;
    bool cancelled;
    struct error err; /* why it fails */
    char *spec_path;  /* a file to remove */
    void (*succeeded)(struct process *process, struct ttrpc_call *call);
    void (*failed)(struct process *process, struct ttrpc_call *call, const struct error *err);
};

static int read_pid(const struct process *process, pid_t *pid, struct error *err)
{
    cleanup_free char *path = process_pid_file(process);
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_file_at(AT_FDCWD, path, &text, 64, err) < 0)
        return error_wrap(err, "failed to retrieve OCI runtime container pid");
    *pid = (pid_t)strtol(buffer_text(&text), NULL, 10);
    return *pid > 0 ? 0 : error_set(err, "%s: no process id", path);
}

/* After the answer: the process may have ended meanwhile. */
static void launch_over(struct shim *shim, struct process *process)
{
    int status;
    if (process && process->pid > 0 && exit_note_take(shim, process->pid, &status))
        process_ended(process, status);
    if (process)
        process_settle(process);
    if (--shim->launches == 0)
        exit_notes_clear(shim);
}

static void check(struct launch *launch)
{
    struct process *process = launch->process;
    struct shim *shim = process->container->shim;
    bool bad = launch->err.message != NULL;
    if (launch->running || (!bad && !launch->streams_open))
        return;
    bad = bad || stdio_relay(process->stdio, &launch->err) < 0;
    if (launch->spec_path)
        (void)unlink(launch->spec_path);
    free(launch->spec_path);
    ttrpc_call_on_cancel(launch->call, NULL, NULL);
    if (bad) {
        launch->failed(process, launch->call, &launch->err);
        process = NULL;
    } else {
        launch->succeeded(process, launch->call);
    }
    error_release(&launch->err);
    free(launch);
    launch_over(shim, process);
}

static void streams_opened(void *ctx, const struct error *err)
{
    struct launch *launch = ctx;
    launch->streams_open = true;
    if (err && !launch->err.message)
        error_code(&launch->err, err->code, "%s", error_text(err));
    if (err && launch->running)
        (void)kill(launch->running->child.pid, SIGKILL);
    check(launch);
}

static void runtime_done(struct runtime_call *call, int status)
{
    struct launch *launch = call->ctx;
    struct process *process = launch->process;
    launch->running = NULL;
    process->container->unclean = WIFSIGNALED(status) || WEXITSTATUS(status) == 0;
    if (process->stdio)
        stdio_started(process->stdio);
    if (launch->err.message) {
        cleanup_error struct error said = ERROR_INIT;
        if (runtime_result(call, status, launch->what, &said) < 0)
            log_debug("%s", error_text(&said));
    } else if (runtime_result(call, status, launch->what, &launch->err) == 0) {
        (void)read_pid(process, &process->pid, &launch->err);
    }
    check(launch);
}

/* Nobody waits for the answer any more: nothing is to be left. */
static void launch_cancelled(struct ttrpc_call *call, void *ctx)
{
    struct launch *launch = ctx;
    if (!launch->err.message)
        error_set(&launch->err, "%s: it was cancelled", launch->what);
    if (launch->running)
        (void)kill(launch->running->child.pid, SIGKILL);
    else
        check(launch);
}

/* `command` lacks the options that all have; `last`: its arguments. */
static void launch_start(struct launch *launch, struct arguments *command, const char *last)
{
    struct process *process = launch->process;
    struct container *container = process->container;
    container->shim->launches++;
    process->busy = true;
    cleanup_free char *pid_file = process_pid_file(process);
    if (stdio_open(process, streams_opened, launch, &launch->err) == 0) {
        arguments_add(command, "--pid-file");
        arguments_add(command, pid_file);
        if (stdio_console_socket(process->stdio)) {
            arguments_add(command, "--console-socket");
            arguments_add(command, stdio_console_socket(process->stdio));
        }
        arguments_add(command, last);
        launch->running = runtime_run(container->shim, &container->runtime, command,
                                      stdio_fds(process->stdio), RUNTIME_QUIET, runtime_done,
                                      launch, &launch->err);
    }
    ttrpc_call_on_cancel(launch->call, launch_cancelled, launch);
    check(launch);
}

static struct launch *launch_new(struct process *process, struct ttrpc_call *call, const char *what)
{
    struct launch *launch = xcalloc(1, sizeof(*launch));
    launch->process = process;
    launch->call = call;
    launch->what = what;
    return launch;
}

/* --- Create ---------------------------------------------------------------------------------- */

/* What the shim has to know of config.json. */
static int read_configuration(struct container *container, struct error *err)
{
    enum { CONFIG_MAX = 16 << 20 };
    cleanup_free char *path = path_join(container->bundle, "config.json");
    cleanup_json json_t *config = json_parse_file(AT_FDCWD, path, CONFIG_MAX, err);
    if (!config)
        return -1;
    json_t *linux_part = json_object_get(config, "linux"), *entry;
    size_t i;
    container->kill_all = true;
    json_array_foreach (json_object_get(linux_part, "namespaces"), i, entry) {
        const char *type = json_string_value(json_object_get(entry, "type"));
        const char *joined = json_string_value(json_object_get(entry, "path"));
        if (type && strcmp(type, "pid") == 0 && (!joined || !*joined))
            container->kill_all = false;
    }
    /*
     * "SLICE:PREFIX:NAME" is systemd's; CRI has no other way to say so to a runtime that is not
     * runc.
     */
    const char *cgroups = json_string_value(json_object_get(linux_part, "cgroupsPath"));
    const char *colon = cgroups ? strchr(cgroups, ':') : NULL;
    if (colon && colon - cgroups > 6 && strncmp(colon - 6, ".slice", 6) == 0 &&
        strchr(colon + 1, ':'))
        container->runtime.systemd_cgroup = true;
    return 0;
}

static void created(struct process *process, struct ttrpc_call *call)
{
    struct container *container = process->container;
    Task__PidResponse response = TASK__PID_RESPONSE__INIT;
    Events__TaskCreate event = EVENTS__TASK_CREATE__INIT;
    Events__TaskIO io = EVENTS__TASK_IO__INIT;
    container->creating = false;
    if (process->pid > 0)
        container->cgroups = cgroups_of(process->pid);
    process->status = TASK__STATUS__CREATED;
    event.container_id = container->id;
    event.bundle = container->bundle;
    event.io = &io;
    event.checkpoint = process->checkpoint ? process->checkpoint : event.checkpoint;
    event.pid = response.pid = (uint32_t)process->pid;
    io.stdin = process->stdin_uri;
    io.stdout = process->stdout_uri;
    io.stderr = process->stderr_uri;
    io.terminal = process->terminal;
    event.rootfs = container->request->rootfs;
    event.n_rootfs = container->request->n_rootfs;
    publish(container->shim, "/tasks/create", "containerd.events.TaskCreate", &event.base);
    task__create_request__free_unpacked(container->request, NULL);
    container->request = NULL;
    ttrpc_reply(call, &response.base);
}

static void give_up(struct container *container, struct ttrpc_call *call, const struct error *why)
{
    cleanup_error struct error err = ERROR_INIT;
    if (container->mounted && rootfs_unmount(container->rootfs, &err) < 0)
        log_warning("%s", error_text(&err));
    task_fail(call, TTRPC_UNKNOWN, why);
    container_free(container);
}

/* What a killed rune has left is removed before the answer. */
struct removal {
    struct container *container;
    struct ttrpc_call *call;
    struct error why;
};

static void removed(struct runtime_call *call, int status)
{
    struct removal *removal = call->ctx;
    cleanup_error struct error err = ERROR_INIT;
    if (runtime_result(call, status, "remove what a failed create has left", &err) < 0)
        log_debug("%s", error_text(&err));
    give_up(removal->container, removal->call, &removal->why);
    error_release(&removal->why);
    free(removal);
}

static void create_failed(struct process *process, struct ttrpc_call *call, const struct error *why)
{
    struct container *container = process->container;
    struct arguments command = {.items = {"delete", "--force", container->id}, .count = 3};
    if (!container->unclean) {
        give_up(container, call, why); /* rune has removed all it made */
        return;
    }
    struct removal *removal = xcalloc(1, sizeof(*removal));
    removal->container = container;
    removal->call = call;
    error_code(&removal->why, why->code, "%s", error_text(why));
    if (runtime_run(container->shim, &container->runtime, &command, NULL, RUNTIME_QUIET, removed,
                    removal, NULL))
        return;
    give_up(container, call, why);
    error_release(&removal->why);
    free(removal);
}

/* A message that outlives the handler. */
static Task__CreateRequest *copy_request(const Task__CreateRequest *request)
{
    size_t size;
    cleanup_free uint8_t *bytes = ttrpc_pack(&request->base, &size);
    return task__create_request__unpack(NULL, size, bytes);
}

static struct container *container_new(struct shim *shim, const Task__CreateRequest *request)
{
    struct container *container = xcalloc(1, sizeof(*container));
    container->shim = shim;
    container->id = xstrdup(request->id);
    container->bundle = xstrdup(request->bundle);
    container->rootfs = path_join(request->bundle, "rootfs");
    container->creating = true;
    container->request = copy_request(request);
    container->init = (struct process){
        .container = container,
        .exec_id = xstrdup(""),
        .status = TASK__STATUS__UNKNOWN,
        .stdin_uri = xstrdup(request->stdin),
        .stdout_uri = xstrdup(request->stdout),
        .stderr_uri = xstrdup(request->stderr),
        .terminal = request->terminal,
        .checkpoint = *request->checkpoint ? xstrdup(request->checkpoint) : NULL,
    };
    container->next = shim->containers;
    shim->containers = container;
    shim_check_empty(shim);
    return container;
}

static int prepare(struct container *container, const Task__CreateRequest *request,
                   struct error *err)
{
    if (runtime_config_read(container->shim, request->options, &container->runtime, err) < 0 ||
        read_configuration(container, err) < 0 ||
        runtime_config_save(&container->runtime, container->bundle, err) < 0)
        return -1;
    if (request->n_rootfs == 0)
        return 0;
    if (mkdir(container->rootfs, 0711) < 0 && errno != EEXIST)
        return error_errno(err, errno, "create %s", container->rootfs);
    if (rootfs_mount(container->rootfs, request->rootfs, request->n_rootfs, err) < 0)
        return -1;
    container->mounted = true;
    return 0;
}

void task_create(struct shim *shim, struct ttrpc_call *call, const Task__CreateRequest *request)
{
    cleanup_error struct error err = ERROR_INIT;
    if (container_find(shim, request->id)) {
        ttrpc_fail(call, TTRPC_ALREADY_EXISTS, "container %s already exists", request->id);
        return;
    }
    struct container *container = container_new(shim, request);
    if (prepare(container, request, &err) < 0) {
        give_up(container, call, &err);
        return;
    }
    if (container->init.checkpoint) {
        created(&container->init, call); /* its Start restores it */
        return;
    }
    struct arguments command = {.items = {"create", "--bundle", container->bundle}, .count = 3};
    if (container->runtime.no_pivot)
        arguments_add(&command, "--no-pivot");
    if (container->runtime.no_new_keyring)
        arguments_add(&command, "--no-new-keyring");
    struct launch *launch = launch_new(&container->init, call, "OCI runtime create failed");
    launch->succeeded = created;
    launch->failed = create_failed;
    launch_start(launch, &command, container->id);
}

/* --- Start ----------------------------------------------------------------------------------- */

static void init_runs(struct process *process, struct ttrpc_call *call)
{
    struct container *container = process->container;
    Task__PidResponse response = TASK__PID_RESPONSE__INIT;
    Events__TaskStart event = EVENTS__TASK_START__INIT;
    process->status = TASK__STATUS__RUNNING;
    if (!container->cgroups)
        container->cgroups = cgroups_of(process->pid);
    container->oom = oom_watch_new(container);
    event.container_id = container->id;
    event.pid = response.pid = (uint32_t)process->pid;
    publish(container->shim, "/tasks/start", "containerd.events.TaskStart", &event.base);
    ttrpc_reply(call, &response.base);
}

struct start {
    struct process *process;
    struct ttrpc_call *call;
};

static void started(struct runtime_call *runtime, int status)
{
    struct start *start = runtime->ctx;
    struct process *process = start->process;
    cleanup_error struct error err = ERROR_INIT;
    if (runtime_result(runtime, status, "OCI runtime start failed", &err) < 0)
        task_fail(start->call, TTRPC_UNKNOWN, &err);
    else
        init_runs(process, start->call);
    free(start);
    process_settle(process);
}

static void start_failed(struct process *process, struct ttrpc_call *call, const struct error *err)
{
    if (process->pid > 0)
        (void)kill(process->pid, SIGKILL); /* it runs, and nobody can ever see its output */
    process->pid = 0;
    stdio_free(process->stdio);
    process->stdio = NULL;
    process->busy = false;
    task_fail(call, TTRPC_UNKNOWN, err);
}

static void restore(struct process *process, struct ttrpc_call *call)
{
    struct container *container = process->container;
    cleanup_free char *work = container->runtime.criu_work_path
                                  ? xstrdup(container->runtime.criu_work_path)
                                  : path_join(container->bundle, "work");
    struct arguments command = {.items = {"restore", "--detach", "--no-subreaper", "--image-path",
                                          process->checkpoint, "--work-path", work, "--bundle",
                                          container->bundle},
                                .count = 9};
    if (container->runtime.no_pivot)
        arguments_add(&command, "--no-pivot");
    struct launch *launch = launch_new(process, call, "OCI runtime restore failed");
    launch->succeeded = init_runs;
    launch->failed = start_failed;
    launch_start(launch, &command, container->id);
}

void task_start_init(struct process *process, struct ttrpc_call *call)
{
    struct container *container = process->container;
    cleanup_error struct error err = ERROR_INIT;
    if (process->checkpoint) {
        restore(process, call);
        return;
    }
    struct arguments command = {.items = {"start", container->id}, .count = 2};
    struct start *start = xmalloc(sizeof(*start));
    *start = (struct start){process, call};
    process->busy = true;
    if (runtime_run(container->shim, &container->runtime, &command, NULL, RUNTIME_QUIET, started,
                    start, &err))
        return;
    process->busy = false;
    free(start);
    task_fail(call, TTRPC_UNKNOWN, &err);
}

static void exec_runs(struct process *process, struct ttrpc_call *call)
{
    Task__PidResponse response = TASK__PID_RESPONSE__INIT;
    Events__TaskExecStarted event = EVENTS__TASK_EXEC_STARTED__INIT;
    process->status = TASK__STATUS__RUNNING;
    event.container_id = process->container->id;
    event.exec_id = process->exec_id;
    event.pid = response.pid = (uint32_t)process->pid;
    publish(process->container->shim, "/tasks/exec-started", "containerd.events.TaskExecStarted",
            &event.base);
    ttrpc_reply(call, &response.base);
}

/* The process as a file for `rune exec --process`. */
static char *write_spec(const struct process *process, struct error *err)
{
    cleanup_free char *path = xasprintf("%s/%s.process.json", process->container->bundle,
                                        process->exec_id);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int ret = fd < 0 ? -errno : write_all(fd, process->spec.data, process->spec.size);
    if (ret == 0)
        return take_ptr(path);
    error_errno(err, -ret, "write %s", path);
    return NULL;
}

void task_start_exec(struct process *process, struct ttrpc_call *call)
{
    struct launch *launch = launch_new(process, call, "OCI runtime exec failed");
    launch->succeeded = exec_runs;
    launch->failed = start_failed;
    launch->spec_path = write_spec(process, &launch->err);
    struct arguments command = {.items = {"exec", "--detach", "--process", launch->spec_path},
                                .count = 4};
    if (launch->spec_path) {
        launch_start(launch, &command, process->container->id);
        return;
    }
    task_fail(call, TTRPC_UNKNOWN, &launch->err);
    error_release(&launch->err);
    free(launch);
}
