/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared inside src/container. Grouped by file; every group says which process runs it. */
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "container/container.h"
#include "container/mount_options.h"
#include "oci/config.h"
#include "oci/state.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* A compiled seccomp filter. */
struct seccomp_program {
    bool present;
    bool notify; /* has an SCMP_ACT_NOTIFY action: a listener must be handed over */
    unsigned flags;
    struct buffer code; /* struct sock_filter[] */
};

/*
 * Everything that the set-up inside the container needs. Made by the parent, used by the child;
 * with init_program it travels as JSON and descriptors (init_resume.c), so nothing here may depend
 * on the parent's memory.
 */
struct container_init {
    char *id, *bundle, *state_dir, *rootfs;
    struct oci_config *config;
    const struct oci_process *process;
    int sync_fd;           /* our end of the sync socket */
    int fifo_fd;           /* the exec fifo, -1 for run and exec */
    int console_socket_fd; /* connected; -1: send the master through sync_fd */
    int proc_fd;           /* the host's /proc */
    int preserve_fds;      /* descriptors 3.. that the entrypoint gets */
    bool no_pivot, no_new_keyring;
    bool new_user_namespace; /* ids of the container are not those of the host */
    bool of_ordinary_user;   /* whose rune may enter it only while it is dumpable */
    bool is_exec;            /* a further process: no mounts, no gate */
    struct seccomp_program seccomp;
    struct container_fd *fds; /* for the payload */
    size_t fd_count;
    json_t *cgroup_mounts; /* v1: hierarchy name -> directory of this container's cgroup */
};

/* --- sync.c: messages between rune and init (docs/design/engine.md) --- */
enum sync_type {
    SYNC_GO = 1,
    SYNC_HOOKS,
    SYNC_TTY,
    SYNC_SECCOMP,
    SYNC_LOG,
    SYNC_ERROR,
    SYNC_READY,
    SYNC_MOUNT,
};

enum { SYNC_TEXT_MAX = 8192 };

struct sync_message {
    uint32_t type;
    int32_t code; /* ERROR: errno; LOG: level; MOUNT: index; SECCOMP: number of the descriptor */
    char text[SYNC_TEXT_MAX];
};

/* 0 or -errno; fd -1 for none. */
int sync_send(int socket, enum sync_type type, int code, const char *text, int fd);
/* 1: a message, 0: the other side closed, -errno. *fd becomes a received descriptor or -1. */
int sync_recv(int socket, struct sync_message *out, int *fd);
/* sync_send() without a descriptor, by write(2): for the init, whose seccomp filter may be in force
 * already and knows what runc needs. */
int sync_write(int socket, enum sync_type type, int code, const char *text);
/* In the init: wait for GO; *fd as for sync_recv(), NULL for none. */
int sync_wait_go(struct container_init *init, int *fd, struct error *err);
/* The same for an answer that may also be `other`: the type that came, negative with err. */
int sync_wait(struct container_init *init, enum sync_type other, int *fd, struct error *err);

/* --- proc.c --- */
/* Start time (field 22) and state letter of a process; -errno when it is gone. */
int proc_stat(pid_t pid, uint64_t *start_time, char *state);
/* A verified descriptor of procfs' root (O_PATH), negative with err. */
int proc_open(struct error *err);
int proc_write(int proc_fd, const char *path, const char *text, struct error *err);
/* Open below it (O_CLOEXEC is added): nothing may be mounted over the path, and no magic link is
 * followed. */
int proc_open_at(int proc_fd, const char *path, int flags, struct error *err);
/* Open the object of an O_PATH descriptor. */
int proc_reopen(int proc_fd, int fd, int flags, struct error *err);
/* True when the process with this start time is alive and not a zombie. */
bool proc_alive(pid_t pid, uint64_t start_time);
/* What our stdio leads to ("pipe:[1]", "/dev/null"), as an array of three strings. */
json_t *proc_descriptors(void);

