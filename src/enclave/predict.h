/* SPDX-License-Identifier: Apache-2.0 */
/* What CONFIGID a bundle would get, for who verifies: nothing is started or converted. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "enclave/bundle/bundle.h"

/*
 * The deployment half (abi/manifest.h) that rune makes of the bundle, and its SHA-256: the first
 * half of CONFIGID, the rest of which is zero. The root file system is looked at for the user's
 * HOME alone, sources of bind mounts for whether they are directories.
 */
int enclave_predict(const char *bundle, struct buffer *blob, uint8_t hash[BUNDLE_HASH_SIZE],
                    struct error *err);

/* What a deployment says, in words: a line for each of its records, appended to *out. */
int enclave_describe_deployment(const struct buffer *blob, struct buffer *out, struct error *err);
/* In a variable's value: the node chooses it, so that it must not be measured. */
#define PREDICT_UNKNOWN "\x01"

/*
 * The same of a config.json as a value, for a root file system anywhere. *settings: what the
 * enclave is built with on a machine that has all that it wants.
 */
int enclave_predict_config(json_t *config, const char *rootfs, struct buffer *blob,
                           uint8_t hash[BUNDLE_HASH_SIZE], struct bundle_settings *settings,
                           struct error *err);
/*
 * A bound (docs/enclave.md) that allows that deployment, whatever the host fills in by its rules,
 * and no other. A new reference; NULL with err.
 */
json_t *enclave_predict_bound(json_t *config, const char *rootfs, struct error *err);

/*
 * What differs between two deployments, in words: a line for each thing that the second has and
 * the first has not ("+ ...") or the other way round ("- ..."), appended to *out.
 */
int enclave_compare_deployments(const struct buffer *first, const struct buffer *second,
                                struct buffer *out, struct error *err);
