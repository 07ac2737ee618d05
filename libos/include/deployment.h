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
struct deployment {
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
