/* SPDX-License-Identifier: Apache-2.0 */
/* The socket over which the runtime hands out the master of a terminal. */
#pragma once

#include "shim/shim.h"

struct console;
/* `received` gets the master (its owner from then on), once. */
struct console *console_listen(struct shim *shim, void (*received)(void *ctx, int master),
                               void *ctx, struct error *err);
const char *console_path(const struct console *console);
void console_free(struct console *console);
