/* SPDX-License-Identifier: Apache-2.0 */
/* A further process in a container: joins what the init has, then goes through the second half of
 * its set-up. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/private.h"
#include "container/sequence.h"

struct exec_context {
    struct container *container;
    const struct container_exec_options *options;
    struct container_init init;
    struct spawn_request spawn;
    struct cgroup cgroup;
    struct foreground *fg;
    int sync[2];
    int pidfd;
    pid_t pid;
};

static const char *const namespace_files[OCI_NS_TYPES] = {
    [OCI_NS_USER] = "user",     [OCI_NS_IPC] = "ipc",   [OCI_NS_UTS] = "uts",
    [OCI_NS_NETWORK] = "net",   [OCI_NS_PID] = "pid",   [OCI_NS_MOUNT] = "mnt",
    [OCI_NS_CGROUP] = "cgroup", [OCI_NS_TIME] = "time",
};

/* The namespaces in which the init differs from us. */
static int plan_namespaces(struct exec_context *c, struct error *err)
{
    pid_t pid = c->container->state->pid;
    c->spawn.config = c->init.config;
    c->spawn.cgroup_dir = c->spawn.cgroup_fallback = -1;
    for (size_t i = 0; i < OCI_NS_TYPES; i++)
        c->spawn.join[i] = -1;
    cleanup_free char *path = xasprintf("%d/ns", (int)pid);
    /* O_PATH: the directory is not ours to read where the process has another of our user's ids. */
    cleanup_close int theirs = proc_open_at(c->init.proc_fd, path, O_PATH | O_DIRECTORY, err);
    cleanup_close int ours = theirs < 0 ? -1
                                        : proc_open_at(c->init.proc_fd, "self/ns",
                                                       O_PATH | O_DIRECTORY, err);
    if (theirs < 0 || ours < 0)
        return error_wrap(err, "namespaces of process %d", (int)pid);
    for (size_t i = 0; i < OCI_NS_TYPES; i++) {
        struct stat a, b;
        if (!c->init.config->namespaces[i].present)
            continue;
        if (fstatat(theirs, namespace_files[i], &a, 0) < 0 ||
            fstatat(ours, namespace_files[i], &b, 0) < 0)
            return error_errno(err, errno, "read the %s namespace", oci_namespace_names[i]);
        if (a.st_ino == b.st_ino && a.st_dev == b.st_dev)
            continue;
        c->spawn.join[i] = openat(theirs, namespace_files[i], O_RDONLY | O_CLOEXEC);
        if (c->spawn.join[i] < 0)
            return error_errno(err, errno, "open the %s namespace", oci_namespace_names[i]);
    }
    /* The init may have died meanwhile and its number been reused: what was opened is then somebody
     * else's. */
    if (!proc_alive(pid, c->container->state->start_time))
        return error_set(err, "cannot exec in a stopped container");
    return 0;
}

static struct setup sequence_of(struct exec_context *c)
{
    return (struct setup){.init = &c->init,
                          .payload = c->options->payload,
                          .spawn = &c->spawn,
                          .cgroup_optional = c->cgroup.optional};
}

static int child_main(void *ctx, int cgroup_status)
{
    struct exec_context *c = ctx;
    cleanup_error struct error err = ERROR_INIT;
    close_and_reset(&c->sync[0]);
    /* Nobody in the container may look into us, or at rune's binary through /proc/PID/exe, before
     * the execve(). */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (c->fg)
        foreground_child(c->fg);
    struct setup setup = sequence_of(c);
    setup.cgroup_status = cgroup_status;
    return sequence_run(&setup, &err);
}

static int check_status(struct exec_context *c, struct error *err)
{
    switch (container_status(c->container)) {
    case CONTAINER_STOPPED:
        return error_set(err, "cannot exec in a stopped container");
    case CONTAINER_PAUSED:
        if (!c->options->ignore_paused)
            return error_set(err,
                             "cannot exec in a paused container (use --ignore-paused to override)");
        break;
    case CONTAINER_CREATING:
        return error_set(err, "cannot exec in a container that is being created");
    default:
        break;
    }
    return 0;
}

static bool within(const char *path)
{
    cleanup_free char *joined = path_join("/base", path);
    cleanup_free char *clean = path_clean(joined);
    return strncmp(clean, "/base", 5) == 0 && (clean[5] == '/' || !clean[5]);
}

