/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd-shim-rune-v2: what containerd talks to in place of rune, one process for all
 * containers of a pod (docs/design/shim.md). One thread and one event loop: nothing here waits.
 * rune is started anew for each step of a container's life, and its end is an event like others.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/buffer.h"
#include "base/loop.h"
#include "shim/events.pb-c.h"
#include "shim/options.pb-c.h"
#include "shim/task.pb-c.h"
#include "ttrpc/ttrpc.h"

/* The command line, as containerd gives it. */
struct shim_arguments {
    const char *program; /* argv[0] */
    const char *namespace, *id, *address, *publish_binary, *bundle, *socket;
    bool debug, version, info;
    const char *action; /* "start", "delete", or NULL */
};

/* The shim's own run-time state. */
struct shim {
    struct loop loop;
    const char *namespace;
    char *socket_path; /* of the listener */
    bool enclave;      /* every container that may be one is an enclave container */
    struct ttrpc_server *server;
    struct publisher *publisher;
    struct container *containers;
    struct child *children;  /* processes that the shim itself started */
    struct exit_note *exits; /* ends of processes that nobody knows yet */
    unsigned launches;       /* under way: only then such notes are kept */
    struct loop_watch signals;
    struct loop_timer leaving; /* after Shutdown: how long events may still need */
    size_t connections;
    struct loop_timer empty; /* nobody is connected, and there is no container */
};

/* --- children: rune, logging programs -------------------------------------------------------- */

struct child {
    struct shim *shim;
    pid_t pid;
    /* It has ended with that wait status, and is in no list any more. The owner frees it. */
    void (*ended)(struct child *child, int status);
    struct child *next;
};

struct child_setup {
    const char *const *argv; /* NULL-terminated; the program is looked for in PATH */
    const char *const *env;  /* added to the shim's own; NULL-terminated, or NULL */
    int fds[6];              /* become 0 to 5; -1: /dev/null for 0 to 2, nothing for others */
    size_t fd_count;
};

/* Start a program that is killed when the shim dies. */
int child_run(struct shim *shim, struct child *child, const struct child_setup *setup,
              struct error *err);
/* Reap what has ended, and tell whose it was (children.c). */
int children_init(struct shim *shim, struct error *err);
/* A process of a launch is known now: its end, if that was noted before. Takes the note away. */
bool exit_note_take(struct shim *shim, pid_t pid, int *status);
void exit_notes_clear(struct shim *shim);

/* --- rune ------------------------------------------------------------------------------------ */

/* One run of the runtime. */
struct runtime_call {
    struct child child;
    int log;    /* what it logs, in memory */
    int output; /* its standard output, in memory, if it is asked for; else -1 */
    void (*done)(struct runtime_call *call, int status);
    void *ctx;
};

/* The arguments that every run begins with, for `config` below. */
struct runtime_config {
    char *binary; /* path or name of rune */
    char *root;   /* --root */
    char *criu;   /* NULL: the runtime's own default */
    bool systemd_cgroup, enclave;
    bool no_pivot, no_new_keyring;
    uid_t io_uid;
    gid_t io_gid;
    char *criu_work_path;
};

void runtime_config_release(struct runtime_config *config);
/* From the options that came with the request (any type, may be NULL). */
int runtime_config_read(const struct shim *shim, const Ttrpc__Any *options,
                        struct runtime_config *out, struct error *err);
/* Keep in the bundle, and read there, what `delete` must know of it. */
int runtime_config_save(const struct runtime_config *config, const char *bundle, struct error *err);
int runtime_config_load(const char *namespace, const char *bundle, struct runtime_config *out,
                        struct error *err);
/*
 * runc's options out of an Any; NULL: it has another type (err untouched), or is broken (err set).
 */
Options__Runc *options_runc(const Ttrpc__Any *any, struct error *err);
/* The rune that is installed with this program, or the name alone. */
char *runtime_default_binary(void);

struct arguments { /* a list of strings that ends with NULL */
    const char *items[48];
    size_t count;
};
void arguments_add(struct arguments *list, const char *item);
/* The runtime with its global options; the caller adds the command. `log`: its log file. */
void runtime_arguments(const struct runtime_config *config, const char *log,
                       struct arguments *list);

