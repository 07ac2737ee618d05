/* SPDX-License-Identifier: Apache-2.0 */
/* What other rooms call in libos/net. */
#pragma once

#include "filesystems.h"

void socket_list_walk(int domain, int type, void (*fn)(void *ctx, const struct socket_line *line),
                      void *ctx);