/* --- spawn.c: in rune --- */
struct spawn_request {
    const struct oci_config *config;
    unsigned namespaces;     /* CLONE_NEW* that the child gets new */
    int join[OCI_NS_TYPES];  /* descriptors of namespaces to join, -1 for none */
    const int *cgroup_files; /* v1 `tasks` files, opened by rune */
    size_t cgroup_file_count;
    int cgroup_dir; /* v2: for CLONE_INTO_CGROUP, else -1 */
    int proc_fd;    /* the host's /proc */
    /*
     * v2: cgroup.procs of where to go when cgroup_dir takes no processes any more, as it has
     * children with controllers; -1: nowhere else.
     */
    int cgroup_fallback;
    /* Runs in the child; cgroup_status is 0, or -errno when a cgroup could not be entered. */
    int (*child)(void *ctx, int cgroup_status);
    void *ctx;
};
/* Clone the process; its pid, or negative with err. */
pid_t spawn_process(const struct spawn_request *request, int *pidfd, struct error *err);
/* In the child, first thing: cgroups, remaining namespaces. */
int spawn_enter(const struct spawn_request *request, struct error *err);
/* Fill namespaces and join from the configuration. */
int spawn_plan(const struct oci_config *config, struct spawn_request *request, struct error *err);
void spawn_close(struct spawn_request *request);

/* --- userns.c: in rune --- */
int userns_write_maps(pid_t pid, const struct oci_id_mappings *uid,
                      const struct oci_id_mappings *gid, struct error *err);
/* Host id of a container id, -1 when unmapped. */
int64_t userns_host_id(const struct oci_id_mappings *mappings, uint32_t id);
/* A user namespace with these mappings, for idmapped mounts. */
int userns_for_mapping(const struct oci_id_mappings *uid, const struct oci_id_mappings *gid,
                       struct error *err);

/* --- rootfs.c, mounts.c, devices.c: in the init --- */
int rootfs_prepare(struct container_init *init, bool untouched, int *root_fd, struct error *err);
int rootfs_protect(struct container_init *init, int root_fd, struct error *err);
int rootfs_switch(struct container_init *init, int root_fd, struct error *err);
int mounts_perform(struct container_init *init, int root_fd, struct error *err);
int mount_cgroups(struct container_init *init, int root_fd, int target,
                  const struct oci_mount *mount, const struct mount_plan *plan, struct error *err);
int devices_create(struct container_init *init, int root_fd, struct error *err);
/* Path of device `index` of a container, defaults first; NULL after the last. */
const char *device_path(const struct oci_config *config, size_t index);
/* Where a descriptor is below the root, malloc'd ("/proc/sys"); NULL when it is not. */
char *path_in_root(int root_fd, int fd);
/* "/sys/fs/cgroup/cpu,cpuacct/docker/x" -> "cpu,cpuacct", malloc'd; NULL for other paths. */
char *cgroup_hierarchy_name(const char *path);
/*
 * A detached copy of the source of a bind mount, id-mapped if the configuration says so. In the
 * init, or in rune's helper that has entered the container's mount namespace. -EACCES or -EPERM:
 * the caller lacks the right.
 */
int mount_open_source(const struct oci_config *config, const char *bundle,
                      const struct oci_mount *mount, struct error *err);
int mount_on_fd(const char *source, int target, const char *type, unsigned long flags,
                const char *data);
int mount_detached(int mount_fd, int target);
/* The set-up's own wrappers; glibc's headers are too old for some. */
int sys_open_tree(int dirfd, const char *path, unsigned flags);
int sys_mount_setattr(int dirfd, const char *path, unsigned flags, uint64_t set, uint64_t clear,
                      uint64_t propagation, int userns_fd);

/* --- console.c --- */
/* In the init: a pty of the container's devpts; master and slave. */
int console_open(const struct container_init *init, int root_fd, int *master, int *slave,
                 struct error *err);
int console_bind(int root_fd, int slave, struct error *err);
int console_attach(int slave, struct error *err);
/* In the init: rune's stdio becomes that of the container's user, its /dev/null the container's. */
int stdio_adopt(const struct oci_process *process, struct error *err);
/* In rune: the socket named by --console-socket. */
int console_connect(const char *path, struct error *err);
int console_send(int socket, int master);

/* --- foreground.c: in rune, the parent of a process in the foreground --- */
struct foreground;
struct foreground *foreground_new(struct error *err);
/* Signals are ours from here on; child inherits the old mask through foreground_child(). */
void foreground_child(const struct foreground *fg);
int foreground_tty(struct foreground *fg, int master, struct error *err);
/* Call ready when fd is readable, until it returns true. fd -1: never. */
void foreground_watch(struct foreground *fg, int fd, bool (*ready)(void *ctx), void *ctx);
/* Until the process ends; its status (0-255). */
int foreground_wait(struct foreground *fg, pid_t pid, struct error *err);
void foreground_free(struct foreground *fg);

