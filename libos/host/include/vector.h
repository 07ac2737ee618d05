/* SPDX-License-Identifier: Apache-2.0 */
/* Vector registers (libos/host/vector.c). */
#pragma once

#include "types.h"

struct thread;

/* Before an exit to the host, and before the return to the application. */
void vector_leave(void);
void vector_restore(void);
void vector_init(u64 xfrm); /* once, at start */
void vector_scrub(
    void); /* the registers that vector_init() knows, when they hold nothing of worth */
void vector_initial(void *xsave);
void vector_load(const void *area); /* all that XFRM has */
#define VECTOR_LIVE     0           /* the application's values are in the registers */
#define VECTOR_SAVED    1 /* in current->xsave; the registers hold something else, perhaps secret */
#define VECTOR_SCRUBBED 2 /* in current->xsave; the registers hold nothing */

/* The application's vector registers stay live while the LibOS works for it, until an ocall saves
 * them; they are back when it runs again. Cryptography puts back what it uses. */
/* For signal frames: the application's state in XSAVE standard format (its header's XSTATE_BV says
 * which parts are there) and its size; changes are taken over at the return to user code. */
void *vector_user_area(void);
u32 vector_area_size(void);
u64 vector_features(void); /* XFRM */
/* Give thread t (not started) a copy of the current thread's vector state (clone), or the initial
 * one (exec: t = current). */
void vector_copy_to(struct thread *t);
void vector_reset(void);
