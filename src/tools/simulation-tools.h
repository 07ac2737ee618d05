/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"

/* sgx-tools simulation-quote and simulation-collateral: the software SGX's quoting part. */
extern const struct command g_simulation_quote, g_simulation_collateral;
