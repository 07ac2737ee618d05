/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/config.h"
#include "oci/state.h"

/*
 * The container engine: makes, starts, signals and removes containers. docs/design/engine.md has
 * the state machine, the protocol between rune and the container's init, and what each does when
 * the other dies.
 *
 * The set-up of the container runs in container_init_child(), in one of two processes:
 *   - ordinary: the process that container_create() cloned; it ends in execve() of the entrypoint;
 *   - with options.init_program: that process first execs the host program named there
 * (init-runelet), which calls container_init_resume() and then container_init_child() with a
 * payload that stands in for the execve().
 */

struct container_init;

/* What runs instead of execve(). All members but run may be NULL. */
struct container_payload {
    const char *name;
    /* The process's rlimits are set by what the payload runs, and not on the payload, but for core
     * files. prepare() may say so. */
    bool limits_inside;
    /* Mount points are not made in the root filesystem, but in a layer over it. prepare() may say
     * so. */
    bool root_untouched;
    /*
     * In the container's namespaces and cgroup, before any mount and pivot_root: host files and
     * libraries are visible, the process has rune's privileges (those of the user namespace's root
     * if there is one). For dlopen(), opening devices and images. An error fails the create with
     * that message.
     */
    int (*prepare)(void *ctx, const struct container_init *init, struct error *err);
    /*
     * Root changed, terminal and stdio in place, user, capabilities, rlimits, no_new_privs set, and
     * `start` not given yet. With this member the seccomp filter is loaded BEFORE the call, because
     * it starts threads, which a filter of later would not bind. It makes the entrypoint ready (the
     * enclave runs, the program is found); an error fails the create with that message. Not called
     * by container_exec().
     */
    int (*ready)(void *ctx, const struct container_init *init, struct error *err);
    /*
     * Root changed, terminal and stdio in place, user, capabilities, rlimits, no_new_privs set,
     * `start` given, seccomp loaded. Returns the exit status of the process (0-255), or negative
     * with err for a failure to start, which is shown on stderr (exit status 127).
     */
    int (*run)(void *ctx, const struct container_init *init, struct error *err);
    void *ctx;
};

/* A descriptor handed through init_program to the payload. */
struct container_fd {
    const char *name;
    int fd;
};

/* --rootless: whether failures to set up cgroups are tolerated. */
enum container_rootless {
    CONTAINER_ROOTLESS_AUTO,
    CONTAINER_ROOTLESS_ON,
    CONTAINER_ROOTLESS_OFF,
};

struct container_create_options {
    const char *root; /* state root, e.g. /run/rune */
    const char *id;
    const char *bundle;         /* absolute */
    const char *console_socket; /* NULL: none */
    const char *pid_file;       /* NULL: none */
    int preserve_fds;           /* descriptors 3 .. 3+N-1 go to the entrypoint */
    bool no_pivot;
    bool no_new_keyring;
    bool systemd_cgroup;
    enum container_rootless rootless;
    /* run only */
    bool run; /* start at once: no exec fifo, no `created` stop */
    bool detach;
    bool keep;
    bool no_subreaper;
    /*
     * In the foreground: a descriptor of the caller's (it may be opened by state_dir_made) that is
     * watched beside the container, and what to do when it is readable; true: enough of it. NULL:
     * none.
     */
    const int *foreground_watch;
    bool (*foreground_ready)(void *ctx);
    void *foreground_ctx;
    bool config_edited; /* the JSON tree was changed after loading: save the tree, not the text */
    /* enclave containers */
    const char *init_program;            /* absolute host path; NULL for an ordinary container */
    const char *init_preload;            /* a library for its LD_PRELOAD; NULL: none */
    const struct container_fd *init_fds; /* borrowed; passed to the payload by name */
    size_t init_fd_count;
    /*
     * Called with the descriptor of the new state directory, before the process is made: files of
     * the caller's own there are removed with the container. It may still fill in init_fds. NULL:
     * none.
     */
    int (*state_dir_made)(void *ctx, int dir, struct error *err);
    void *state_dir_ctx;
    /* Recorded in state.json ("intelSgx", ...); NULL for an ordinary container. */
    const char *enclave;
};

