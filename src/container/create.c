/* SPDX-License-Identifier: Apache-2.0 */
/* rune's side of making a container: state directory, cgroups, the process, and serving it until it
 * is ready. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/creation.h"
#include "container/sequence.h"

void close_fds(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close_and_reset(&fds[i]);
}

int write_pid_file(const char *path, pid_t pid, struct error *err)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%d", (int)pid);
    /* Renamed into place: who waits for the file never reads half a number. */
    if (replace_file_at(AT_FDCWD, path, text, (size_t)length, 0644, false, err) < 0)
        return error_wrap(err, "pid file");
    return 0;
}

static int open_root(const struct container_create_options *options, struct error *err)
{
    if (path_mkdir_p(options->root, 0700, err) < 0)
        return error_wrap(err, "state root");
    return 0;
}

static int make_state_dir(struct creation *c, struct error *err)
{
    const char *id = c->options->id;
    if (open_root(c->options, err) < 0)
        return -1;
    cleanup_free char *path = path_join(c->options->root, id);
    if (mkdir(path, 0711) < 0) {
        if (errno == EEXIST)
            return error_code(err, EEXIST, "container with given ID already exists: %s", id);
        return error_errno(err, errno, "create state directory %s", path);
    }
    c->dir_made = true;
    c->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (c->dir < 0)
        return error_errno(err, errno, "open state directory %s", path);
    c->init.state_dir = xstrdup(path);
    return 0;
}

static char *owner_name(void)
{
    /* getpwuid() would load NSS modules; the name of root is known, others are shown by number. */
    return geteuid() == 0 ? xstrdup("root") : xasprintf("%u", geteuid());
}

static json_t *new_state_tree(const struct creation *c)
{
    const struct container_create_options *options = c->options;
    struct timespec now;
    struct tm utc;
    char stamp[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + n, sizeof(stamp) - n, ".%09ldZ", now.tv_nsec);
    cleanup_free char *owner = owner_name();
    uint64_t start_time = 0;
    (void)proc_stat(getpid(), &start_time, NULL);

    json_t *tree = json_object();
    json_object_set_new(tree, "stateVersion", json_integer(OCI_STATE_VERSION));
    json_object_set_new(tree, "id", json_string(options->id));
    json_object_set_new(tree, "ociVersion", json_string(c->config->version));
    json_object_set_new(tree, "pid", json_integer(0));
    json_object_set_new(tree, "startTime", json_integer(0));
    json_object_set_new(tree, "bundle", json_string(options->bundle));
    json_object_set_new(tree, "rootfs", json_string(c->init.rootfs));
    json_object_set_new(tree, "created", json_string(stamp));
    json_object_set_new(tree, "owner", json_string(owner));
    json_object_set_new(tree, "creator", json_integer(getpid()));
    json_object_set_new(tree, "creatorStartTime", json_integer((json_int_t)start_time));
    json_object_set_new(tree, "systemdCgroup", json_boolean(options->systemd_cgroup));
    json_object_set_new(tree, "rootless", json_boolean(c->cgroup.optional));
    json_object_set(tree, "cgroupPaths", c->cgroup.paths);
    json_object_set_new(tree, "externalDescriptors", proc_descriptors());
    if (c->cgroup.unit)
        json_object_set_new(tree, "systemdUnit", json_string(c->cgroup.unit));
    if (options->enclave)
        json_object_set_new(tree, "enclave", json_string(options->enclave));
    json_t *annotations = json_object_get(c->config->json, "annotations");
    if (json_object_size(annotations) > 0)
        json_object_set(tree, "annotations", annotations);
    return tree;
}

static int save_first_state(struct creation *c, struct error *err)
{
    cleanup_json json_t *tree = new_state_tree(c);
    if (oci_state_from_json(tree, &c->state, err) < 0 || oci_state_save(c->dir, c->state, err) < 0)
        return -1;
    if (!c->options->config_edited)
        return replace_file_at(c->dir, "config.json", c->config->text.data, c->config->text.size,
                               0600, false, err);
    cleanup_free char *config = json_text(c->config->json, JSON_COMPACT);
    return replace_file_at(c->dir, "config.json", config, strlen(config), 0600, false, err);
}

/*
 * Its name says that the set-up is not over yet; it gets the name that `start` looks for when it
 * is. Open for both, which does not wait for another end, and a read then waits for a byte.
 */
