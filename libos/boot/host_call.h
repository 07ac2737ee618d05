/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ocall, for host*.c only. The area is the host's: it is written and read with volatile
 * accesses or memcpy, each byte that comes back is read once, and nothing in it is believed before
 * it is in enclave memory.
 */
#pragma once

#include "boundary.h"
#include "host.h"
#include "lib.h"

/* What a simulated host replaces. */
struct host_ops {
    struct boundary_area *(*area)(void); /* of the calling thread */
    void (*call)(u32 number);            /* arguments and answer in the area */
};
extern const struct host_ops *g_host_ops;

/* The host's answer breaks the contract: the enclave ends. */
__noreturn void host_lied(const char *what);

i64 host_call(u32 number, const u64 *args, size_t count);
#define HOST_CALL(name, ...)                               \
    ({                                                     \
        const u64 args_[] = {__VA_ARGS__};                 \
        host_call(OCALL_##name, args_, ARRAY_SIZE(args_)); \
    })
void host_put(u32 off, const void *src, size_t n);
void host_get(u32 off, void *dst, size_t n);
u64 host_out(u32 index);

/* What an answer may be, each also an errno. */
i64 host_count(i64 r, u64 max); /* 0..max */
int host_zero(i64 r);           /* 0 */
int host_fd(i64 r);             /* a descriptor */
