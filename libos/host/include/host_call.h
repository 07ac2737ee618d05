/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ocall, for host*.c and what serves ecalls. The area is the host's (hostmem.h); nothing in it
 * is believed before it is in enclave memory and checked.
 */
#pragma once

#include "boundary.h"
#include "host.h"
#include "hostmem.h"
#include "log.h"

/* What a simulated host replaces. */
struct host_ops {
    struct host_memory *(*area)(void); /* of the calling thread */
    void (*call)(u32 number);          /* arguments and answer in the area */
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
void host_put(u32 off, const void *src, size_t n); /* off: a multiple of 8 */
void host_get(u32 off, void *dst, size_t n);
u64 host_out(u32 index);
/* An answer in out[] that steers: at most max, or the enclave ends. */
u64 host_out_max(u32 index, u64 max, const char *what);

/* What an answer may be, each also an errno. */
i64 host_count(i64 r, u64 max); /* 0..max */
int host_zero(i64 r);           /* 0 */
hostfd host_fd(i64 r);          /* a descriptor */