/* True when `path` is the directory of one of the listed controllers. */
static bool shares_controller(const struct cgroup *cgroup, const char *controllers,
                              const char *path)
{
    cleanup_free char *copy = xstrdup(controllers);
    char *rest = copy;
    for (char *name; (name = strsep(&rest, ","));)
        if (cgroup_path(cgroup, name) == path)
            return true;
    return false;
}

/* --cgroup: a directory below the container's own, given as PATH or CONTROLLER[,...]:PATH. */
static int sub_cgroup(struct cgroup *cgroup, const char *wanted, struct error *err)
{
    const char *colon = strchr(wanted, ':');
    cleanup_free char *controllers = colon ? xstrndup(wanted, (size_t)(colon - wanted)) : NULL;
    const char *path = colon ? colon + 1 : wanted;
    if (!within(path))
        return error_set(err, "bad sub cgroup path: %s is not a sub cgroup path", path);
    bool found = false;
    json_t *paths = json_object(), *value;
    const char *key;
    json_object_foreach (cgroup->paths, key, value) {
        const char *own = json_string_value(value);
        bool fits = !controllers || cgroup->v2 || shares_controller(cgroup, controllers, own);
        found |= fits;
        cleanup_free char *joined = path_join(own, fits ? path : "");
        cleanup_free char *clean = path_clean(joined);
        /* The hybrid layout's unified hierarchy has no controllers: who makes sub cgroups may leave
         * it out. */
        if (strcmp(key, "unified") == 0 && access(clean, F_OK) < 0)
            continue;
        json_object_set_new(paths, key, json_string(clean));
        if (fits && access(clean, F_OK) < 0) {
            json_decref(paths);
            return error_code(
                err, ENOENT,
                "adding pid to cgroup: open %s/cgroup.procs: no such file or directory", clean);
        }
    }
    json_decref(cgroup->paths);
    cgroup->paths = paths;
    return found ? 0 : error_set(err, "unknown controller %s", controllers ? controllers : "");
}

static int prepare(struct exec_context *c, struct oci_config *config,
                   const struct oci_process *process, struct error *err)
{
    const struct container_exec_options *options = c->options;
    struct container_init *init = &c->init;
    init->id = xstrdup(c->container->id);
    init->bundle = xstrdup(c->container->state->bundle);
    init->state_dir = path_join(c->container->root, c->container->id);
    init->config = config;
    init->process = process;
    init->is_exec = true;
    init->preserve_fds = options->preserve_fds;
    init->new_user_namespace = config->namespaces[OCI_NS_USER].present;
    if (!process->cwd || process->cwd[0] != '/')
        return error_set(err, "Cwd must be an absolute path");
    if (process->args.count == 0)
        return error_set(err, "process args cannot be empty");
    if (process_check_environment(process, err) < 0)
        return -1;
    bool socket = options->console_socket && *options->console_socket;
    if (options->detach && process->terminal && !socket)
        return error_set(err,
                         "cannot allocate tty if rune will detach without setting console socket");
    if ((!options->detach || !process->terminal) && socket)
        return error_set(err, "cannot use console socket if rune will not detach or allocate tty");
    if (socket) {
        init->console_socket_fd = console_connect(options->console_socket, err);
        if (init->console_socket_fd < 0)
            return -1;
    }
    init->proc_fd = proc_open(err);
    if (init->proc_fd < 0)
        return -1;
    if (config->seccomp &&
        seccomp_filter_prepare(c->container->root, config->seccomp, &init->seccomp, err) < 0)
        return -1;
    cgroup_from_state(c->container->state, &c->cgroup);
    for (size_t i = 0; i < options->sub_cgroup_count; i++)
        if (sub_cgroup(&c->cgroup, options->sub_cgroups[i], err) < 0)
            return -1;
    return plan_namespaces(c, err);
}

/*
 * execCPUAffinity.initial holds before the process enters the container's cgroup, which is the
 * first thing that the new process does: it is set here and inherited.
 */
static pid_t spawn_with_affinity(struct exec_context *c, struct error *err)
{
    const char *cpus = c->init.process->cpu_affinity_initial;
    cpu_set_t own;
    if (!cpus || !*cpus)
        return spawn_process(&c->spawn, &c->pidfd, err);
    if (sched_getaffinity(0, sizeof(own), &own) < 0)
        return error_errno(err, errno, "get CPU affinity");
    if (process_affinity(cpus, err) < 0)
        return -1;
    pid_t pid = spawn_process(&c->spawn, &c->pidfd, err);
    (void)sched_setaffinity(0, sizeof(own), &own);
    return pid;
}

