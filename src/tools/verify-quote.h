/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"

/* sgx-tools verify-quote: the verdict (attest.h) is the exit status. */
extern const struct command g_verify_quote;
