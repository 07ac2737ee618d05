/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the node's configuration, below /etc. */
#pragma once

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/*
 * Where `file` ("rune/node.json") is: what the environment variable names (not to a program that
 * has more rights than its caller), else beside the installation if it is there, else in the
 * installation's own /etc. malloc'd.
 */
char *config_file_path(const char *variable, const char *file);
/*
 * Read it, at most `limit` bytes: 1; 0 when there is none; -1. Refused when somebody else than root
 * could write to it, for he could allow what the owner of the node does not.
 */
int config_file_read(const char *path, size_t limit, struct buffer *out, struct error *err);