/* --- process.c: in the init: who the process is --- */
/* carrier: only those that are not the program's own business in an enclave. */
int process_rlimits(const struct oci_process *process, bool carrier, struct error *err);
int process_oom_score(const struct container_init *init, struct error *err);
int process_scheduling(const struct oci_process *process, struct error *err);
int process_identity(const struct container_init *init, struct error *err);
int process_bounding(const struct oci_process *process, struct error *err);
int process_final_caps(const struct oci_process *process, struct error *err);
int process_find(const struct oci_process *process, const char **cwd, char **path,
                 struct error *err);
int process_cwd(const struct oci_process *process, struct error *err);
/* In rune: every variable has a name and a value (validate.c). */
int process_check_environment(const struct oci_process *process, struct error *err);
/* The variables of the configuration; of two values the later one holds (`exec --env`). */
char **process_variables(const struct oci_process *process, size_t *out_count);
/* The same with a HOME, which is looked up in the container. */
char **process_environment(const struct oci_process *process);
int process_label(const struct container_init *init, struct error *err);
int cpu_list_parse(const char *text, cpu_set_t *out, struct error *err);
int process_affinity(const char *cpus, struct error *err);

/* --- steps.c, init.c, init_resume.c --- */
/* In the network namespace of the caller. */
int raise_loopback(struct error *err);
/* A sealed memfd with the context, all its descriptors made inheritable. */
int init_serialize(struct container_init *init, struct error *err);
void container_init_free(struct container_init *init);
/* Log lines go to rune from here on. */
void init_divert_log(struct container_init *init);
/* 0, or -errno when rune does not hear it. */
int init_report(const struct container_init *init, const struct error *err);

/* --- seccomp.c, seccomp_cache.c --- */
/* In rune: the compiled filter from the cache or made now. */
int seccomp_filter_prepare(const char *root, json_t *profile, struct seccomp_program *out,
                           struct error *err);
int seccomp_filter_compile(json_t *profile, struct seccomp_program *out, struct error *err);
/* In the init; *listener becomes the notify descriptor or -1. */
int seccomp_filter_load(const struct seccomp_program *program, int *listener, struct error *err);
/* In rune: hand the listener to the agent at listenerPath. */
int seccomp_send_listener(json_t *profile, int listener, const char *state, pid_t pid,
                          struct error *err);

/* --- hooks.c --- */
int hooks_run(const struct oci_config *config, enum oci_hook_kind kind, const char *state,
              const char *cwd, struct error *err);
/* A failing hook is a warning, and the others run all the same (poststop). */
void hooks_run_all(const struct oci_config *config, enum oci_hook_kind kind, const char *state,
                   const char *cwd);
/* The state document of the specification, malloc'd. */
char *state_document(const char *version, const char *id, const char *status, pid_t pid,
                     const char *bundle, const json_t *annotations);

/* --- cgroup.c (facade), cgroup_v1.c, cgroup_v2.c, cgroup_systemd.c: in rune --- */
struct cgroup {
    bool v2;
    bool systemd;
    bool optional; /* rootless without delegation: failures are ignored */
    bool chosen;   /* by cgroupsPath */
    bool existed;  /* a directory was there before us */
    json_t *paths; /* controller (or "name=systemd", "" for v2) -> absolute directory */
    /* The systemd driver: the scope, the container's name in it, the slice that holds it. */
    char *unit, *name, *slice;
    bool foreign;            /* the scope is somebody else's */
    struct systemd_bus *bus; /* connected when needed */
};
/* Of the hybrid layout's unified hierarchy in `paths`. */
extern const char cgroup_hybrid_key[];
/*
 * What a cgroup mount shows: the container's directories, and where a rootless container has none
 * of its own, the one that it stays in. NULL with err.
 */
json_t *cgroup_visible(const struct cgroup *cgroup, struct error *err);
/* Has the kernel killed a process in it for want of memory? (stats.c) */
bool cgroup_oom_killed(const struct cgroup *cgroup);
int cgroup_plan(const struct container_create_options *options, const struct oci_config *config,
                struct cgroup *out, struct error *err);
