/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"

/*
 * The configuration of a container: config.json of OCI runtime-spec 1.2 as C structures.
 *
 * One struct oci_config owns everything: strings point into its JSON tree, arrays lie in its arena,
 * and oci_config_free() releases all at once. Nothing here touches the system; what is checked is
 * what the specification says about the text itself. Numbers that may be absent are struct
 * oci_int64 and friends.
 */
struct oci_arena;

/* The version of the specification that is implemented. */
#define OCI_VERSION "1.2.0"

struct oci_int64 {
    bool set;
    int64_t value;
};

struct oci_uint64 {
    bool set;
    uint64_t value;
};

/* `items` has a NULL after the last, so that it can be an argv or envp. Never NULL itself. */
struct oci_strings {
    const char **items;
    size_t count;
};

struct oci_pair {
    const char *key;
    const char *value;
};

struct oci_pairs {
    struct oci_pair *items;
    size_t count;
};

struct oci_rlimit {
    int resource; /* RLIMIT_* */
    uint64_t soft;
    uint64_t hard;
};

/* Bit N stands for capability N. */
struct oci_capabilities {
    bool present;
    uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct oci_scheduler {
    bool present;
    int policy; /* SCHED_* */
    int32_t nice;
    int32_t priority;
    uint64_t flags; /* SCHED_FLAG_* */
    uint64_t runtime, deadline, period;
};

struct oci_process {
    bool terminal;
    uint32_t console_width, console_height; /* 0: not given */
    uint32_t uid, gid;
    bool umask_set;
    mode_t umask;
    gid_t *additional_gids;
    size_t additional_gid_count;
    struct oci_strings args, env;
    const char *cwd;
    struct oci_capabilities capabilities;
    struct oci_rlimit *rlimits;
    size_t rlimit_count;
    bool no_new_privileges;
    const char *apparmor_profile; /* NULL: none */
    const char *selinux_label;    /* NULL: none */
    struct oci_int64 oom_score_adj;
    struct oci_scheduler scheduler;
    bool io_priority_set;
    int io_priority_class; /* IOPRIO_CLASS_* */
    int io_priority;
    const char *cpu_affinity_initial, *cpu_affinity_final; /* execCPUAffinity; NULL: none */
};

struct oci_id_mapping {
    uint32_t container_id, host_id, size;
};

struct oci_id_mappings {
    struct oci_id_mapping *items;
    size_t count;
};

struct oci_mount {
    const char *destination;
    const char *type;   /* NULL when absent */
    const char *source; /* NULL when absent */
    struct oci_strings options;
    struct oci_id_mappings uid_mappings, gid_mappings;
};

struct oci_hook {
    const char *path;
    struct oci_strings args, env;
    int timeout; /* seconds; 0: none */
};

enum oci_hook_kind {
    OCI_HOOK_PRESTART,
    OCI_HOOK_CREATE_RUNTIME,
    OCI_HOOK_CREATE_CONTAINER,
    OCI_HOOK_START_CONTAINER,
    OCI_HOOK_POSTSTART,
    OCI_HOOK_POSTSTOP,
    OCI_HOOK_KINDS,
};

struct oci_hooks {
    struct oci_hook *items;
    size_t count;
};

enum oci_namespace_type {
    OCI_NS_USER,
    OCI_NS_IPC,
    OCI_NS_UTS,
    OCI_NS_NETWORK,
    OCI_NS_PID,
    OCI_NS_MOUNT,
    OCI_NS_CGROUP,
    OCI_NS_TIME,
    OCI_NS_TYPES,
};

struct oci_namespace {
    bool present;
    const char *path; /* NULL: a new one */
};

struct oci_device {
    const char *path;
    mode_t mode; /* S_IFCHR, S_IFBLK or S_IFIFO, and permissions */
    int64_t major, minor;
    uint32_t uid, gid;
};

struct oci_device_rule {
    bool allow;
    char type;            /* 'a', 'b' or 'c' */
    int64_t major, minor; /* -1: any */
    const char *access;   /* of "rwm" */
};

struct oci_weight_device {
    int64_t major, minor;
    struct oci_int64 weight, leaf_weight;
};

struct oci_throttle_device {
    int64_t major, minor;
    uint64_t rate;
};

struct oci_throttles {
    struct oci_throttle_device *items;
    size_t count;
};

struct oci_hugepage_limit {
    const char *page_size;
    uint64_t limit;
};

struct oci_interface_priority {
    const char *name;
    uint32_t priority;
};

struct oci_rdma {
    const char *device;
    struct oci_int64 handles, objects;
};

struct oci_resources {
    struct oci_device_rule *devices;
    size_t device_count;
    struct {
        struct oci_int64 limit, reservation, swap, kernel, kernel_tcp;
        struct oci_uint64 swappiness;
        bool disable_oom_killer, use_hierarchy, check_before_update;
    } memory;
    struct {
        struct oci_uint64 shares, period, realtime_period, burst;
        struct oci_int64 quota, realtime_runtime, idle;
        const char *cpus, *mems;
    } cpu;
    struct oci_int64 pids_limit;
    struct {
        struct oci_int64 weight, leaf_weight;
        struct oci_weight_device *weight_devices;
        size_t weight_device_count;
        struct oci_throttles read_bps, write_bps, read_iops, write_iops;
    } block_io;
    struct oci_hugepage_limit *hugepages;
    size_t hugepage_count;
    struct oci_uint64 class_id;
    struct oci_interface_priority *priorities;
    size_t priority_count;
    struct oci_rdma *rdma;
    size_t rdma_count;
    struct oci_pairs unified;
};

struct oci_intel_rdt {
    bool present;
    const char *clos_id, *l3_cache_schema, *mem_bw_schema;
    bool enable_cmt, enable_mbm;
};

struct oci_time_offset {
    bool set;
    int64_t seconds;
    uint32_t nanoseconds;
};

struct oci_config {
    json_t *json;       /* the whole tree */
    struct buffer text; /* what it was parsed from */
    struct oci_arena *arena;

