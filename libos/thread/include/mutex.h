/* SPDX-License-Identifier: Apache-2.0 */
/* Locks that wait (libos/thread/mutex.c). */
#pragma once

#include "lib.h"

/* Spins briefly, then parks the thread. Not recursive. May be held over memory allocation and host
 * calls, but not over thread_wait(), and not over copies from or to user memory that may fault in
 * another object's lock (see docs/design/libos.md). */
struct mutex {
    u32 state; /* 0 free, 1 held, 2 held with waiters */
};
void mutex_lock(struct mutex *m);
bool mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);
