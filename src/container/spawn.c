/* SPDX-License-Identifier: Apache-2.0 */
/* Making the process that becomes a container's init, inside its namespaces and cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "container/private.h"

static unsigned namespace_flag(enum oci_namespace_type type)
{
    static const unsigned flags[OCI_NS_TYPES] = {
        [OCI_NS_USER] = CLONE_NEWUSER,     [OCI_NS_IPC] = CLONE_NEWIPC,
        [OCI_NS_UTS] = CLONE_NEWUTS,       [OCI_NS_NETWORK] = CLONE_NEWNET,
        [OCI_NS_PID] = CLONE_NEWPID,       [OCI_NS_MOUNT] = CLONE_NEWNS,
        [OCI_NS_CGROUP] = CLONE_NEWCGROUP, [OCI_NS_TIME] = CLONE_NEWTIME,
    };
    return flags[type];
}

int spawn_plan(const struct oci_config *config, struct spawn_request *request, struct error *err)
{
    request->config = config;
    request->namespaces = 0;
    request->cgroup_dir = request->cgroup_fallback = -1;
    for (size_t i = 0; i < OCI_NS_TYPES; i++)
        request->join[i] = -1;
    for (size_t i = 0; i < OCI_NS_TYPES; i++) {
        const struct oci_namespace *ns = &config->namespaces[i];
        if (!ns->present)
            continue;
        if (!ns->path) {
            request->namespaces |= namespace_flag(i);
            continue;
        }
        request->join[i] = open(ns->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (request->join[i] < 0) {
            int ret = error_errno(err, errno, "open %s namespace %s", oci_namespace_names[i],
                                  ns->path);
            spawn_close(request);
            return ret;
        }
    }
    return 0;
}

void spawn_close(struct spawn_request *request)
{
    for (size_t i = 0; i < OCI_NS_TYPES; i++)
        if (request->join[i] >= 0)
            close_and_reset(&request->join[i]);
}

static int join_one(const struct spawn_request *request, enum oci_namespace_type type,
                    struct error *err)
{
    if (setns(request->join[type], (int)namespace_flag(type)) < 0) {
        const char *path = request->config->namespaces[type].path;
        return error_errno(err, errno, "join %s namespace%s%s", oci_namespace_names[type],
                           path ? " " : "", path ? path : "");
    }
    return 0;
}

/*
 * A namespace may belong to the user namespace we are in or to the one we join: first try all
 * others, then join the user namespace, then what was refused. The mount namespace is last, it
 * changes what paths mean.
 */
static int join_all(const struct spawn_request *request, struct error *err)
{
    bool done[OCI_NS_TYPES] = {false};
    bool user = request->join[OCI_NS_USER] >= 0;
    for (int pass = user ? 0 : 1; pass < 2; pass++) {
        for (size_t i = OCI_NS_USER + 1; i < OCI_NS_TYPES; i++) {
            if (request->join[i] < 0 || done[i] || i == OCI_NS_MOUNT)
                continue;
            cleanup_error struct error failure = ERROR_INIT;
            if (join_one(request, i, &failure) == 0)
                done[i] = true;
            else if (pass > 0 || failure.code != EPERM)
                return error_move(err, &failure);
        }
        if (pass == 0 && join_one(request, OCI_NS_USER, err) < 0)
            return -1;
    }
    if (request->join[OCI_NS_MOUNT] >= 0)
        return join_one(request, OCI_NS_MOUNT, err);
    return 0;
}

static bool joins_any(const struct spawn_request *request)
{
    for (size_t i = 0; i < OCI_NS_TYPES; i++)
        if (request->join[i] >= 0)
            return true;
    return false;
}

/*
 * setns() to a pid namespace only concerns children, and namespaces owned by the host's user
 * namespace have to be joined before a new user namespace is entered: both need a process in
 * between.
 */
static bool needs_middle(const struct spawn_request *request)
{
    return request->join[OCI_NS_USER] >= 0 || request->join[OCI_NS_PID] >= 0 ||
           ((request->namespaces & CLONE_NEWUSER) && joins_any(request));
}

static int set_time_offsets(const struct spawn_request *request, struct error *err)
{
    const struct oci_config *config = request->config;
    if (!config->monotonic.set && !config->boottime.set)
        return 0;
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (config->monotonic.set)
        buffer_append_format(&text, "monotonic %lld %u\n", (long long)config->monotonic.seconds,
                             config->monotonic.nanoseconds);
    if (config->boottime.set)
        buffer_append_format(&text, "boottime %lld %u\n", (long long)config->boottime.seconds,
                             config->boottime.nanoseconds);
    /* The change of ids has made our files in /proc the host's root's; for this one write they are
     * ours. */
    int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    int ret = proc_write(request->proc_fd, "self/timens_offsets", text.data, err);
    prctl(PR_SET_DUMPABLE, dumpable == 1, 0, 0, 0);
    return ret;
}

/* clone(2) cannot set offsets before the namespace is in use: make it for children, set, then enter
 * it by setns(). */