/*
 * Make the cgroups and set the resources. With the systemd driver pid, the container's init, is put
 * there as well, and must wait meanwhile.
 */
int cgroup_create(struct cgroup *cgroup, const struct oci_config *config, pid_t pid,
                  struct error *err);
/* To what an update wants. */
int cgroup_update(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err);
/* Descriptors through which the child enters; *files is malloc'd. */
int cgroup_entrances(const struct cgroup *cgroup, int **files, size_t *count, int *dir,
                     struct error *err);
int cgroup_attach(const struct cgroup *cgroup, pid_t pid, struct error *err);
int cgroup_freeze(const struct cgroup *cgroup, bool frozen, struct error *err);
bool cgroup_frozen(const struct cgroup *cgroup);
int cgroup_signal_all(const struct cgroup *cgroup, int signal, struct error *err);
int cgroup_remove(struct cgroup *cgroup, struct error *err);
int cgroup_pids(const struct cgroup *cgroup, pid_t **pids, size_t *count, struct error *err);
void cgroup_release(struct cgroup *cgroup);
/* From a container's state. */
void cgroup_from_state(const struct oci_state *state, struct cgroup *out);
/* The directory by which a container is known to one controller, or NULL. */
const char *cgroup_path(const struct cgroup *cgroup, const char *controller);
int cgroup_v1_set(const struct cgroup *cgroup, const struct oci_resources *resources,
                  struct error *err);
int cgroup_v2_set(const struct cgroup *cgroup, const struct oci_resources *resources,
                  struct error *err);
int cgroup_v2_devices(int dir, const struct oci_resources *resources, struct error *err);
/* The container's cgroup to the user of its process, when the configuration gives that to it. */
int cgroup_v2_delegate(const struct cgroup *cgroup, const struct oci_config *config,
                       struct error *err);
int cgroup_v1_create(struct cgroup *cgroup, struct error *err);
int cgroup_v2_create(struct cgroup *cgroup, struct error *err);
/* v2's values for v1's: swap without memory, weights. */
int cgroup_v2_swap(const struct oci_resources *r, struct oci_int64 *out, struct error *err);
uint64_t cgroup_v2_cpu_weight(uint64_t shares);
uint64_t cgroup_v2_io_weight(int64_t weight);
/* From "slice:prefix:name"; fills unit, name and slice. *out is the path below the root of a
 * hierarchy, malloc'd. */
int cgroup_systemd_plan(struct cgroup *cgroup, const char *cgroups_path, const char *id, char **out,
                        struct error *err);
/* Rules that hold in every container beside those of the configuration. */
extern const struct oci_device_rule cgroup_default_devices[];
extern const size_t cgroup_default_device_count;
int cgroup_systemd_create(struct cgroup *cgroup, const struct oci_config *config, pid_t pid,
                          struct error *err);
int cgroup_systemd_set(struct cgroup *cgroup, const struct oci_resources *resources,
                       struct error *err);
int cgroup_systemd_remove(struct cgroup *cgroup, struct error *err);

/* --- validate.c --- */
/* net.ipv4.x <-> net/ipv4/x, the one's dots being the other's slashes. In place. */
void sysctl_swap_separators(char *name);
int config_validate(const struct container_create_options *options, const struct oci_config *config,
                    struct error *err);

/* --- serve.c: in rune --- */
struct sync_server {
    const char *id, *bundle;
    const struct oci_config *config;
    pid_t pid;                    /* the process that is served */
    pid_t container_pid;          /* the container's init: the same, but for an exec */
    const char *container_status; /* for the state document */
    struct foreground *fg;
};
/* Serve one process that sets itself up: 1 once it is ready, 0 at its end, negative for its error.
 */
int sync_serve(const struct sync_server *server, int socket, struct error *err);

/* --- create.c --- */
void close_fds(int *fds, size_t count);
int write_pid_file(const char *path, pid_t pid, struct error *err);

/* --- criu_mounts.c --- */
/* Where a restore binds the root filesystem for criu, in the state directory. */
extern const char criu_root_name[];
void criu_unbind_root(const char *state_dir);

/* --- rdt.c, keyring and network bits in init.c --- */
/* Where resctrl is mounted. */
extern const char rdt_root[];
int rdt_apply(const char *root, const struct oci_config *config, const char *id, pid_t pid,
              struct error *err);
void rdt_remove(const char *root, const struct oci_config *config, const char *id);
