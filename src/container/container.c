/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on an existing container. */
#include "container/container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/private.h"

int container_open(const char *root, const char *id, struct container **out, struct error *err)
{
    if (!container_id_valid(id))
        return error_set(err, "invalid container ID format: \"%s\"", id);
    struct container *container = xcalloc(1, sizeof(*container));
    cleanup_free char *path = path_join(root, id);
    container->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (container->dir < 0) {
        int code = errno;
        free(container);
        if (code == ENOENT)
            return error_code(err, ENOENT, "container does not exist: %s", id);
        return error_errno(err, code, "open state directory %s", path);
    }
    container->root = xstrdup(root);
    container->id = xstrdup(id);
    if (oci_state_load(container->dir, &container->state, err) < 0) {
        /* A directory without a readable state is still something that delete --force removes. */
        container->state = NULL;
        *out = container;
        return error_wrap(err, "container %s", id);
    }
    *out = container;
    return 0;
}

void container_close(struct container *container)
{
    if (!container)
        return;
    if (container->dir >= 0)
        close(container->dir);
    oci_state_free(container->state);
    free(container->root);
    free(container->id);
    free(container);
}

void container_close_slot(struct container **slot)
{
    container_close(*slot);
}

const char *container_status_name(enum container_status status)
{
    static const char *const names[] = {
        [CONTAINER_CREATING] = "creating", [CONTAINER_CREATED] = "created",
        [CONTAINER_RUNNING] = "running",   [CONTAINER_PAUSED] = "paused",
        [CONTAINER_STOPPED] = "stopped",
    };
    return names[status];
}

enum container_status container_status(const struct container *container)
{
    const struct oci_state *state = container->state;
    if (!state)
        return CONTAINER_STOPPED;
    if (state->pid == 0)
        return proc_alive(state->creator, state->creator_start_time) ? CONTAINER_CREATING
                                                                     : CONTAINER_STOPPED;
    if (!proc_alive(state->pid, state->start_time))
        return CONTAINER_STOPPED;
    if (faccessat(container->dir, "setup.fifo", F_OK, 0) == 0)
        return CONTAINER_CREATING;
    /* Before "created": a frozen init cannot be started either. */
    struct cgroup cgroup;
    cgroup_from_state(state, &cgroup);
    bool frozen = cgroup_frozen(&cgroup);
    cgroup_release(&cgroup);
    if (frozen)
        return CONTAINER_PAUSED;
    return faccessat(container->dir, "exec.fifo", F_OK, 0) == 0 ? CONTAINER_CREATED
                                                                : CONTAINER_RUNNING;
}

int container_config(const struct container *container, struct oci_config **out, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    enum { CONFIG_MAX = 32 << 20 };
    if (read_file_at(container->dir, "config.json", &text, CONFIG_MAX, err) < 0)
        return -1;
    return oci_config_parse(buffer_text(&text), text.size, "config.json", out, err);
}

/* The state document that hooks and `rune state` show, malloc'd. */
static char *container_state_document(const struct container *container,
                                      enum container_status status)
{
    const struct oci_state *state = container->state;
    return state_document(state->version, container->id, container_status_name(status),
                          status == CONTAINER_STOPPED ? 0 : state->pid, state->bundle,
                          state->annotations);
}

/* ---- start ---- */

/* Nobody has the fifo open for reading. */
static int no_init_at_gate(const struct container *container, struct error *err)
{
    if (!proc_alive(container->state->pid, container->state->start_time))
        return error_set(err, "cannot start an already stopped container");
    return error_set(err, "container was started by somebody else");
}

/*
 * The byte that the init waits for. Opening for writing without waiting fails when nobody reads:
 * the init is dead, or past the gate. Of two `start` at once the one that removes the name was it.
 */
static int open_gate(struct container *container, struct error *err)
{
    cleanup_close int fifo = openat(container->dir, "exec.fifo", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fifo < 0)
        return errno == ENXIO || errno == ENOENT ? no_init_at_gate(container, err)
                                                 : error_errno(err, errno, "open the exec fifo");
    ssize_t ret = write_no_sigpipe(fifo, "0", 1);
    if (ret == -EPIPE)
        return no_init_at_gate(container, err);
    if (ret < 0)
        return error_errno(err, (int)-ret, "write to the exec fifo");
    if (unlinkat(container->dir, "exec.fifo", 0) < 0)
        return errno == ENOENT ? no_init_at_gate(container, err)
                               : error_errno(err, errno, "remove the exec fifo");
    return 0;
}

int container_start(struct container *container, struct error *err)
{
    switch (container_status(container)) {
    case CONTAINER_CREATED:
        break;
    case CONTAINER_STOPPED:
        return error_set(err, "cannot start a container that has stopped");
    case CONTAINER_RUNNING:
        return error_set(err, "cannot start an already running container");
    case CONTAINER_PAUSED:
        return error_set(err, "cannot start a container in the paused state");
    case CONTAINER_CREATING:
        return error_set(err, "cannot start a container that is being created");
    }
    if (open_gate(container, err) < 0)
        return -1;
    cleanup_config struct oci_config *config = NULL;
    if (container_config(container, &config, err) < 0)
        return -1;
    if (config->hooks[OCI_HOOK_POSTSTART].count == 0)
        return 0;
    cleanup_free char *state = container_state_document(container, CONTAINER_RUNNING);
    cleanup_error struct error failure = ERROR_INIT;
    if (hooks_run(config, OCI_HOOK_POSTSTART, state, container->state->bundle, &failure) < 0) {
        (void)container_kill(container, SIGKILL, false, NULL);
        return error_move(err, &failure);
    }
    return 0;
}