enum runtime_output {
    RUNTIME_QUIET,  /* standard output to /dev/null */
    RUNTIME_OUTPUT, /* to call->output */
};
/*
 * Run `rune COMMAND...`. `fds` are its three standard descriptors, -1 for /dev/null; NULL: none.
 * The call is freed after done().
 */
struct runtime_call *runtime_run(struct shim *shim, const struct runtime_config *config,
                                 const struct arguments *command, const int *fds,
                                 enum runtime_output output,
                                 void (*done)(struct runtime_call *call, int status), void *ctx,
                                 struct error *err);
/* For done(): 0, or an error of what the runtime said ("WHAT: its last error"). */
int runtime_result(const struct runtime_call *call, int status, const char *what,
                   struct error *err);

/* --- containers and their processes ---------------------------------------------------------- */

struct process {
    struct container *container;
    char *exec_id; /* "" for the container's first process */
    Task__Status status;
    pid_t pid; /* 0: there is none yet */
    char *stdin_uri, *stdout_uri, *stderr_uri;
    bool terminal;
    struct stdio *stdio; /* NULL: none is open */
    struct buffer spec;  /* exec: the process as JSON */
    char *checkpoint;    /* first process: what it is restored from, or NULL */
    bool busy;           /* a Start or Delete is under way */
    bool ended;          /* its end came while it was busy: end_status */
    int end_status;
    unsigned exit_status;
    struct timespec exited_at;
    struct waiter *waiters;
    struct process *next;
};

struct container {
    struct shim *shim;
    char *id, *bundle, *rootfs;
    bool mounted;  /* the shim mounted the rootfs */
    bool kill_all; /* no pid namespace of its own: the kernel does not end the others */
    bool creating;
    bool unclean; /* a rune that was killed, or a launch that failed late, has left something */
    struct runtime_config runtime;
    struct cgroups *cgroups;
    struct oom_watch *oom;
    unsigned users;               /* calls of the runtime that come back to it */
    bool deleted;                 /* and is freed when the last of them is over */
    Task__CreateRequest *request; /* until it is created */
    struct process init;
    struct process *execs;
    struct container *next;
};

struct container *container_find(struct shim *shim, const char *id);
struct process *process_find(struct container *container, const char *exec_id);
/* Out of the shim's list; freed now, or with the last of its users. */
void container_free(struct container *container);
void container_use(struct container *container);
void container_leave(struct container *container);
void process_release(struct process *process);
/* What the runtime names files by: "init.pid" or "EXEC.pid", in the bundle. malloc'd. */
char *process_pid_file(const struct process *process);
/* A process has ended. */
void process_ended(struct process *process, int wait_status);
/* Carry out an end that came while the process was busy. */
void process_settle(struct process *process);
/* Answer Wait, now or when the process ends. */
void process_wait(struct process *process, struct ttrpc_call *call);

/* task_create.c: Create, and Start of a further process: rune with the streams of a process. */
void task_create(struct shim *shim, struct ttrpc_call *call, const Task__CreateRequest *request);
void task_start_init(struct process *process, struct ttrpc_call *call);
void task_start_exec(struct process *process, struct ttrpc_call *call);
/* task_delete.c */
void task_delete(struct process *process, struct ttrpc_call *call);
/* task_service.c */
extern const struct ttrpc_service g_task_service;

/* An error as the answer: `code` unless the error's own errno says something better. */
void task_fail(struct ttrpc_call *call, enum ttrpc_code code, const struct error *err);

/* --- streams (stdio.c, relay.c, console.c) --------------------------------------------------- */

/* Bytes from one descriptor to another, until the end of the first. Owns both. */
struct relay {
    struct loop *loop;
    struct loop_watch from, to;
    int from_fd, to_fd;
    bool running, spliced, plain; /* `plain`: a regular file, always ready */
    bool draining;                /* end when there is nothing to read for now */
    struct buffer pending;
    void (*ended)(struct relay *relay, void *ctx);
    void *ctx;
};

void relay_init(struct relay *relay);
int relay_start(struct relay *relay, struct loop *loop, int from, int to,
                void (*ended)(struct relay *relay, void *ctx), void *ctx, struct error *err);