static int enter_time_namespace(const struct spawn_request *request, struct error *err)
{
    if (unshare(CLONE_NEWTIME) < 0)
        return error_errno(err, errno, "create a time namespace");
    if (set_time_offsets(request, err) < 0)
        return error_wrap(err, "time namespace");
    cleanup_close int dir = proc_open_at(request->proc_fd, "self/ns", O_PATH | O_DIRECTORY, err);
    if (dir < 0)
        return dir;
    cleanup_close int fd = openat(dir, "time_for_children", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
        return error_errno(err, errno, "enter the time namespace");
    return 0;
}

int spawn_enter(const struct spawn_request *request, struct error *err)
{
    if (!needs_middle(request) && joins_any(request) && join_all(request, err) < 0)
        return -1;
    /* After the cgroups are entered: they become the root that the namespace shows. */
    if ((request->namespaces & CLONE_NEWCGROUP) && unshare(CLONE_NEWCGROUP) < 0)
        return error_errno(err, errno, "create a cgroup namespace");
    if ((request->namespaces & CLONE_NEWTIME) && enter_time_namespace(request, err) < 0)
        return -1;
    return 0;
}

static int enter_cgroup_files(const struct spawn_request *request)
{
    for (size_t i = 0; i < request->cgroup_file_count; i++) {
        if (write(request->cgroup_files[i], "0", 1) == 1)
            continue;
        if (errno != EBUSY || request->cgroup_fallback < 0 ||
            write(request->cgroup_fallback, "0", 1) != 1)
            return -errno;
    }
    return 0;
}

/* Late namespaces are made by the child itself (spawn_enter). */
static const unsigned late_namespaces = CLONE_NEWCGROUP | CLONE_NEWTIME;

static pid_t clone_child(const struct spawn_request *request, unsigned long long extra, int *pidfd)
{
    struct clone_args args = {
        .flags = (request->namespaces & ~late_namespaces) | extra,
        .exit_signal = (extra & CLONE_PARENT) ? 0 : SIGCHLD,
    };
    if (pidfd) {
        args.flags |= CLONE_PIDFD;
        args.pidfd = (uint64_t)(uintptr_t)pidfd;
    }
    if (request->cgroup_dir >= 0 && !(extra & CLONE_PARENT)) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)request->cgroup_dir;
    }
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        int ret = enter_cgroup_files(request);
        _exit(request->child(request->ctx, ret));
    }
    return pid < 0 ? -errno : pid;
}

/* The process in between: joins, clones the child as its sibling, tells the pid, ends. */
static _Noreturn void middle_main(const struct spawn_request *request, int report)
{
    cleanup_error struct error err = ERROR_INIT;
    struct sync_message message = {0};
    if (join_all(request, &err) == 0) {
        pid_t pid = clone_child(request, CLONE_PARENT, NULL);
        if (pid < 0)
            error_errno(&err, -pid, "create the container's process");
        else
            message.code = pid;
    }
    if (err.message) {
        (void)!sync_send(report, SYNC_ERROR, err.code, error_text(&err), -1);
        _exit(1);
    }
    (void)!sync_send(report, SYNC_GO, message.code, NULL, -1);
    _exit(0);
}

static pid_t spawn_through_middle(const struct spawn_request *request, int *pidfd,
                                  struct error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, errno, "create a socket pair");
    cleanup_close int ours = pair[0];
    cleanup_close int theirs = pair[1];
    /* SIGCHLD of a sibling made with CLONE_PARENT follows the exit signal of the one that clones:
     * plain fork. */
    pid_t middle = fork();
    if (middle < 0)
        return error_errno(err, errno, "fork");
    if (middle == 0)
        middle_main(request, theirs);
    close_and_reset(&theirs);
    struct sync_message message;
    int ret = sync_recv(ours, &message, NULL);
    (void)child_wait(middle);
    if (ret <= 0)
        return error_set(err, "the process that joins the namespaces died");
    if (message.type == SYNC_ERROR)
        return error_code(err, message.code, "%s", message.text);
    pid_t pid = message.code;
    *pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (*pidfd < 0) {
        int code = errno;
        kill(pid, SIGKILL);
        return error_errno(err, code, "open the container's process");
    }
    return pid;
}

pid_t spawn_process(const struct spawn_request *request, int *pidfd, struct error *err)
{
    if (!needs_middle(request)) {
        pid_t pid = clone_child(request, 0, pidfd);
        if (pid == -EBUSY && request->cgroup_fallback >= 0) {
            struct spawn_request copy = *request;
            copy.cgroup_dir = -1;
            copy.cgroup_files = &request->cgroup_fallback;
            copy.cgroup_file_count = 1;
            pid = clone_child(&copy, 0, pidfd);
        }
        if (pid < 0)
            return error_errno(err, -pid, "create the container's process");
        return pid;
    }
    /* CLONE_INTO_CGROUP checks the credentials of the caller, which the middle has given up: enter
     * by file. */
    if (request->cgroup_dir < 0)
        return spawn_through_middle(request, pidfd, err);
    cleanup_close int procs = openat(request->cgroup_dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (procs < 0)
        return error_errno(err, errno, "open cgroup.procs");
    struct spawn_request copy = *request;
    int *files = xcalloc(request->cgroup_file_count + 1, sizeof(int));
    if (request->cgroup_file_count)
        memcpy(files, request->cgroup_files, request->cgroup_file_count * sizeof(int));
    files[request->cgroup_file_count] = procs;
    copy.cgroup_files = files;
    copy.cgroup_file_count++;
    pid_t pid = spawn_through_middle(&copy, pidfd, err);
    free(files);
    return pid;
}