static int make_fifo(struct creation *c, struct error *err)
{
    if (mkfifoat(c->dir, "setup.fifo", 0600) < 0)
        return error_errno(err, errno, "create the exec fifo");
    c->init.fifo_fd = openat(c->dir, "setup.fifo", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (c->init.fifo_fd < 0)
        return error_errno(err, errno, "open the exec fifo");
    return 0;
}

/* ---- the child ---- */

static struct setup sequence_of(struct creation *c)
{
    return (struct setup){.init = &c->init,
                          .spawn = &c->spawn,
                          .init_program = c->options->init_program,
                          .init_preload = c->options->init_preload,
                          .waits = c->init.new_user_namespace || c->cgroup.systemd};
}

static int child_main(void *ctx, int cgroup_status)
{
    struct creation *c = ctx;
    cleanup_error struct error err = ERROR_INIT;
    close_and_reset(&c->sync[0]);
    if (c->fg)
        foreground_child(c->fg);
    struct setup setup = sequence_of(c);
    setup.cgroup_status = cgroup_status;
    return sequence_run(&setup, &err);
}

static int report_death(pid_t pid, struct error *err)
{
    int status = child_wait(pid);
    if (WIFSIGNALED(status))
        return error_set(err, "the container's init was killed by signal %d (%s) during set-up",
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
    return error_set(err, "the container's init ended with status %d during set-up",
                     WEXITSTATUS(status));
}

/* ---- the parent ---- */

static int fill_init(struct creation *c, struct error *err)
{
    const struct container_create_options *options = c->options;
    struct container_init *init = &c->init;
    init->sync_fd = init->fifo_fd = init->console_socket_fd = init->proc_fd = -1;
    init->id = xstrdup(options->id);
    init->bundle = xstrdup(options->bundle);
    init->config = c->config;
    init->process = &c->config->process;
    init->preserve_fds = options->preserve_fds;
    init->no_pivot = options->no_pivot;
    init->no_new_keyring = options->no_new_keyring;
    init->new_user_namespace = c->config->namespaces[OCI_NS_USER].present;
    init->of_ordinary_user = init->new_user_namespace && geteuid() != 0;
    init->fds = (struct container_fd *)(uintptr_t)options->init_fds;
    init->fd_count = options->init_fd_count;

    cleanup_free char *joined = c->config->root_path[0] == '/'
                                    ? xstrdup(c->config->root_path)
                                    : path_join(options->bundle, c->config->root_path);
    init->rootfs = realpath(joined, NULL);
    struct stat st;
    if (!init->rootfs || stat(init->rootfs, &st) < 0)
        return error_code(err, errno, "rootfs (%s) does not exist", joined);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, "rootfs (%s) is not a directory", joined);
    return 0;
}

/* As runc: without a rule of its own a container may use the default devices and no others. */
static void default_device_rules(struct oci_config *config)
{
    static struct oci_device_rule deny_all = {
        .allow = false, .type = 'a', .major = -1, .minor = -1, .access = "rwm"};

    if (config->resources.device_count == 0) {
        config->resources.devices = &deny_all;
        config->resources.device_count = 1;
    }
}

int creation_prepare(struct creation *c, struct error *err)
{
    const struct container_create_options *options = c->options;
    if (c->config->seccomp &&
        seccomp_filter_prepare(options->root, c->config->seccomp, &c->init.seccomp, err) < 0)
        return -1;
    if (options->console_socket && *options->console_socket) {
        c->init.console_socket_fd = console_connect(options->console_socket, err);
        if (c->init.console_socket_fd < 0)
            return -1;
    }
    c->init.proc_fd = proc_open(err);
    if (c->init.proc_fd < 0)
        return -1;
    if (cgroup_plan(options, c->config, &c->cgroup, err) < 0)
        return -1;
    c->cgroup_planned = true;
    if (make_state_dir(c, err) < 0 || save_first_state(c, err) < 0)
        return -1;
    if (options->state_dir_made && options->state_dir_made(options->state_dir_ctx, c->dir, err) < 0)
        return -1;
    if (!options->run && make_fifo(c, err) < 0)
        return -1;
    default_device_rules(c->config);
    if (!c->cgroup.systemd && cgroup_create(&c->cgroup, c->config, 0, err) < 0)
        return -1;
    c->init.cgroup_mounts = cgroup_visible(&c->cgroup, err);
    if (!c->init.cgroup_mounts)
        return -1;
    return 0;
}

static int launch(struct creation *c, struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c->sync) < 0)
        return error_errno(err, errno, "create a socket pair");
    c->init.sync_fd = c->sync[1];
    if (spawn_plan(c->config, &c->spawn, err) < 0)
        return -1;
    struct setup setup = sequence_of(c);
    sequence_log(sequence_facts(&setup));
    int ret = 0;
    /* systemd moves the process later. */
    if (!c->cgroup.systemd)
        ret = cgroup_entrances(&c->cgroup, &c->cgroup_files, &c->cgroup_file_count,
                               &c->spawn.cgroup_dir, err);
    if (ret == 0 && c->options->run && !c->options->detach) {
        c->fg = foreground_new(err);
        ret = c->fg ? 0 : -1;
    }
    if (ret == 0) {
        c->spawn.cgroup_files = c->cgroup_files;
        c->spawn.cgroup_file_count = c->cgroup_file_count;
        c->spawn.proc_fd = c->init.proc_fd;
        c->spawn.child = child_main;
        c->spawn.ctx = c;
        c->pid = spawn_process(&c->spawn, &c->pidfd, err);
        ret = c->pid < 0 ? -1 : 0;
        c->ran = ret == 0;
    }
    close_fds(c->cgroup_files, c->cgroup_file_count);
    free(c->cgroup_files);
    if (c->spawn.cgroup_dir >= 0)
        close_and_reset(&c->spawn.cgroup_dir);
    spawn_close(&c->spawn);
    close_and_reset(&c->sync[1]);
    return ret;
}