/* Where the init has moved itself, if it has. */
static int open_fallback(const struct exec_context *c)
{
    if (!c->cgroup.v2 || c->options->sub_cgroup_count > 0)
        return -1;
    cleanup_free char *file = xasprintf("/proc/%d/cgroup", (int)c->container->state->pid);
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_file_at(AT_FDCWD, file, &text, 65536, NULL) < 0)
        return -1;
    const char *path = strstr(buffer_text(&text), "0::/");
    if (!path)
        return -1;
    path += 3;
    cleanup_free char *procs = xasprintf("/sys/fs/cgroup%.*s/cgroup.procs",
                                         (int)strcspn(path, "\n"), path);
    return open(procs, O_WRONLY | O_CLOEXEC);
}

static int launch(struct exec_context *c, struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c->sync) < 0)
        return error_errno(err, errno, "create a socket pair");
    c->init.sync_fd = c->sync[1];
    struct setup setup = sequence_of(c);
    sequence_log(sequence_facts(&setup));
    int *files = NULL;
    size_t count = 0;
    int ret = cgroup_entrances(&c->cgroup, &files, &count, &c->spawn.cgroup_dir, err);
    if (ret == 0 && !c->options->detach) {
        c->fg = foreground_new(err);
        ret = c->fg ? 0 : -1;
    }
    if (ret == 0) {
        c->spawn.cgroup_fallback = open_fallback(c);
        c->spawn.cgroup_files = files;
        c->spawn.cgroup_file_count = count;
        c->spawn.proc_fd = c->init.proc_fd;
        c->spawn.child = child_main;
        c->spawn.ctx = c;
        c->pid = spawn_with_affinity(c, err);
        ret = c->pid < 0 ? -1 : 0;
    }
    close_fds(files, count);
    free(files);
    close_fds(&c->spawn.cgroup_dir, 1);
    close_fds(&c->spawn.cgroup_fallback, 1);
    close_and_reset(&c->sync[1]);
    return ret;
}

static void reap_failed(struct exec_context *c)
{
    if (c->pid <= 0)
        return;
    kill(c->pid, SIGKILL);
    (void)child_wait(c->pid);
    c->pid = 0;
}

static int serve(struct exec_context *c, struct error *err)
{
    struct sync_server server = {
        .id = c->container->id,
        .bundle = c->container->state->bundle,
        .config = c->init.config,
        .pid = c->pid,
        .container_pid = c->container->state->pid,
        .container_status = container_status_name(container_status(c->container)),
        .fg = c->fg,
    };
    /* The end of the stream is the success of the execve(), or of the payload's start. */
    int ret = sync_serve(&server, c->sync[0], err);
    if (ret < 0)
        return ret;
    if (c->options->pid_file && *c->options->pid_file)
        return write_pid_file(c->options->pid_file, c->pid, err);
    return 0;
}

int container_exec(struct container *container, struct oci_config *config,
                   const struct oci_process *process, const struct container_exec_options *options,
                   int *exit_status, struct error *err)
{
    struct exec_context c = {
        .container = container, .options = options, .sync = {-1, -1}, .pidfd = -1};
    c.init.sync_fd = c.init.fifo_fd = c.init.console_socket_fd = c.init.proc_fd = -1;
    for (size_t i = 0; i < OCI_NS_TYPES; i++)
        c.spawn.join[i] = -1;
    int ret = check_status(&c, err);
    if (ret == 0)
        ret = prepare(&c, config, process, err);
    if (ret == 0)
        ret = launch(&c, err);
    if (ret == 0)
        ret = serve(&c, err);
    if (ret < 0) {
        reap_failed(&c);
    } else if (c.fg) {
        close_fds(c.sync, 1);
        int status = foreground_wait(c.fg, c.pid, err);
        if (exit_status)
            *exit_status = status;
        ret = status < 0 ? status : 0;
    }
    spawn_close(&c.spawn);
    close_fds(c.sync, 2);
    close_fds(&c.pidfd, 1);
    close_fds(&c.init.console_socket_fd, 1);
    close_fds(&c.init.proc_fd, 1);
    container_init_free(&c.init);
    cgroup_release(&c.cgroup);
    if (c.fg)
        foreground_free(c.fg);
    return ret;
}
