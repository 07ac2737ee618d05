/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of a container as an enclave is told them. Private to the room. */
#pragma once

#include "oci/config.h"
#include "pal.h"

/* Of linux.resources; what is not there, or not a limit, is 0. */
void enclave_limits(const struct oci_resources *resources, struct pal_limits_v4 *out);
