/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules for what the host may fill in of a deployment (docs/design/identity.md): enclave.host.env
 * and enclave.host.name as words, and which variables they leave to the host. Private to the room.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "enclave/bundle/bundle.h"

struct host_rules {
    struct bundle_host_variable *variables; /* patterns are owned */
    size_t variable_count;
    char **measured; /* patterns of names that are measured in any case */
    size_t measured_count;
    bool names; /* host name and domain name are the host's to give */
};

/*
 * env, name: the settings, NULL for what was not set. pod: a container of Kubernetes. Without a
 * word the host may give what engines make: HOSTNAME, host name and domain name, and in a pod the
 * variables of its services. *out is to be released even when this fails.
 */
int host_rules_read(const char *env, const char *name, bool pod, struct host_rules *out,
                    struct error *err);
/* Does a rule leave this NAME=value to the host? */
bool host_rules_allow(const struct host_rules *rules, const char *entry);
void host_rules_release(struct host_rules *rules);
