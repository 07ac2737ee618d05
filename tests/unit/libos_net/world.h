/* SPDX-License-Identifier: Apache-2.0 */
/* The LibOS around libos/net, as small as the tests can have it: one process, a flat descriptor
 * table, names in an array. */
#pragma once

#include "decode.h"
#include "host.h"
#include "host_stub.h"
#include "poll.h"
#include "socket.h"
#include <setjmp.h>

void world_init(void);
/* How many descriptors are open: for leak checks. */
int world_open_files(void);

typedef void world_fn(void *arg);
u64 world_thread(world_fn *fn, void *arg);

extern u32 g_sigpipes;                /* sent so far */
extern u64 g_signals_pending;         /* what signalfd sees */
extern u32 g_lookups, g_lookup_flags; /* of path_lookup(): how many, how the last */
extern jmp_buf *g_expect_panic;       /* where panic() goes in this thread's test */

/* System calls with the types that tests have. */
#define CALL(name, ...) CALL_(name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(name, a, b, c, d, e, f, ...)               \
    decode_##name(&(struct uregs){.rdi = (u64)(long)(a), \
                                  .rsi = (u64)(long)(b), \
                                  .rdx = (u64)(long)(c), \
                                  .r10 = (u64)(long)(d), \
                                  .r8 = (u64)(long)(e),  \
                                  .r9 = (u64)(long)(f)})
long world_read(int fd, void *buf, size_t n);
long world_write(int fd, const void *buf, size_t n);
int world_close(int fd);
void world_nonblock(int fd);
