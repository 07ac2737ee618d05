/* SPDX-License-Identifier: Apache-2.0 */
/* Dumping a container. */
#include "container/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/criu.h"

struct dump {
    struct container *container;
    const struct container_criu_options *options;
    struct oci_config *config;
    struct cgroup cgroup;
    struct criu_directories directories;
    int version;
    int status_fd; /* the caller's until it was closed here */
};

static int check_state(const struct container *container, struct error *err)
{
    enum container_status status = container_status(container);
    if (container->state->enclave)
        return error_set(err,
                         "container %s runs in an enclave (%s): enclave memory cannot be dumped",
                         container->id, container->state->enclave);
    if (geteuid() != 0)
        return error_code(err, EPERM,
                          "checkpoint needs root: criu cannot dump as an ordinary user");
    if (status != CONTAINER_RUNNING && status != CONTAINER_PAUSED)
        return error_set(err, "Container cannot be checkpointed in %s state",
                         container_status_name(status));
    return 0;
}

static int check_status_fd(const struct container_criu_options *options, struct error *err)
{
    if (!options->lazy_pages || options->status_fd < 0)
        return 0;
    int flags = fcntl(options->status_fd, F_GETFL);
    if (flags < 0)
        return error_errno(err, errno, "invalid --status-fd argument %d", options->status_fd);
    if ((flags & O_ACCMODE) == O_RDONLY)
        return error_set(err, "invalid --status-fd argument %d: not writable", options->status_fd);
    return 0;
}

static int make_image_directory(const struct container_criu_options *options, struct error *err)
{
    if (path_mkdir_p(options->image_path, 0700, err) < 0)
        return error_wrap(err, "--image-path");
    if (!options->parent_path)
        return 0;
    if (options->parent_path[0] == '/')
        return error_set(err, "--parent-path must be relative to the image directory");
    cleanup_free char *parent = path_join(options->image_path, options->parent_path);
    struct stat st;
    if (stat(parent, &st) < 0)
        return error_errno(err, errno, "invalid --parent-path: %s", parent);
    if (!S_ISDIR(st.st_mode))
        return error_errno(err, ENOTDIR, "invalid --parent-path: %s", parent);
    return 0;
}

/* A namespace that the configuration names by path belongs to others: CRIU leaves it alone. */
static int add_external_namespaces(struct dump *d, Criu__Options *rpc, struct error *err)
{
    static const struct {
        enum oci_namespace_type type;
        const char *file, *key;
        int version;
    } namespaces[] = {
        {OCI_NS_NETWORK, "net", "extRootNetNS", CRIU_VERSION_EXTERNAL_NETNS},
        {OCI_NS_PID, "pid", "extRootPidNS", CRIU_VERSION_EXTERNAL_PIDNS},
    };
    for (size_t i = 0; i < array_count(namespaces); i++) {
        if (!d->config->namespaces[namespaces[i].type].path || d->version < namespaces[i].version)
            continue;
        cleanup_free char *file = xasprintf("/proc/%d/ns/%s", (int)d->container->state->pid,
                                            namespaces[i].file);
        struct stat st;
        if (stat(file, &st) < 0)
            return error_errno(err, errno, "stat %s", file);
        criu_add_external(rpc, xasprintf("%s[%lu]:%s", namespaces[i].file, (unsigned long)st.st_ino,
                                         namespaces[i].key));
    }
    return 0;
}

static int save_descriptors(const struct dump *d, struct error *err)
{
    const json_t *names = json_object_get(d->container->state->json, "externalDescriptors");
    cleanup_free char *text = names ? json_text(names, JSON_COMPACT) : xstrdup("[]");
    return replace_file_at(d->directories.images, "descriptors.json", text, strlen(text), 0600,
                           false, err);
}