static int map_ids(struct creation *c, struct error *err)
{
    const struct oci_namespace *user = &c->config->namespaces[OCI_NS_USER];
    if (!user->present || user->path)
        return 0;
    return userns_write_maps(c->pid, &c->config->uid_mappings, &c->config->gid_mappings, err);
}

/* What the child waits for in enter(). */
static int let_go(struct creation *c, struct error *err)
{
    if (!c->config->namespaces[OCI_NS_USER].present && !c->cgroup.systemd)
        return 0;
    int ret = sync_send(c->sync[0], SYNC_GO, c->pid, NULL, -1);
    /* It is dead already; sync_serve() finds out why. */
    return ret < 0 && ret != -EPIPE ? error_errno(err, -ret, "answer the container's init") : 0;
}

int creation_save_pid(struct creation *c, struct error *err)
{
    uint64_t start_time = 0;
    (void)proc_stat(c->pid, &start_time, NULL);
    oci_state_set_pid(c->state, c->pid, start_time);
    /* Those that a rootless container could not have are gone from the list by now. */
    json_object_set(c->state->json, "cgroupPaths", c->cgroup.paths);
    c->state->cgroup_paths = c->cgroup.paths;
    return oci_state_save(c->dir, c->state, err);
}

static struct sync_server sync_server_of(const struct creation *c)
{
    return (struct sync_server){
        .id = c->options->id,
        .bundle = c->options->bundle,
        .config = c->config,
        .pid = c->pid,
        .container_pid = c->pid,
        .container_status = "creating",
        .fg = c->fg,
    };
}

static int bring_up(struct creation *c, struct error *err)
{
    const struct container_create_options *options = c->options;
    if (map_ids(c, err) < 0)
        return -1;
    if (c->cgroup.systemd && cgroup_create(&c->cgroup, c->config, c->pid, err) < 0)
        return -1;
    if (let_go(c, err) < 0)
        return -1;
    if (rdt_apply(rdt_root, c->config, options->id, c->pid, err) < 0)
        return -1;
    /* While the child sets itself up: the write costs no time of its own. */
    if (creation_save_pid(c, err) < 0)
        return -1;

    struct sync_server server = sync_server_of(c);
    int ret = sync_serve(&server, c->sync[0], err);
    if (ret < 0)
        return -1;
    if (ret == 0) {
        pid_t pid = c->pid;
        c->pid = 0;
        ret = report_death(pid, err);
        return cgroup_oom_killed(&c->cgroup)
                   ? error_wrap(err, "container init was OOM-killed (memory limit too low?)")
                   : ret;
    }
    if (!options->run && renameat(c->dir, "setup.fifo", c->dir, "exec.fifo") < 0)
        return error_errno(err, errno, "publish the exec fifo");
    if (options->pid_file && *options->pid_file)
        return write_pid_file(options->pid_file, c->pid, err);
    return 0;
}

