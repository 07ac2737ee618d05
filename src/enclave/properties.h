/* SPDX-License-Identifier: Apache-2.0 */
/* What of config.json does not hold in an enclave (properties.def). Private to the room. */
#pragma once

#include "base/error.h"
#include "base/json.h"

/*
 * Look at a configuration as the engine gave it: one warning for each property that is there and
 * has no effect inside. Negative with err for one that an enclave container cannot have.
 */
int properties_check(const json_t *config, struct error *err);
