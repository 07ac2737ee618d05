/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What create.c and restore.c share of making a container: state directory, cgroups, undoing. */
#include "container/private.h"

/* Everything that container_create() makes, for undoing it. */
struct creation {
    const struct container_create_options *options;
    struct oci_config *config;
    struct container_init init;
    struct spawn_request spawn;
    struct cgroup cgroup;
    struct oci_state *state;
    struct foreground *fg;
    int *cgroup_files;
    size_t cgroup_file_count;
    int dir;
    int sync[2]; /* ours, the child's */
    int pidfd;
    pid_t pid;
    bool dir_made, cgroup_planned, ran;
};

/* Check everything and fill in what only depends on the arguments. */
int creation_begin(struct creation *c, const struct container_create_options *options,
                   struct oci_config *config, struct error *err);
/* State directory with the first state, cgroups. */
int creation_prepare(struct creation *c, struct error *err);
/* Record the init. */
int creation_save_pid(struct creation *c, struct error *err);
/*
 * After the last step (`ret` is its result): undo everything after an error, or wait for the end of
 * a container in the foreground. Releases *c in any case.
 */
int creation_end(struct creation *c, int ret, int *exit_status, struct error *err);
