/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tenant lets the operator do to a running enclave: the settings as words
 * (docs/enclave.md), and what they come to in the deployment half of the manifest. Private to the
 * room.
 */
#pragma once

#include "enclave/bundle/bundle.h"
#include "enclave/enclave.h"
#include "enclave/host_rules.h"
#include "oci/config.h"

/* enclave.ratls.clients; it is an argument of a program. */
#define RATLS_CLIENTS_MAX 65536

struct policy {
    struct bundle_policy manifest;
    struct bundle_command *commands;
    size_t command_count;
    struct host_rules host;
    const char *ratls, *ratls_clients; /* the wish's */
};
#define cleanup_policy __attribute__((cleanup(policy_release)))

/*
 * wish: what was set, NULL for what was not. process: of the container, for what the policy depends
 * on. An error names setting, value and what it can be.
 */
int policy_read(const struct enclave_policy_wish *wish, enum enclave_mode mode,
                const struct oci_process *process, struct policy *out, struct error *err);
void policy_release(struct policy *policy);
