/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "container/container.h"

/*
 * Checkpoint and restore of ordinary containers through CRIU. docs/design/engine.md tells what is
 * asked of CRIU and what becomes of the container. Enclave containers are refused: what is in an
 * enclave cannot be read from outside.
 */
enum container_cgroup_mode {
    CONTAINER_CGROUP_DEFAULT,
    CONTAINER_CGROUP_IGNORE,
    CONTAINER_CGROUP_SOFT,
    CONTAINER_CGROUP_FULL,
    CONTAINER_CGROUP_STRICT,
};

struct container_criu_options {
    const char *program;     /* criu, by name or path */
    const char *image_path;  /* absolute */
    const char *work_path;   /* absolute; NULL: the image directory */
    const char *parent_path; /* relative to image_path; NULL: none */
    enum container_cgroup_mode cgroup_mode;
    bool tcp_established, tcp_close, tcp_skip_in_flight, ext_unix_sk, shell_job, file_locks;
    bool auto_dedup, lazy_pages;
    /* checkpoint only */
    bool leave_running, pre_dump, link_remap;
    int status_fd;                   /* gets a NUL byte when the page server is ready; -1: none */
    const char *page_server_address; /* NULL: none */
    int page_server_port;
    /* restore only */
    const char *lsm_profile, *lsm_mount_context; /* NULL: none */
};

/*
 * Dump a running or paused container. It is stopped and deleted then, as runc does, unless
 * options->leave_running or pre_dump; after an error it runs on.
 */
int container_checkpoint(struct container *container, const struct container_criu_options *options,
                         struct error *err);

/*
 * Make a container from a dump, in the place of container_create() with options->run: same
 * options, same meaning of *exit_status, same undoing after an error.
 */
int container_restore(const struct container_create_options *options,
                      const struct container_criu_options *criu, struct oci_config *config,
                      int *exit_status, struct error *err);
