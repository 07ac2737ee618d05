/* SPDX-License-Identifier: Apache-2.0 */
/* What every room says and asks of the door: log lines, panics, random numbers, spin locks. */
#pragma once

#include "lib.h"

/* Log to the host, level by manifest. LOG_ERROR is shown to the user of the container. */
enum log_level { LOG_FATAL, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
extern int g_log_level;
void log_write(enum log_level level, const char *fmt, ...) __printf(2, 3);
#define log_at(level, ...)                 \
    do {                                   \
        if ((level) <= g_log_level)        \
            log_write(level, __VA_ARGS__); \
    } while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_TRACE, __VA_ARGS__)
/*
 * The host broke the contract, or we are wrong: say so and end the enclave (host/panic.c). The
 * values in the line are shown by an enclave whose manifest allows debugging, and by no other.
 */
__noreturn void panic(const char *fmt, ...) __printf(1, 2);
extern u32 g_dead;           /* atomic; the enclave has ended */
extern bool g_panic_details; /* lines of panic() have their values */
/* No step further: the processor leaves the enclave, with nothing in its registers, and a dead
 * enclave is not entered any more. */
static inline __noreturn void enclave_stop(void)
{
    for (;;)
        __asm__ volatile("ud2" : : : "memory");
}
/* host/image.c: ERESUME of this thread resumes from here on, and is no entry, which a dead enclave
 * turns away. */
void enclave_untold(void);
/* Is s in the image's read-only data, which everybody may read? (host/image.c) */
bool is_image_constant(const char *s);
#define BUG_ON(cond)                                       \
    do {                                                   \
        if (unlikely(cond))                                \
            panic("%s:%d: %s", __FILE__, __LINE__, #cond); \
    } while (0)

/* No instruction behind it begins before those in front are done: after the check of a value of the
 * host that chooses what is read or called. */
static inline void speculation_barrier(void)
{
    __asm__ volatile("lfence" : : : "memory");
}

/* ---- random numbers (host/random.c) ---- */
/* RDRAND; never fails (panics when the processor gives none). */
void random_bytes(void *buf, size_t n);
u64 random_u64(void);

/* ---- spin locks (host/spinlock.c) ---- */
/* For a few instructions only; never held over anything that may block or fault. */
struct spinlock {
    u32 v;
};
void spin_lock(struct spinlock *l);
void spin_unlock(struct spinlock *l);
