/* SPDX-License-Identifier: Apache-2.0 */
/* The trusted half of the bound's tests (libos_bound.c), for files that see libc's headers. */
#pragma once

#include <stddef.h>

/* Parse the deployment and hold it against the bound: 0, or what the LibOS returned; *message is
 * the last log line. */
int bound_trial(const void *deployment, size_t deployment_size, const void *bound,
                size_t bound_size, const char **message);
/* Does the LibOS read this bound? */
int bound_readable(const void *bound, size_t size);
