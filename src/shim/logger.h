/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A logging program, binary://PATH?key=value&...: it gets standard output and error of a container
 * as descriptors 3 and 4, closes 5 when it is ready, and ends at the end of both. CONTAINER_ID and
 * CONTAINER_NAMESPACE are in its environment.
 */
#pragma once

#include "shim/shim.h"

struct logger;
/* `ready` is called when it is ready, `ended` when it has ended; never out of this function. */
struct logger *logger_start(const struct process *process, const char *uri, const int outputs[2],
                            void (*ready)(void *ctx), void (*ended)(void *ctx), void *ctx,
                            struct error *err);
bool logger_ready(const struct logger *logger);
bool logger_ended(const struct logger *logger);
/* Nobody waits for it any more: it is told to end, and killed when it does not. */
void logger_leave(struct logger *logger);
