/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a container from a dump. CRIU takes the place of the child of create.c: it runs in the
 * container's cgroup, makes namespaces and processes, and leaves the restored init as rune's child.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/creation.h"
#include "container/criu.h"

struct restore {
    struct creation c;
    const struct container_criu_options *options;
    struct criu_directories directories;
    struct criu_worker worker;
    char *root_point; /* where criu has the root filesystem */
    int fds[CRIU_FDS_MAX];
    size_t fd_count;
    int version;
};

static int check_options(const struct restore *r, struct error *err)
{
    const struct container_criu_options *options = r->options;
    if (geteuid() != 0)
        return error_code(err, EPERM,
                          "restore needs root: criu cannot restore as an ordinary user");
    struct stat st;
    cleanup_free char *inventory = path_join(options->image_path, "inventory.img");
    if (stat(options->image_path, &st) < 0)
        return error_errno(err, errno, "image directory %s (--image-path)", options->image_path);
    if (stat(inventory, &st) < 0)
        return error_errno(err, errno, "%s holds no checkpoint: inventory.img",
                           options->image_path);
    if ((options->lsm_profile || options->lsm_mount_context) && r->version < CRIU_VERSION_LSM)
        return error_set(err, "%s requires at least CRIU 3.16",
                         options->lsm_profile ? "--lsm-profile" : "--lsm-mount-context");
    return 0;
}

/* ---- the request ---- */

/* Those that were pipes are ours to give; what else there was comes from the dump. */
static int add_descriptors(const struct restore *r, Criu__Options *rpc, struct error *err)
{
    enum { NAMES_MAX = 1 << 16 };
    cleanup_json json_t *names = json_parse_file(r->directories.images, "descriptors.json",
                                                 NAMES_MAX, err);
    if (!names)
        return error_wrap(err, "image directory %s", r->options->image_path);
    size_t i;
    json_t *value;
    json_array_foreach (names, i, value) {
        const char *name = json_string_value(value);
        if (i < 3 && name && strncmp(name, "pipe:", 5) == 0)
            criu_add_inherited(rpc, name, (int)i);
    }
    return 0;
}

static int inherit_namespace(struct restore *r, Criu__Options *rpc, const char *path,
                             const char *key, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "open the namespace %s of the configuration", path);
    criu_add_inherited(rpc, key, CRIU_FIRST_FD + (int)r->fd_count);
    r->fds[r->fd_count++] = fd;
    return 0;
}

static int add_namespaces(struct restore *r, Criu__Options *rpc, struct error *err)
{
    static const char *const joinable[OCI_NS_TYPES] = {
        [OCI_NS_USER] = "user", [OCI_NS_IPC] = "ipc",   [OCI_NS_UTS] = "uts",
        [OCI_NS_MOUNT] = "mnt", [OCI_NS_TIME] = "time",
    };
    for (int i = 0; i < OCI_NS_TYPES; i++) {
        const char *path = r->c.config->namespaces[i].path;
        if (!path)
            continue;
        int ret = 0;
        if (i == OCI_NS_NETWORK)
            ret = r->version < CRIU_VERSION_EXTERNAL_NETNS
                      ? 0
                      : inherit_namespace(r, rpc, path, "extRootNetNS", err);
        else if (i == OCI_NS_PID)
            ret = r->version < CRIU_VERSION_EXTERNAL_PIDNS
                      ? 0
                      : inherit_namespace(r, rpc, path, "extRootPidNS", err);
        else if (joinable[i])
            criu_add_joined(rpc, joinable[i], path);
        else
            ret = error_set(err, "criu cannot restore into an existing %s namespace",
                            oci_namespace_names[i]);
        if (ret < 0)
            return ret;
    }
    return 0;
}

