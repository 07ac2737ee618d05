/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by the files that parse config.json. Getters return 1 (there), 0 (absent), negative (err
 * is set). */
#include "oci/config.h"

int oci_get_strings(struct oci_config *config, const json_t *object, const char *where,
                    const char *key, struct oci_strings *out, struct error *err);
int oci_get_pairs(struct oci_config *config, const json_t *object, const char *where,
                  const char *key, struct oci_pairs *out, struct error *err);
/* An array whose items are all objects. */
int oci_get_objects(const json_t *object, const char *where, const char *key, json_t **out,
                    size_t *count, struct error *err);
int oci_get_mappings(struct oci_config *config, const json_t *object, const char *where,
                     const char *key, struct oci_id_mappings *out, struct error *err);
int oci_get_opt_int64(const json_t *object, const char *where, const char *key,
                      struct oci_int64 *out, struct error *err);

int oci_process_fill(const json_t *json, struct oci_config *config, struct oci_process *out,
                     struct error *err);
int oci_linux_fill(struct oci_config *config, struct error *err);
int oci_resources_fill(const json_t *json, struct oci_config *config, struct oci_resources *out,
                       struct error *err);
