/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a careful tenant deploys lets nobody start a process or send a signal from outside;
 * libos-run by itself is a developer's and allows everything. The enclave is small, so that the
 * host has room for a shadow and for another base.
 */
#include "enclave/bundle/bundle.h"
#include "manifest.h"
#include "tests/hostile/hostile.h"

#define ELRANGE (64ull << 30)

int __real_bundle_deployment_build(const struct bundle_deployment *d, struct buffer *out,
                                   uint8_t hash[BUNDLE_HASH_SIZE], struct error *err);
int __wrap_bundle_deployment_build(const struct bundle_deployment *d, struct buffer *out,
                                   uint8_t hash[BUNDLE_HASH_SIZE], struct error *err);
int __wrap_bundle_deployment_build(const struct bundle_deployment *d, struct buffer *out,
                                   uint8_t hash[BUNDLE_HASH_SIZE], struct error *err)
{
    struct bundle_deployment strict = *d;
    strict.policy = (struct bundle_policy){
        .exec = MANIFEST_EXEC_NONE, .flags = MANIFEST_POLICY_STDOUT, .log_level = 2};
    if (lies_have(W_TERMINAL)) {
        strict.policy.exec = MANIFEST_EXEC_ANY;
        strict.policy.flags |= MANIFEST_POLICY_STDIN;
    }
    if (g_host.gives_stdin)
        strict.policy.flags |= MANIFEST_POLICY_STDIN;
    static const struct bundle_host_variable name = {"HOSTNAME", MANIFEST_VALUE_NAME};
    strict.host_variables = &name;
    strict.host_variable_count = 1;
    static const char *const masked[] = {"/masked", NULL};
    strict.masked_paths = masked;
    if (g_host.proxy != NULL)
        strict.ratls = "8443:8080";
    return __real_bundle_deployment_build(&strict, out, hash, err);
}

int __real_bundle_convert(const struct bundle_options *options, struct bundle_result *out,
                          struct error *err);
int __wrap_bundle_convert(const struct bundle_options *options, struct bundle_result *out,
                          struct error *err);
int __wrap_bundle_convert(const struct bundle_options *options, struct bundle_result *out,
                          struct error *err)
{
    struct bundle_options strict = *options;
    strict.settings.enclave_size = ELRANGE;
    strict.settings.aexnotify = g_host.aexnotify;
    return __real_bundle_convert(&strict, out, err);
}