static int fill_request(struct restore *r, Criu__Options *rpc, struct error *err)
{
    const struct container_criu_options *options = r->options;
    const struct creation *c = &r->c;
    if (criu_common(options, c->config, rpc, &r->directories, err) < 0)
        return -1;
    rpc->log_file = xstrdup("restore.log");
    rpc->root = xstrdup(r->root_point);
    rpc->has_evasive_devices = rpc->evasive_devices = true;
    rpc->has_rst_sibling = rpc->rst_sibling = true;
    if (options->lsm_profile)
        rpc->lsm_profile = xstrdup(options->lsm_profile);
    if (options->lsm_mount_context)
        rpc->lsm_mount_context = xstrdup(options->lsm_mount_context);
    if (add_namespaces(r, rpc, err) < 0 ||
        criu_make_mount_points(c->config, c->init.rootfs, c->init.bundle, err) < 0 ||
        criu_external_mounts(c->config, &c->cgroup, c->init.rootfs, c->init.bundle, 0, rpc, err) <
            0)
        return -1;
    return add_descriptors(r, rpc, err);
}

/*
 * CRIU puts the processes below the cgroups that criu itself is in by now, whatever those were
 * called that the container had before.
 */
static int add_cgroup_roots(const struct restore *r, Criu__Options *rpc, struct error *err)
{
    if (r->options->cgroup_mode == CONTAINER_CGROUP_IGNORE)
        return 0;
    cleanup_buffer struct buffer text = BUFFER_INIT;
    cleanup_free char *path = xasprintf("/proc/%d/cgroup", (int)r->worker.pid);
    enum { CGROUP_FILE_MAX = 1 << 20 };
    if (read_file_at(AT_FDCWD, path, &text, CGROUP_FILE_MAX, err) < 0)
        return -1;
    char *rest = text.data;
    for (char *line; rest && (line = strsep(&rest, "\n")) && *line;) {
        strsep(&line, ":");
        char *controllers = strsep(&line, ":");
        if (!controllers || !line)
            continue;
        for (char *name; (name = strsep(&controllers, ","));)
            criu_add_cgroup_root(rpc, name, line);
    }
    return 0;
}

/* ---- notifications ---- */

static int raise_loopback_there(void *net, struct error *err)
{
    if (setns(*(int *)net, CLONE_NEWNET) < 0)
        return error_errno(err, errno, "join the network namespace");
    return raise_loopback(err);
}

/* The network namespace that CRIU makes is empty: its loopback comes up as in a new container. */
static int raise_their_loopback(pid_t pid, struct error *err)
{
    cleanup_free char *path = xasprintf("/proc/%d/ns/net", (int)pid);
    cleanup_close int net = open(path, O_RDONLY | O_CLOEXEC);
    if (net < 0)
        return error_errno(err, errno, "open %s", path);
    pid_t child = child_start(raise_loopback_there, &net, err);
    if (child < 0)
        return error_wrap(err, "bring up the loopback interface");
    (void)child_wait(child);
    return 0;
}

static int namespaces_made(struct restore *r, pid_t pid, struct error *err)
{
    const struct oci_config *config = r->c.config;
    const struct oci_namespace *net = &config->namespaces[OCI_NS_NETWORK];
    if (net->present && !net->path && raise_their_loopback(pid, err) < 0)
        return -1;
    cleanup_free char *state = state_document(config->version, r->c.init.id, "creating", pid,
                                              r->c.init.bundle,
                                              json_object_get(config->json, "annotations"));
    if (hooks_run(config, OCI_HOOK_PRESTART, state, r->c.init.bundle, err) < 0)
        return -1;
    return hooks_run(config, OCI_HOOK_CREATE_RUNTIME, state, r->c.init.bundle, err);
}

static int take_terminal(struct restore *r, int *fd, struct error *err)
{
    if (*fd < 0)
        return error_set(err, "no terminal came with the message");
    if (r->c.fg)
        return foreground_tty(r->c.fg, take_fd(*fd), err);
    if (r->c.init.console_socket_fd < 0)
        return error_set(err, "the container has a terminal: --console-socket is needed");
    int ret = console_send(r->c.init.console_socket_fd, *fd);
    return ret < 0 ? error_errno(err, -ret, "hand over the terminal") : 0;
}

static int notified(void *ctx, const char *script, pid_t pid, int *fd, struct error *err)
{
    struct restore *r = ctx;
    if (strcmp(script, "setup-namespaces") == 0)
        return namespaces_made(r, pid, err);
    if (strcmp(script, "orphan-pts-master") == 0)
        return take_terminal(r, fd, err);
    if (strcmp(script, "post-restore") != 0)
        return 0;
    /* It stands still until we have answered: recorded before it can do anything. */
    r->c.pid = pid;
    return creation_save_pid(&r->c, err);
}

