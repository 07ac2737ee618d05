/* SPDX-License-Identifier: Apache-2.0 */
/* The deployment half of the manifest after its hash was checked and it was parsed
 * (libos/boot/deployment.c). */
#pragma once

#include "lib.h"
#include "process.h"

struct deployment_mount {
    u32 kind, flags, index, mode; /* abi/manifest.h */
    u64 size;
    char *target, *source, *options;
};
/* What the host may do while the enclave runs (struct manifest_policy). */
struct deployment_policy {
    bool present;
    u32 exec;           /* enum manifest_exec_kind */
    u64 signals;        /* bit n - 1: the host may send signal n */
    bool signal_any;    /* to any process, not to process 1 and those of exec only */
    bool stdin_host;    /* standard input comes from the host */
    bool stdout_host;   /* standard output and error go to the host */
    bool loopback_host; /* 127.0.0.0/8 and ::1 are the host's, not the enclave's own */
    bool no_new_privs;
    u32 log_level;
};
struct deployment {
    struct deployment_policy policy;
    char **argv, **env; /* NULL-terminated */
    char *cwd, *hostname, *domainname;
    u32 uid, gid, umask, group_count;
    u32 *groups;
    u64 capabilities;
    bool terminal, readonly_root;
    struct rlimit64 rlimits[16];
    u32 rlimits_set; /* bit n: RLIMIT n given */
    struct deployment_mount *mounts;
    u32 mount_count;
    char **sysctls;                        /* name=value, NULL-terminated or NULL */
    char **masked_paths, **readonly_paths; /* NULL-terminated or NULL */
};
extern struct deployment g_deployment;
/* Host descriptors of the pass-through mounts, by their index. */
int deployment_mount_fd(u32 index); /* -EINVAL: none was given */
extern const struct manifest_image *g_manifest;
