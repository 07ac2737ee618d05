/* SPDX-License-Identifier: Apache-2.0 */
/* The deployment half of the manifest after its hash was checked and it was parsed
 * (libos/entry/deployment.c). */
#pragma once

#include "rlimit.h"

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
/* A command that the host may start, when the policy has a list (struct manifest_command). */
struct deployment_text {
    bool pattern;
    char *text;
};
struct deployment_command {
    bool terminal;
    u32 arg_count, env_count, cwd_count;
    struct deployment_text *texts; /* arguments, environment, directories */
};
/* Variables that the host may give (struct manifest_host_variable). */
struct deployment_host_variable {
    u32 value; /* enum manifest_host_value */
    char *pattern;
};
struct deployment {
    struct deployment_policy policy;
    struct deployment_command *commands;
    u32 command_count;
    char **argv, **env; /* NULL-terminated */
    char *cwd, *hostname, *domainname;
    u32 uid, gid, umask, group_count;
    u32 *groups;
    u64 capabilities; /* permitted and effective */
    u64 bounding, inheritable, ambient;
    bool terminal, readonly_root;
    struct rlimit64 rlimits[16];
    u32 rlimits_set; /* bit n: RLIMIT n given */
    struct deployment_mount *mounts;
    u32 mount_count;
    char **sysctls;                        /* name=value, NULL-terminated or NULL */
    char **masked_paths, **readonly_paths; /* NULL-terminated or NULL */
    struct deployment_host_variable *host_variables;
    u32 host_variable_count;
    char *ratls;         /* ports of ratls-proxy, or NULL */
    char *ratls_clients; /* policy for its clients, or NULL */
    bool host_names;     /* host name and domain name are the host's to give */
    /* What it gave (entry/given.c, entry/inherit.c): variables of env, and which of the names. */
    char **given;
    u32 given_count;
    bool hostname_given, domainname_given;
};
extern struct deployment g_deployment;
/* May the host send this signal? */
bool policy_signal(int sig);
/* Host descriptors of the pass-through mounts, by their index. */
hostfd deployment_mount_fd(u32 index);                    /* -EINVAL: none was given */
void deployment_set_mounts(const hostfd *fds, u32 count); /* once, at start; the array stays */