/* ---- the steps ---- */

/*
 * CRIU wants the new root to be a mount point whose parent nothing covers. It has to be in rune's
 * own mount namespace, because criu's working directory is. After a kill -9 of rune `delete` takes
 * it away.
 */
static int bind_root(struct restore *r, struct error *err)
{
    if (mkdirat(r->c.dir, criu_root_name, 0755) < 0)
        return error_errno(err, errno, "create a directory for criu's root");
    cleanup_free char *path = path_join(r->c.init.state_dir, criu_root_name);
    /* Without links on the way: criu compares it with its list of mounts. */
    r->root_point = realpath(path, NULL);
    if (!r->root_point || mount(r->c.init.rootfs, r->root_point, NULL, MS_BIND | MS_REC, NULL) < 0)
        return error_errno(err, errno, "bind the root filesystem to %s", path);
    return 0;
}

static void unbind_root(struct restore *r)
{
    if (!r->root_point)
        return;
    criu_unbind_root(r->c.init.state_dir);
    (void)rmdir(r->root_point);
    free(r->root_point);
}

static int start_worker(struct restore *r, struct error *err)
{
    struct creation *c = &r->c;
    struct criu_start how = {
        .program = r->options->program,
        .fds = r->fds,
        .fd_count = r->fd_count,
        .own_stdio = true,
        .fg = c->fg,
    };
    if (criu_start(&how, &r->worker, err) < 0)
        return -1;
    c->ran = true;
    if (c->cgroup.systemd)
        return cgroup_create(&c->cgroup, c->config, r->worker.pid, err);
    return cgroup_attach(&c->cgroup, r->worker.pid, err);
}

static int call(struct restore *r, Criu__Request *request, struct error *err)
{
    const struct container_criu_options *options = r->options;
    cleanup_free char *log_path = path_join(
        options->work_path ? options->work_path : options->image_path, "restore.log");
    struct criu_handler handler = {notified, NULL, r, log_path};
    if (start_worker(r, err) < 0 || add_cgroup_roots(r, request->opts, err) < 0)
        return -1;
    Criu__Response *response = criu_call(&r->worker, request, &handler, err);
    bool ended_well = criu_finish(&r->worker);
    if (!response)
        return -1;
    criu__response__free_unpacked(response, NULL);
    if (!ended_well || r->c.pid == 0)
        return error_set(err, "criu failed after the restore; log file: %s", log_path);
    return 0;
}

static int restore(struct restore *r, struct error *err)
{
    struct creation *c = &r->c;
    r->version = criu_version(r->options->program, err);
    if (r->version < 0 || check_options(r, err) < 0)
        return -1;
    if (creation_prepare(c, err) < 0 || bind_root(r, err) < 0)
        return -1;
    if (!c->options->detach && !(c->fg = foreground_new(err)))
        return -1;
    cleanup_request Criu__Request *request = criu_request_new(CRIU__REQUEST_TYPE__RESTORE);
    if (fill_request(r, request->opts, err) < 0 || call(r, request, err) < 0)
        return -1;
    if (rdt_apply(rdt_root, c->config, c->init.id, c->pid, err) < 0)
        return -1;
    const char *pid_file = c->options->pid_file;
    return pid_file && *pid_file ? write_pid_file(pid_file, c->pid, err) : 0;
}

int container_restore(const struct container_create_options *options,
                      const struct container_criu_options *criu, struct oci_config *config,
                      int *exit_status, struct error *err)
{
    struct restore r = {.options = criu, .directories = {-1, -1}, .worker = {.socket = -1}};
    int ret = creation_begin(&r.c, options, config, err);
    if (ret == 0)
        ret = restore(&r, err);
    (void)criu_finish(&r.worker);
    criu_close_directories(&r.directories);
    close_fds(r.fds, r.fd_count);
    unbind_root(&r);
    return creation_end(&r.c, ret, exit_status, err);
}
