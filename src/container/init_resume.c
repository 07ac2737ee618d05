/* SPDX-License-Identifier: Apache-2.0 */
/* The context of a container's init across the exec of init-runelet: JSON in a sealed memfd,
 * descriptors by number. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "container/private.h"

/* Memory file with this content, positioned at its start. */
static int memory_file(const char *name, const void *data, size_t size, struct error *err)
{
    cleanup_close int fd = memfd_create(name, MFD_ALLOW_SEALING); /* NOLINT: handed on */
    if (fd < 0)
        return error_errno(err, errno, "create a memory file");
    int ret = write_all(fd, data, size);
    if (ret < 0)
        return error_errno(err, -ret, "fill a memory file");
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return error_errno(err, errno, "seal a memory file");
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_errno(err, errno, "rewind a memory file");
    return take_fd(fd);
}

int init_serialize(struct container_init *init, struct error *err)
{
    cleanup_json json_t *root = json_object();
    json_t *fds = json_object();
    json_object_set_new(root, "fds", fds);
    json_object_set_new(root, "id", json_string(init->id));
    json_object_set_new(root, "bundle", json_string(init->bundle));
    json_object_set_new(root, "stateDir", json_string(init->state_dir));
    json_object_set_new(root, "rootfs", json_string(init->rootfs));
    json_object_set_new(root, "noPivot", json_boolean(init->no_pivot));
    json_object_set_new(root, "noNewKeyring", json_boolean(init->no_new_keyring));
    json_object_set_new(root, "userNamespace", json_boolean(init->new_user_namespace));
    json_object_set_new(root, "preserveFds", json_integer(init->preserve_fds));
    json_object_set_new(root, "sync", json_integer(init->sync_fd));
    json_object_set_new(root, "fifo", json_integer(init->fifo_fd));
    json_object_set_new(root, "consoleSocket", json_integer(init->console_socket_fd));
    json_object_set_new(root, "proc", json_integer(init->proc_fd));
    json_object_set(root, "config", init->config->json);
    if (init->cgroup_mounts)
        json_object_set(root, "cgroupMounts", init->cgroup_mounts);

    const int own[] = {init->sync_fd, init->fifo_fd, init->console_socket_fd, init->proc_fd};
    for (size_t i = 0; i < array_count(own); i++)
        if (own[i] >= 0)
            fd_set_cloexec(own[i], false);
    for (size_t i = 0; i < init->fd_count; i++) {
        json_object_set_new(fds, init->fds[i].name, json_integer(init->fds[i].fd));
        int ret = fd_set_cloexec(init->fds[i].fd, false);
        if (ret < 0)
            return error_errno(err, -ret, "hand on descriptor %s", init->fds[i].name);
    }
    if (init->seccomp.present) {
        int fd = memory_file("seccomp", init->seccomp.code.data, init->seccomp.code.size, err);
        if (fd < 0)
            return fd;
        json_object_set_new(root, "seccomp",
                            json_pack("{s:i,s:i,s:b}", "fd", fd, "flags", (int)init->seccomp.flags,
                                      "notify", (int)init->seccomp.notify));
    }
    cleanup_free char *text = json_text(root, JSON_COMPACT);
    return memory_file("init", text, strlen(text), err);
}

static int get_fd(const json_t *root, const char *key)
{
    json_t *value = json_object_get(root, key);
    int fd = json_is_integer(value) ? (int)json_integer_value(value) : -1;
    if (fd >= 0 && fd_set_cloexec(fd, true) < 0)
        return -1;
    return fd;
}

static char *get_text(const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    return xstrdup(text ? text : "");
}

enum { CONTEXT_MAX = 64 << 20 };

static int restore_seccomp(const json_t *root, struct seccomp_program *out, struct error *err)
{
    json_t *object = json_object_get(root, "seccomp");
    if (!object)
        return 0;
    cleanup_close int fd = get_fd(object, "fd");
    int ret = fd < 0 ? -EBADF : read_all(fd, &out->code, CONTEXT_MAX);
    if (ret < 0)
        return error_errno(err, -ret, "read the seccomp filter");
    out->flags = (unsigned)json_integer_value(json_object_get(object, "flags"));
    out->notify = json_is_true(json_object_get(object, "notify"));
    out->present = true;
    return 0;
}

static void restore_fds(const json_t *root, struct container_init *init)
{
    json_t *fds = json_object_get(root, "fds"), *value;
    const char *name;
    init->fds = xcalloc(json_object_size(fds), sizeof(*init->fds));
    json_object_foreach (fds, name, value) {
        int fd = (int)json_integer_value(value);
        fd_set_cloexec(fd, true);
        init->fds[init->fd_count++] = (struct container_fd){xstrdup(name), fd};
    }
}

int container_init_resume(int argc, char **argv, struct container_init **out, struct error *err)
{
    if (argc != 3 || strcmp(argv[1], "init") != 0)
        return error_set(err, "this program is started by rune, not by hand");
    char *end;
    long number = strtol(argv[2], &end, 10);
    if (*end || number < 3 || number > 1 << 20)
        return error_set(err, "%s is not a descriptor", argv[2]);
    cleanup_close int fd = (int)number;
    cleanup_buffer struct buffer text = BUFFER_INIT;
    int ret = read_all(fd, &text, CONTEXT_MAX);
    if (ret < 0)
        return error_errno(err, -ret, "read the context of the container");
    cleanup_json json_t *root = json_parse(buffer_text(&text), text.size, "context", err);
    if (!root)
        return -1;

    struct container_init *init = xcalloc(1, sizeof(*init));
    *out = init;
    init->id = get_text(root, "id");
    init->bundle = get_text(root, "bundle");
    init->state_dir = get_text(root, "stateDir");
    init->rootfs = get_text(root, "rootfs");
    init->no_pivot = json_is_true(json_object_get(root, "noPivot"));
    init->no_new_keyring = json_is_true(json_object_get(root, "noNewKeyring"));
    init->new_user_namespace = json_is_true(json_object_get(root, "userNamespace"));
    init->preserve_fds = (int)json_integer_value(json_object_get(root, "preserveFds"));
    init->sync_fd = get_fd(root, "sync");
    init->fifo_fd = get_fd(root, "fifo");
    init->console_socket_fd = get_fd(root, "consoleSocket");
    init->proc_fd = get_fd(root, "proc");
    json_t *mounts = json_object_get(root, "cgroupMounts");
    init->cgroup_mounts = mounts ? json_incref(mounts) : NULL;
    restore_fds(root, init);
    if (init->sync_fd < 0 || init->proc_fd < 0)
        return error_set(err, "the context lacks a descriptor");
    if (restore_seccomp(root, &init->seccomp, err) < 0) {
        init_report(init, err);
        return -1;
    }
    if (oci_config_from_json(json_object_get(root, "config"), "config.json", &init->config, err) <
        0) {
        init_report(init, err);
        return -1;
    }
    init->process = &init->config->process;
    return 0;
}

void container_init_free(struct container_init *init)
{
    free(init->id);
    free(init->bundle);
    free(init->state_dir);
    free(init->rootfs);
    buffer_release(&init->seccomp.code);
    json_decref(init->cgroup_mounts);
    *init = (struct container_init){
        .sync_fd = -1, .fifo_fd = -1, .console_socket_fd = -1, .proc_fd = -1};
}