    const char *version;
    const char *hostname, *domainname; /* NULL: leave */
    const char *root_path;
    bool root_readonly;
    bool process_present;
    struct oci_process process;
    struct oci_mount *mounts;
    size_t mount_count;
    struct oci_hooks hooks[OCI_HOOK_KINDS];
    struct oci_pairs annotations;

    struct oci_namespace namespaces[OCI_NS_TYPES];
    struct oci_id_mappings uid_mappings, gid_mappings;
    struct oci_time_offset monotonic, boottime;
    struct oci_pairs sysctl;
    struct oci_resources resources;
    const char *cgroups_path; /* NULL: the default */
    const char *rootfs_propagation;
    /* NULL: none. Parsed (container/seccomp.c) only when its compiled form is not cached. */
    json_t *seccomp;
    struct oci_device *devices;
    size_t device_count;
    struct oci_strings masked_paths, readonly_paths;
    const char *mount_label;
    struct oci_intel_rdt intel_rdt;
    bool personality_set;
    unsigned long personality; /* PER_* and flags */
};

/* Load and check BUNDLE/config.json. */
int oci_config_load(const char *bundle, struct oci_config **out, struct error *err);
/* From text (the fuzz target's door); `origin` names it in messages. */
int oci_config_parse(const char *text, size_t size, const char *origin, struct oci_config **out,
                     struct error *err);
/* From a tree that is read already, of which it takes a reference: no `text` then. NULL is no
 * object, and refused. Who changes the tree makes the configuration anew. */
int oci_config_from_json(json_t *json, const char *origin, struct oci_config **out,
                         struct error *err);
void oci_config_free(struct oci_config *config);
#define cleanup_config __attribute__((cleanup(oci_config_free_slot)))
void oci_config_free_slot(struct oci_config **slot);

/* A process object (rune exec --process). The result lives in `config`'s arena, which owns `json`
 * from now on. */
int oci_process_parse(json_t *json, struct oci_config *config, struct oci_process *out,
                      struct error *err);
/* A LinuxResources object (rune update --resources), same ownership. */
int oci_resources_parse(json_t *json, struct oci_config *config, struct oci_resources *out,
                        struct error *err);
/* An empty configuration as an owner for the two above. */
struct oci_config *oci_config_new(void);
/* Zeroed memory that lives as long as the configuration. */
void *oci_config_alloc(struct oci_config *config, size_t count, size_t size);
char *oci_config_format(struct oci_config *config, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The value of an annotation, or NULL. */
const char *oci_annotation(const struct oci_config *config, const char *key);
/* Bit of a capability name ("CAP_CHOWN" or "chown"), or -1. */
int oci_capability_number(const char *name);
/* NULL for an unknown number. */
const char *oci_capability_name(int number);
/* RLIMIT_* of "RLIMIT_NOFILE", or -1. */
int oci_rlimit_number(const char *name);
const char *oci_rlimit_name(int resource);
extern const char *const oci_namespace_names[OCI_NS_TYPES];
extern const char *const oci_hook_names[OCI_HOOK_KINDS];
