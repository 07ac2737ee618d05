/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a careful tenant deploys: a production enclave that lets nobody start a process or send a
 * signal from outside. libos-run by itself is a developer's: it allows everything.
 */
#include "enclave/bundle/bundle.h"
#include "manifest.h"
#include "tests/hostile/hostile.h"

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
    strict.settings.production = true;
    return __real_bundle_convert(&strict, out, err);
}

int __real_pal_init(const struct pal_init_args_v4 *args);
int __wrap_pal_init(const struct pal_init_args_v4 *args);
int __wrap_pal_init(const struct pal_init_args_v4 *args)
{
    struct pal_init_args_v4 strict = *args;
    strict.flags &= ~PAL_FLAG_DEBUG_ENCLAVE;
    return __real_pal_init(&strict);
}
