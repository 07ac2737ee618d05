/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the workload share: workload.c and, for what the host serves, served.c. */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

extern atomic_int g_refused; /* the host had its way */

/* What never leaves the enclave is wrong: the end. */
__attribute__((format(printf, 1, 2), noreturn)) void bad(const char *format, ...);
/* The host may do that: no fault. */
__attribute__((format(printf, 1, 2))) void refused(const char *format, ...);
/* Memory and threads are limited by what the host gives. */
bool host_may(int error);
uint64_t pattern(uint64_t a, uint64_t b);

#define INSIDE(cond)                                                       \
    do {                                                                   \
        if (!(cond))                                                       \
            bad("%s:%d: %s (errno %d)", __func__, __LINE__, #cond, errno); \
    } while (0)

/* served.c */
#define SEALED_KEY 77 /* word i of the sealed file /pattern is pattern(i, SEALED_KEY) */
void host_part(void);
void network_part(void);
void sealed_part(void);
void clock_part(void);
void terminals_part(void);
void masked_part(void);

/* shared.c */
void shared_part(void);

/* mapped.c */
void mapped_part(void);
void turns_part(void);
void tree_part(void);