/* Read what is there, and then no more. */
void relay_drain(struct relay *relay);
void relay_stop(struct relay *relay);

struct stdio;
/*
 * Make the streams of a process. `opened` is called once, never out of this function, when they all
 * are open: with NULL, or why they are not.
 */
int stdio_open(struct process *process, void (*opened)(void *ctx, const struct error *err),
               void *ctx, struct error *err);
/* The runtime's standard descriptors, and the path of the console socket or NULL. */
const int *stdio_fds(const struct stdio *stdio);
const char *stdio_console_socket(const struct stdio *stdio);
/* The runtime has its descriptors; ours go. */
void stdio_started(struct stdio *stdio);
/*
 * Pass on what the process writes and reads, once it is there: before, it is the runtime that
 * writes.
 */
int stdio_relay(struct stdio *stdio, struct error *err);
void stdio_close_stdin(struct stdio *stdio);
int stdio_resize(struct stdio *stdio, unsigned width, unsigned height);
/* The process has ended: a terminal is read to its end. */
void stdio_ended(struct stdio *stdio);
/*
 * Call back when everything that the process wrote has been passed on, at the latest after a while.
 */
void stdio_finish(struct stdio *stdio, void (*finished)(void *ctx), void *ctx);
void stdio_free(struct stdio *stdio);

/* --- events (publisher.c) -------------------------------------------------------------------- */

int publisher_new(struct shim *shim, const char *address, struct publisher **out,
                  struct error *err);
/*
 * One more event; sent in order, kept while containerd is away. `type` is the message's full name.
 */
void publish(struct shim *shim, const char *topic, const char *type, const ProtobufCMessage *event);
/* containerd is back, or may be: try at once. */
void publisher_wake(struct publisher *publisher);
bool publisher_idle(const struct publisher *publisher);

/* --- cgroups (cgroups.c, stats.c, oom.c) ----------------------------------------------------- */

/* The cgroups of a process, by its entry in /proc; NULL when there is none. */
struct cgroups *cgroups_of(pid_t pid);
void cgroups_free(struct cgroups *cgroups);
bool cgroups_unified(const struct cgroups *cgroups);
/* Directory of a controller of version 1, or the unified one (controller ""); NULL: none. */
const char *cgroups_path(const struct cgroups *cgroups, const char *controller);
/* Put a process into the cgroup `path` of every hierarchy that has it. */
int cgroups_join(const char *path, pid_t pid, struct error *err);
/* containerd's metrics message as an Any; both parts malloc'd. */
void cgroups_stats(const struct cgroups *cgroups, Ttrpc__Any *out);

struct oom_watch *oom_watch_new(struct container *container);
/* Tell of a kill that has not been told yet. */
void oom_watch_check(struct oom_watch *watch);
void oom_watch_free(struct oom_watch *watch);

/* --- the configuration file (config.c, docs/man/inclavare-containers-config.toml.5.md) --- */

struct shim_config {
    char *socket; /* containerd's, where the command line does not say; or NULL */
    bool debug, quiet;
    struct buffer warnings, notes; /* lines for the log */
};
/*
 * Read the file, and put what it says for rune into the environment, where that does not say
 * otherwise. No file is an empty one.
 */
int shim_config_read(struct shim_config *out, struct error *err);
void shim_config_release(struct shim_config *config);

/* --- the rest -------------------------------------------------------------------------------- */

/* rootfs.c: mount what Create asks for onto `rootfs`; undone when it fails. */
int rootfs_mount(const char *rootfs, Task__Mount *const *mounts, size_t count, struct error *err);
int rootfs_unmount(const char *rootfs, struct error *err);

/* The ways to run: containerd's `start`, `delete` and `-info`, and the service itself. */
int shim_start(struct shim_arguments *arguments, struct error *err);
int shim_delete(const struct shim_arguments *arguments, struct error *err);
int shim_info(struct error *err);
/* A container or a connection has come or gone: a shim with neither ends after a while. */
void shim_check_empty(struct shim *shim);
/* Serve on a listening socket (taken) until Shutdown. */
int shim_serve(const struct shim_arguments *arguments, int listener, const char *socket_path,
               struct error *err);