/* Of `run`: the init has gone on to execve(); hear whether it worked. */
static int await_exec(struct creation *c, struct error *err)
{
    struct sync_server server = sync_server_of(c);
    int ret = sync_serve(&server, c->sync[0], err);
    if (ret > 0)
        return error_set(err, "unexpected message from the container's init");
    if (ret < 0)
        return ret;
    cleanup_free char *state = state_document(c->config->version, c->options->id, "running", c->pid,
                                              c->options->bundle,
                                              json_object_get(c->config->json, "annotations"));
    if (hooks_run(c->config, OCI_HOOK_POSTSTART, state, c->options->bundle, err) < 0)
        return error_wrap(err, "poststart");
    return 0;
}

static void run_poststop(const struct creation *c)
{
    cleanup_free char *state = state_document(c->config->version, c->options->id, "stopped", 0,
                                              c->options->bundle,
                                              json_object_get(c->config->json, "annotations"));
    hooks_run_all(c->config, OCI_HOOK_POSTSTOP, state, c->options->bundle);
}

static void undo(struct creation *c)
{
    cleanup_error struct error err = ERROR_INIT;
    if (c->pid > 0) {
        kill(c->pid, SIGKILL);
        (void)child_wait(c->pid);
    }
    if (c->cgroup_planned && c->dir_made) {
        if (c->pid > 0 && !c->config->namespaces[OCI_NS_PID].present)
            (void)cgroup_signal_all(&c->cgroup, SIGKILL, NULL);
        /* A cgroup that was there before stays, when nothing of ours has run in it. */
        if (!(c->cgroup.existed && c->pid == 0 && !c->ran) && cgroup_remove(&c->cgroup, &err) < 0)
            log_warning("%s", error_text(&err));
        rdt_remove(rdt_root, c->config, c->options->id);
        run_poststop(c);
    }
    if (c->dir_made && path_remove_tree(AT_FDCWD, c->init.state_dir, &err) < 0)
        log_warning("%s", error_text(&err));
}

static void release(struct creation *c)
{
    close_fds(c->sync, 2);
    close_fds(&c->dir, 1);
    close_fds(&c->pidfd, 1);
    int *own[] = {&c->init.fifo_fd, &c->init.console_socket_fd, &c->init.proc_fd};
    for (size_t i = 0; i < array_count(own); i++)
        close_fds(own[i], 1);
    container_init_free(&c->init);
    oci_state_free(c->state);
    cgroup_release(&c->cgroup);
    if (c->fg)
        foreground_free(c->fg);
}

int creation_begin(struct creation *c, const struct container_create_options *options,
                   struct oci_config *config, struct error *err)
{
    *c = (struct creation){
        .options = options, .config = config, .dir = -1, .sync = {-1, -1}, .pidfd = -1};
    c->init.sync_fd = c->init.fifo_fd = c->init.console_socket_fd = c->init.proc_fd = -1;
    if (!container_id_valid(options->id))
        return error_set(err, "invalid container ID format: \"%s\"", options->id);
    if (config_validate(options, config, err) < 0)
        return -1;
    if (options->run && !options->detach && !options->no_subreaper)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    return fill_init(c, err);
}

int creation_end(struct creation *c, int ret, int *exit_status, struct error *err)
{
    if (ret < 0) {
        undo(c);
    } else if (c->fg) {
        close_fds(c->sync, 1);
        if (c->options->foreground_watch)
            foreground_watch(c->fg, *c->options->foreground_watch, c->options->foreground_ready,
                             c->options->foreground_ctx);
        int status = foreground_wait(c->fg, c->pid, err);
        c->pid = 0;
        if (exit_status)
            *exit_status = status;
        ret = status < 0 ? status : 0;
        if (!c->options->keep) {
            if (!c->config->namespaces[OCI_NS_PID].present)
                (void)cgroup_signal_all(&c->cgroup, SIGKILL, NULL);
            undo(c);
        }
    }
    release(c);
    return ret;
}

int container_create(const struct container_create_options *options, struct oci_config *config,
                     int *exit_status, struct error *err)
{
    struct creation c;
    int ret = creation_begin(&c, options, config, err);
    if (ret == 0)
        ret = creation_prepare(&c, err);
    if (ret == 0)
        ret = launch(&c, err);
    if (ret == 0)
        ret = bring_up(&c, err);
    if (ret == 0 && options->run)
        ret = await_exec(&c, err);
    return creation_end(&c, ret, exit_status, err);
}
