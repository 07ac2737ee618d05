/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the mounts of config.json are in the enclave: its own file systems, or files of the host
 * and what these may be (docs/design/files.md, "Pass-through mounts"). Private to the room.
 */
#pragma once

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "enclave/bundle/bundle.h"
#include "oci/config.h"

/*
 * Fills *out from the configuration's mount, but for the index. options holds what out->options
 * points to. Borrows from the mount.
 */
void mounts_read(const struct oci_mount *mount, struct bundle_mount *out, struct buffer *options);
/*
 * The tenant's word on pass-through mounts (enclave.mounts, may be NULL): "TARGET=WORD[,WORD...]",
 * more of them behind blanks. Words: ro, rw, insecure-exec, insecure-links. mounts[i] is that of
 * config->mounts[numbers[i]].
 */
int mounts_apply(const char *setting, const struct oci_config *config, const size_t *numbers,
                 size_t count, struct bundle_mount *mounts, struct error *err);
/* Refuses a first program that is in a pass-through mount which runs none. */
int mounts_check_program(const char *program, const struct bundle_mount *mounts, size_t count,
                         struct error *err);