/*
 * Create (and with options->run start) a container from a loaded configuration, which may have been
 * edited by the caller. On an error nothing stays behind. In the foreground (run && !detach) it
 * returns when the init has ended, with its status (0-255, 128+signal) in *exit_status and the
 * container deleted (unless keep).
 */
int container_create(const struct container_create_options *options, struct oci_config *config,
                     int *exit_status, struct error *err);

/* --- in the container's init ------------------------------------------------------------------ */

/*
 * Runs the set-up, stops at the gate until `rune start`, then execs the entrypoint or runs the
 * payload. Errors before the gate are reported through the sync socket by this function. Returns
 * the exit status for _exit(), 1 after an error; does not return when an execve() succeeds.
 */
int container_init_child(struct container_init *init, const struct container_payload *payload,
                         struct error *err);
/*
 * In init-runelet: rebuild the context from argv as container_create() passed it ("init-runelet
 * init FD"). On an error the sync socket may be unknown; the program then prints the error and
 * exits, and rune reports that.
 */
int container_init_resume(int argc, char **argv, struct container_init **out, struct error *err);

/* The process to run: the configuration's, or that of an exec. */
const struct oci_process *container_init_process(const struct container_init *init);
/* Descriptor passed in init_fds, or -1. The payload owns it; the engine leaves it open. */
int container_init_fd(const struct container_init *init, const char *name);
/*
 * Of the payload of a container_exec(): the process runs. rune exec goes on (writes its pid file,
 * or returns when detached), and an error after this is the payload's own business.
 */
void container_init_started(const struct container_init *init);
/*
 * From any thread of a payload that cannot get its own one to return: the start fails with err,
 * which rune reports (before the gate) or stderr shows. The caller ends the process.
 */
void container_init_fail(const struct container_init *init, const struct error *err);
/* A line for the user, through rune's log (before the gate) or stderr. */
void container_init_warn(const struct container_init *init, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* --- on an existing container ----------------------------------------------------------------- */

struct container {
    char *root; /* state root */
    char *id;
    int dir; /* state directory */
    struct oci_state *state;
};

/* Open a container by name; ENOENT (err->code) when there is none. */
int container_open(const char *root, const char *id, struct container **out, struct error *err);
void container_close(struct container *container);
#define cleanup_container __attribute__((cleanup(container_close_slot)))
void container_close_slot(struct container **slot);

enum container_status {
    CONTAINER_CREATING,
    CONTAINER_CREATED,
    CONTAINER_RUNNING,
    CONTAINER_PAUSED,
    CONTAINER_STOPPED,
};
const char *container_status_name(enum container_status status);
enum container_status container_status(const struct container *container);
/* The configuration that the container was created with (a copy in its state directory). */
int container_config(const struct container *container, struct oci_config **out, struct error *err);

int container_start(struct container *container, struct error *err);
/* Signal the init, or with `all` every process of the cgroup. */
int container_kill(struct container *container, int signal, bool all, struct error *err);
/* Refuses a container that is not stopped unless `force`, which kills it first. */
int container_delete(struct container *container, bool force, struct error *err);
int container_pause(struct container *container, struct error *err);
int container_resume(struct container *container, struct error *err);
int container_update(struct container *container, const struct oci_resources *resources,
                     struct error *err);
/* Process ids of the container's cgroup (host numbering); *pids is malloc'd. */
int container_pids(struct container *container, pid_t **pids, size_t *count, struct error *err);

struct container_exec_options {
    const char *console_socket, *pid_file;
    int preserve_fds;
    bool detach;
    bool ignore_paused;
    bool no_new_keyring;
    /* Each "PATH" or "CONTROLLER[,...]:PATH" below the container's own cgroup; none: that
     * itself. */
    const char *const *sub_cgroups;
    size_t sub_cgroup_count;
    /*
     * Run in the joined namespaces instead of execve(): for an enclave container the proxy to the
     * agent. The payload runs in a forked child of the caller.
     */
    const struct container_payload *payload;
};

/*
 * Run a further process in a container. In the foreground returns its status in *exit_status.
 * `process` is complete (args, env, cwd, user...): see rune exec for how one is made from the
 * container's own.
 */
int container_exec(struct container *container, struct oci_config *config,
                   const struct oci_process *process, const struct container_exec_options *options,
                   int *exit_status, struct error *err);

/* True when the name may be a container id (characters, length). */
bool container_id_valid(const char *id);
