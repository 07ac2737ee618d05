/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"

/*
 * state.json of a container, in ROOT/ID/. It is written before anything else of the container
 * exists (pid 0), so that `delete --force` always finds out what there may be to remove, and again
 * when the init is set up. It is replaced atomically and not synced: it means nothing after a
 * restart of the machine.
 */
enum {
    /*
     * "stateVersion" of what this rune writes. A further member that an older rune may leave out of
     * account does not raise it; what an older rune would get wrong does. Without the member a file
     * is of version 0, which differs in nothing else from 1.
     */
    OCI_STATE_VERSION = 1,
};

struct oci_state {
    json_t *json; /* owns every string below */
    const char *id;
    const char *version; /* of the OCI configuration */
    const char *bundle;
    const char *rootfs;
    const char *created; /* RFC 3339 */
    const char *owner;   /* user name or number of who created it */
    const char *enclave; /* kind of enclave, NULL for an ordinary container */
    pid_t pid;           /* 0 while creating */
    uint64_t start_time; /* field 22 of /proc/PID/stat, against recycled pids */
    pid_t creator;       /* the rune process that creates it, with its start time */
    uint64_t creator_start_time;
    bool systemd_cgroup;
    bool rootless;
    json_t *cgroup_paths; /* controller -> absolute directory, "" for v2; borrowed */
    json_t *annotations;  /* borrowed, may be NULL */
};

/* A file of a later version is -ENOTSUP: nothing in it is believed. */
int oci_state_parse(const char *text, size_t size, struct oci_state **out, struct error *err);
/* From a tree that is read already, of which it takes a reference. */
int oci_state_from_json(json_t *json, struct oci_state **out, struct error *err);
int oci_state_load(int dir, struct oci_state **out, struct error *err);
/* Writes state->json. */
int oci_state_save(int dir, const struct oci_state *state, struct error *err);
void oci_state_free(struct oci_state *state);
/* Change members of the tree and the structure together. */
void oci_state_set_pid(struct oci_state *state, pid_t pid, uint64_t start_time);
