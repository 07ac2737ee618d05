/* SPDX-License-Identifier: Apache-2.0 */
/* The deployment half of the manifest from an OCI configuration. Private to the room. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "enclave/bundle/bundle.h"
#include "enclave/enclave.h"
#include "enclave/policy.h"
#include "oci/config.h"

struct deployment {
    struct bundle_deployment manifest; /* points into config and the rest */
    struct bundle_mount *mounts;
    const char **passed; /* targets of the pass-through mounts, in order */
    size_t passed_count;
    struct bundle_rlimit *rlimits;
    uint32_t *groups;
    char **sysctls;
    struct buffer *options; /* one for each mount */
    size_t mount_count, sysctl_count;
    const char **variables;    /* all of them, in order; the texts are config's, as below */
    const char **env, **given; /* measured, and what the host fills in; NULL-terminated */
    const char **masked_paths, **readonly_paths;
};
#define cleanup_deployment __attribute__((cleanup(deployment_release)))

/* Borrows from config and policy, which must outlive it. mounts: enclave.mounts (mounts.h), may be
 * NULL. *out is to be released even when this fails. */
int deployment_from_config(const struct oci_config *config, const struct policy *policy,
                           const char *mounts, struct deployment *out, struct error *err);
void deployment_release(struct deployment *deployment);

/* *config becomes the configuration as the enclave container has it, which the deployment is made
 * from (launch.c). */
int enclave_adapt_config(const struct enclave_request *request, const char *rootfs,
                         struct oci_config **config, struct error *err);