/* ---- kill ---- */

static int signal_init(const struct oci_state *state, int signal, struct error *err)
{
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, state->pid, 0);
    /* The number may have been given to another process: check what the descriptor holds on to. */
    if (pidfd < 0 || !proc_alive(state->pid, state->start_time))
        return error_code(err, ESRCH, "container not running");
    if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0) {
        if (errno == ESRCH)
            return error_code(err, ESRCH, "container not running");
        return error_errno(err, errno, "signal the container's init");
    }
    return 0;
}

int container_kill(struct container *container, int signal, bool all, struct error *err)
{
    if (!container->state)
        return error_set(err, "container %s has no readable state", container->id);
    struct cgroup cgroup;
    cgroup_from_state(container->state, &cgroup);
    int ret;
    if (all) {
        ret = cgroup_signal_all(&cgroup, signal, err);
    } else if (container_status(container) == CONTAINER_STOPPED) {
        ret = error_code(err, ESRCH, "container not running");
    } else {
        ret = signal_init(container->state, signal, err);
        /* A frozen process dies only when it is thawed. */
        if (ret == 0 && signal == SIGKILL && cgroup_frozen(&cgroup))
            (void)cgroup_freeze(&cgroup, false, NULL);
    }
    cgroup_release(&cgroup);
    return ret;
}

/* ---- delete ---- */

static bool await_end(const struct oci_state *state, int milliseconds)
{
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, state->pid, 0);
    if (pidfd >= 0 && proc_alive(state->pid, state->start_time)) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        while (poll(&p, 1, milliseconds) < 0 && errno == EINTR)
            ;
    }
    for (int i = 0; i < 100 && proc_alive(state->pid, state->start_time); i++) {
        struct timespec time = {.tv_nsec = 10 * 1000000};
        nanosleep(&time, NULL);
    }
    return !proc_alive(state->pid, state->start_time);
}

static void poststop(struct container *container, const struct oci_config *config)
{
    if (!config || config->hooks[OCI_HOOK_POSTSTOP].count == 0)
        return;
    cleanup_free char *state = container_state_document(container, CONTAINER_STOPPED);
    hooks_run_all(config, OCI_HOOK_POSTSTOP, state, container->state->bundle);
}

static int destroy(struct container *container, struct error *err)
{
    cleanup_config struct oci_config *config = NULL;
    int ret = 0;
    if (container->state) {
        (void)container_config(container, &config, NULL);
        struct cgroup cgroup;
        cgroup_from_state(container->state, &cgroup);
        /* Without an own pid namespace (or after a killed create) processes may be left. */
        if (!config || !config->namespaces[OCI_NS_PID].present || container->state->pid == 0)
            (void)cgroup_signal_all(&cgroup, SIGKILL, NULL);
        ret = cgroup_remove(&cgroup, err);
        cgroup_release(&cgroup);
        if (ret < 0)
            return ret;
        if (config)
            rdt_remove(rdt_root, config, container->id);
    }
    cleanup_free char *path = path_join(container->root, container->id);
    criu_unbind_root(path);
    if (container->state)
        poststop(container, config);
    return path_remove_tree(AT_FDCWD, path, err);
}

static int kill_creator(const struct oci_state *state)
{
    if (!proc_alive(state->creator, state->creator_start_time) || state->creator == getpid())
        return 0;
    return kill(state->creator, SIGKILL);
}

int container_delete(struct container *container, bool force, struct error *err)
{
    enum container_status status = container_status(container);
    if (status == CONTAINER_STOPPED)
        return destroy(container, err);
    if (status == CONTAINER_CREATING && force && container->state->pid == 0) {
        (void)kill_creator(container->state);
        return destroy(container, err);
    }
    /* A created container has run nothing of the image yet: it goes without --force, as in runc. */
    if (!force && status != CONTAINER_CREATED)
        return error_set(err, "cannot delete container %s that is not stopped: %s", container->id,
                         container_status_name(status));
    if (container_kill(container, SIGKILL, false, err) < 0 && err && err->code != ESRCH)
        return -1;
    if (!await_end(container->state, 10000))
        return error_set(err, "container init still running");
    return destroy(container, err);
}

/* ---- the rest ---- */

static int freeze(struct container *container, bool frozen, struct error *err)
{
    struct cgroup cgroup;
    cgroup_from_state(container->state, &cgroup);
    int ret = cgroup_freeze(&cgroup, frozen, err);
    cgroup_release(&cgroup);
    return ret;
}

int container_pause(struct container *container, struct error *err)
{
    enum container_status status = container_status(container);
    if (status != CONTAINER_RUNNING && status != CONTAINER_CREATED)
        return error_set(err, "container not running: %s", container_status_name(status));
    return freeze(container, true, err);
}

int container_resume(struct container *container, struct error *err)
{
    if (container_status(container) != CONTAINER_PAUSED)
        return error_set(err, "container not paused");
    return freeze(container, false, err);
}

int container_update(struct container *container, const struct oci_resources *resources,
                     struct error *err)
{
    if (container_status(container) == CONTAINER_STOPPED)
        return error_set(err, "container not running");
    struct cgroup cgroup;
    cgroup_from_state(container->state, &cgroup);
    int ret = cgroup_update(&cgroup, resources, err);
    cgroup_release(&cgroup);
    return ret;
}

int container_pids(struct container *container, pid_t **pids, size_t *count, struct error *err)
{
    struct cgroup cgroup;
    cgroup_from_state(container->state, &cgroup);
    int ret = cgroup_pids(&cgroup, pids, count, err);
    cgroup_release(&cgroup);
    return ret;
}
