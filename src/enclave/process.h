/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process to run in an enclave, in its three forms: the OCI process of config.json or rune exec,
 * the frame that a proxy sends to the agent, and the arguments of the PAL.
 */
#pragma once

#include "base/buffer.h"
#include "base/json.h"
#include "enclave/agent_wire.h"
#include "oci/config.h"
#include "pal.h"

struct enclave_process {
    struct pal_process_args_v4 args; /* points into the rest */
    char *strings;                   /* what argv, env and cwd point to; NULL when borrowed */
    const char **argv, **env;
    uint32_t *groups;
};
#define cleanup_enclave_process __attribute__((cleanup(enclave_process_release)))

/* Borrows the strings of `process`; stdio is 0, 1, 2. */
void enclave_process_from_oci(const struct oci_process *process, struct enclave_process *out);
/* JSON and blob of an AGENT_EXEC frame; the caller owns both. */
json_t *enclave_process_encode(const struct enclave_process *process, struct buffer *blob);
/* From a frame of an untrusted-size peer: every count is checked. Takes the frame's blob and uses
 * its descriptors. */
int enclave_process_decode(struct agent_frame *frame, struct enclave_process *out,
                           struct error *err);
void enclave_process_release(struct enclave_process *process);
