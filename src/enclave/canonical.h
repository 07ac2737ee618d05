/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One form for what engines write in any order (docs/design/identity.md): equal deployments give
 * equal bytes. Private to the room.
 */
#pragma once

#include <stddef.h>

#include "oci/config.h"

void canonical_sort(char **texts, size_t count);
/* Sorted copies of the texts, which are borrowed; the list is NULL-terminated and malloc'd. */
const char **canonical_texts(const struct oci_strings *list);
/* The same for NAME=value, by names: of two with one name the last. */
const char **canonical_variables(const struct oci_strings *list);
/*
 * Numbers of the mounts that programs see, in the order of their targets: what a later mount hides
 * is left out. *out is malloc'd.
 */
size_t canonical_mounts(const struct oci_config *config, size_t **out);
