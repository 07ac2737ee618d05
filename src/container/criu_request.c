/* SPDX-License-Identifier: Apache-2.0 */
/* Building requests to CRIU. Everything in a request is on the heap and owned by it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "container/criu.h"

Criu__Request *criu_request_new(Criu__RequestType type)
{
    Criu__Request *request = xmalloc(sizeof(*request));
    criu__request__init(request);
    request->type = type;
    request->opts = xmalloc(sizeof(*request->opts));
    criu__options__init(request->opts);
    return request;
}

void criu_request_release(Criu__Request **request)
{
    criu__request__free_unpacked(*request, NULL);
}

/* One more element for a repeated field; `list` is the field's own type of pointer array. */
#define APPEND(list, count, item)                                     \
    do {                                                              \
        (list) = xreallocarray((list), (count) + 1, sizeof(*(list))); \
        (list)[(count)++] = (item);                                   \
    } while (0)

void criu_add_mount(Criu__Options *rpc, const char *key, const char *value)
{
    Criu__ExternalMount *mount = xmalloc(sizeof(*mount));
    criu__external_mount__init(mount);
    mount->key = xstrdup(key);
    mount->val = xstrdup(value);
    APPEND(rpc->ext_mnt, rpc->n_ext_mnt, mount);
}

void criu_add_external(Criu__Options *rpc, char *text)
{
    APPEND(rpc->external, rpc->n_external, text);
}

void criu_add_inherited(Criu__Options *rpc, const char *key, int fd)
{
    Criu__InheritFd *inherited = xmalloc(sizeof(*inherited));
    criu__inherit_fd__init(inherited);
    inherited->key = xstrdup(key);
    inherited->fd = fd;
    APPEND(rpc->inherit_fd, rpc->n_inherit_fd, inherited);
}

void criu_add_joined(Criu__Options *rpc, const char *type, const char *path)
{
    Criu__JoinNamespace *joined = xmalloc(sizeof(*joined));
    criu__join_namespace__init(joined);
    joined->ns = xstrdup(type);
    joined->ns_file = xstrdup(path);
    APPEND(rpc->join_ns, rpc->n_join_ns, joined);
}

void criu_add_cgroup_root(Criu__Options *rpc, const char *controller, const char *path)
{
    Criu__CgroupRoot *root = xmalloc(sizeof(*root));
    criu__cgroup_root__init(root);
    root->ctrl = xstrdup(controller);
    root->path = xstrdup(path);
    APPEND(rpc->cg_root, rpc->n_cg_root, root);
}

static int open_directory(const char *path, const char *what, int *fd, struct error *err)
{
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? error_errno(err, errno, "open the %s directory %s", what, path) : 0;
}

void criu_close_directories(struct criu_directories *directories)
{
    close_fds(&directories->images, 1);
    close_fds(&directories->work, 1);
}

/* Settings in that file win over ours. The default is the name that users of runc have. */
static void set_config_file(const struct oci_config *config, Criu__Options *rpc)
{
    const char *file = oci_annotation(config, "org.criu.config");
    if (!file)
        file = "/etc/criu/runc.conf";
    if (*file)
        rpc->config_file = xstrdup(file);
}

static void set_cgroup_mode(enum container_cgroup_mode mode, Criu__Options *rpc)
{
    static const Criu__CgroupMode modes[] = {
        [CONTAINER_CGROUP_IGNORE] = CRIU__CGROUP_MODE__IGNORE,
        [CONTAINER_CGROUP_SOFT] = CRIU__CGROUP_MODE__SOFT,
        [CONTAINER_CGROUP_FULL] = CRIU__CGROUP_MODE__FULL,
        [CONTAINER_CGROUP_STRICT] = CRIU__CGROUP_MODE__STRICT,
    };
    rpc->has_manage_cgroups = rpc->manage_cgroups = true;
    if (mode == CONTAINER_CGROUP_DEFAULT)
        return;
    rpc->has_manage_cgroups_mode = true;
    rpc->manage_cgroups_mode = modes[mode];
}

/* A flag with its presence bit. */
#define SET_FLAG(rpc, name, on) ((rpc)->has_##name = true, (rpc)->name = (on))

int criu_common(const struct container_criu_options *options, const struct oci_config *config,
                Criu__Options *rpc, struct criu_directories *directories, struct error *err)
{
    enum { LOG_LEVEL_DEBUG = 4 };
    if (open_directory(options->image_path, "image", &directories->images, err) < 0)
        return -1;
    rpc->images_dir_fd = directories->images;
    if (options->work_path) {
        if (path_mkdir_p(options->work_path, 0700, err) < 0 ||
            open_directory(options->work_path, "work", &directories->work, err) < 0)
            return -1;
        rpc->has_work_dir_fd = true;
        rpc->work_dir_fd = directories->work;
    }
    rpc->has_log_level = true;
    rpc->log_level = LOG_LEVEL_DEBUG;
    SET_FLAG(rpc, notify_scripts, true);
    SET_FLAG(rpc, orphan_pts_master, true);
    SET_FLAG(rpc, shell_job, options->shell_job);
    SET_FLAG(rpc, tcp_established, options->tcp_established);
    SET_FLAG(rpc, ext_unix_sk, options->ext_unix_sk);
    SET_FLAG(rpc, file_locks, options->file_locks);
    SET_FLAG(rpc, auto_dedup, options->auto_dedup);
    SET_FLAG(rpc, lazy_pages, options->lazy_pages);
    if (options->tcp_skip_in_flight)
        SET_FLAG(rpc, tcp_skip_in_flight, true);
    if (options->tcp_close)
        SET_FLAG(rpc, tcp_close, true);
    /* Network devices are not the runtime's: who set them up does it again (--empty-ns network). */
    rpc->has_empty_ns = true;
    rpc->empty_ns = CLONE_NEWNET;
    set_cgroup_mode(options->cgroup_mode, rpc);
    set_config_file(config, rpc);
    return 0;
}
