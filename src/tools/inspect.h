/* SPDX-License-Identifier: Apache-2.0 */
/* "sgx-tools inspect": what a file is, and what it says. */
#pragma once

#include <jansson.h>

#include "cli/cli.h"

extern const struct command g_inspect;

/* The description of a file that is an enclave, a SIGSTRUCT, a report, a quote, a manifest or a
 * deployment; its member "kind" says which. NULL with err for anything else, and for a damaged
 * one. */
json_t *inspect_file(int fd, struct error *err);
