/* SPDX-License-Identifier: Apache-2.0 */
/* Id maps of user namespaces: written directly when allowed, else by newuidmap and newgidmap. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "container/private.h"

static void format_maps(const struct oci_id_mappings *mappings, struct buffer *out)
{
    for (size_t i = 0; i < mappings->count; i++)
        buffer_append_format(out, "%u %u %u\n", mappings->items[i].container_id,
                             mappings->items[i].host_id, mappings->items[i].size);
}

/* The set-user-ID helpers of the shadow package, for what /etc/subuid grants. */
static int run_helper(const char *helper, pid_t pid, const struct oci_id_mappings *mappings,
                      struct error *err)
{
    size_t count = 0;
    char **argv = xcalloc(mappings->count * 3 + 3, sizeof(*argv));
    argv[count++] = xstrdup(helper);
    argv[count++] = xasprintf("%d", (int)pid);
    for (size_t i = 0; i < mappings->count; i++) {
        argv[count++] = xasprintf("%u", mappings->items[i].container_id);
        argv[count++] = xasprintf("%u", mappings->items[i].host_id);
        argv[count++] = xasprintf("%u", mappings->items[i].size);
    }
    pid_t child = fork();
    if (child == 0) {
        execvp(helper, argv);
        _exit(127);
    }
    for (size_t i = 0; i < count; i++)
        free(argv[i]);
    free(argv);
    if (child < 0)
        return error_errno(err, errno, "fork for %s", helper);
    int status = child_wait(child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return error_set(
            err, "%s is needed for these id mappings and cannot be run (package uidmap)", helper);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(err, "%s refused the id mappings (see /etc/subuid and /etc/subgid)",
                         helper);
    return 0;
}

static int write_map(pid_t pid, const char *name, const char *helper,
                     const struct oci_id_mappings *mappings, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    format_maps(mappings, &text);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    cleanup_error struct error failure = ERROR_INIT;
    if (write_file_at(AT_FDCWD, path, buffer_text(&text), text.size, &failure) == 0)
        return 0;
    if (failure.code != EPERM || geteuid() == 0)
        return error_move(err, &failure);
    return run_helper(helper, pid, mappings, err);
}

int userns_write_maps(pid_t pid, const struct oci_id_mappings *uid,
                      const struct oci_id_mappings *gid, struct error *err)
{
    if (geteuid() != 0 && gid->count == 1 && gid->items[0].size == 1) {
        /* The kernel lets an ordinary user map its own group only if setgroups() is given up. */
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/setgroups", (int)pid);
        if (write_file_at(AT_FDCWD, path, "deny", 4, err) < 0)
            return -1;
    }
    if (write_map(pid, "uid_map", "newuidmap", uid, err) < 0 ||
        write_map(pid, "gid_map", "newgidmap", gid, err) < 0)
        return error_wrap(err, "map the user namespace");
    return 0;
}

int64_t userns_host_id(const struct oci_id_mappings *mappings, uint32_t id)
{
    for (size_t i = 0; i < mappings->count; i++) {
        const struct oci_id_mapping *m = &mappings->items[i];
        if (id >= m->container_id && id - m->container_id < m->size)
            return (int64_t)m->host_id + (id - m->container_id);
    }
    return -1;
}

int userns_for_mapping(const struct oci_id_mappings *uid, const struct oci_id_mappings *gid,
                       struct error *err)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0)
        return error_errno(err, errno, "create a user namespace for an id-mapped mount");
    if (pid == 0) {
        /* Only holds the namespace until the descriptor is open. */
        for (;;)
            pause();
    }
    int ret = userns_write_maps(pid, uid, gid, err);
    cleanup_close int fd = -1;
    if (ret == 0) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            ret = error_errno(err, errno, "open the user namespace of an id-mapped mount");
    }
    kill(pid, SIGKILL);
    (void)child_wait(pid);
    return ret < 0 ? ret : take_fd(fd);
}