static int fill_request(struct dump *d, Criu__Request *request, struct error *err)
{
    const struct container_criu_options *options = d->options;
    const struct oci_state *state = d->container->state;
    Criu__Options *rpc = request->opts;
    if (criu_common(options, d->config, rpc, &d->directories, err) < 0)
        return -1;
    rpc->log_file = xstrdup("dump.log");
    rpc->root = xstrdup(state->rootfs);
    rpc->has_pid = true;
    rpc->pid = state->pid;
    rpc->has_leave_running = true;
    rpc->leave_running = options->leave_running;
    if (options->link_remap)
        rpc->has_link_remap = rpc->link_remap = true;
    if (options->parent_path) {
        rpc->parent_img = xstrdup(options->parent_path);
        rpc->has_track_mem = rpc->track_mem = true;
    }
    if (options->page_server_address) {
        rpc->ps = xmalloc(sizeof(*rpc->ps));
        criu__page_server__init(rpc->ps);
        rpc->ps->address = xstrdup(options->page_server_address);
        rpc->ps->has_port = true;
        rpc->ps->port = options->page_server_port;
    }
    if (options->lazy_pages && d->status_fd >= 0 && d->version < CRIU_VERSION_STATUS_READY) {
        rpc->has_status_fd = true;
        rpc->status_fd = d->status_fd;
    }
    const char *freezer = cgroup_path(&d->cgroup, "freezer");
    if (freezer && (!d->cgroup.v2 || d->version >= CRIU_VERSION_FREEZER_V2))
        rpc->freeze_cgroup = xstrdup(freezer);
    if (add_external_namespaces(d, rpc, err) < 0)
        return -1;
    /* The question has the options of the dump: an empty set makes some versions of criu crash. */
    if (criu_check_features(options, rpc, err) < 0)
        return -1;
    if (options->pre_dump)
        return 0;
    if (criu_external_mounts(d->config, &d->cgroup, state->rootfs, state->bundle, state->pid, rpc,
                             err) < 0)
        return -1;
    return save_descriptors(d, err);
}

static void close_status_fd(void *ctx)
{
    struct dump *d = ctx;
    if (d->version < CRIU_VERSION_STATUS_READY)
        close_fds(&d->status_fd, 1);
}

static int notified(void *ctx, const char *script, pid_t pid, int *fd, struct error *err)
{
    struct dump *d = ctx;
    if (strcmp(script, "status-ready") != 0 || d->status_fd < 0)
        return 0;
    int ret = write_all(d->status_fd, "", 1);
    if (ret < 0)
        log_warning("cannot tell --status-fd that the page server is ready: %s", strerror(-ret));
    close_fds(&d->status_fd, 1);
    return 0;
}

static int call(struct dump *d, const Criu__Request *request, struct error *err)
{
    const struct container_criu_options *options = d->options;
    cleanup_free char *log_path = path_join(
        options->work_path ? options->work_path : options->image_path, "dump.log");
    struct criu_handler handler = {notified, close_status_fd, d, log_path};
    struct criu_start how = {.program = options->program};
    struct criu_worker worker;
    if (criu_start(&how, &worker, err) < 0)
        return -1;
    Criu__Response *response = criu_call(&worker, request, &handler, err);
    bool ended_well = criu_finish(&worker);
    if (!response)
        return -1;
    criu__response__free_unpacked(response, NULL);
    /* After a pre-dump criu waits for the next one, and takes the closed socket for a failure. */
    if (!ended_well && !options->pre_dump)
        return error_set(err, "criu failed after the dump; log file: %s", log_path);
    return 0;
}

static int dump(struct dump *d, struct error *err)
{
    d->version = criu_version(d->options->program, err);
    if (d->version < 0)
        return -1;
    cleanup_request Criu__Request *request = criu_request_new(
        d->options->pre_dump ? CRIU__REQUEST_TYPE__PRE_DUMP : CRIU__REQUEST_TYPE__DUMP);
    if (fill_request(d, request, err) < 0)
        return -1;
    return call(d, request, err);
}

int container_checkpoint(struct container *container, const struct container_criu_options *options,
                         struct error *err)
{
    if (check_state(container, err) < 0 || check_status_fd(options, err) < 0)
        return -1;
    struct dump d = {.container = container,
                     .options = options,
                     .directories = {-1, -1},
                     .status_fd = options->status_fd};
    cleanup_config struct oci_config *config = NULL;
    if (container_config(container, &config, err) < 0 || make_image_directory(options, err) < 0)
        return -1;
    d.config = config;
    cgroup_from_state(container->state, &d.cgroup);
    int ret = dump(&d, err);
    criu_close_directories(&d.directories);
    cgroup_release(&d.cgroup);
    if (ret < 0 || options->leave_running || options->pre_dump)
        return ret;
    /* Its processes are dead; what is left is ours to remove. */
    return container_delete(container, true, err);
}
