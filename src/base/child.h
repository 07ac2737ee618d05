/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* Wait for a child's end, through EINTR. Returns its wait status, or -1 when it is no child. */
int child_wait(pid_t pid);

/*
 * Fork a child that does `work` and exits, with 0 where work returns 0. Waits until the child has
 * executed another program or ended. What work failed with is then the parent's error, and the
 * child is reaped. Work may place descriptors below CHILD_FDS_MAX. Returns the child, to be waited
 * for, or a negative value.
 */
enum { CHILD_FDS_MAX = 32 };
pid_t child_start(int (*work)(void *ctx, struct error *err), void *ctx, struct error *err);
