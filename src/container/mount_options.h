/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "oci/config.h"

/* What the option strings of one mount ask for (runtime-spec config-linux, "Mount options"). */
struct mount_plan {
    unsigned long flags; /* MS_* for mount(2) */
    uint64_t attr_set;   /* MOUNT_ATTR_* of this mount */
    uint64_t attr_clear;
    uint64_t rec_set; /* the same, recursive (rro, rnosuid, ...) */
    uint64_t rec_clear;
    unsigned propagation[4]; /* MS_PRIVATE etc. with MS_REC, in order */
    size_t propagation_count;
    bool bind, recursive;
    bool tmpcopyup;
    bool idmap, idmap_recursive;
    bool no_symlink_follow; /* src-nofollow and dest-nofollow */
    struct buffer data;     /* what is left for the file system, comma separated */
};

void mount_plan_parse(const struct oci_mount *mount, struct mount_plan *out);
void mount_plan_release(struct mount_plan *plan);
/* MS_* of "rprivate" and friends; 0 when unknown. */
unsigned mount_propagation(const char *name);
