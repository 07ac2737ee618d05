/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of entry/ know of each other about start and threads. */
#pragma once

#include "boundary.h"
#include "layout.h"
#include "process.h"
#include "thread.h"

struct tcb;

extern const struct enclave_layout *g_layout;

/* True when [p, p+n) lies wholly outside of ELRANGE, in user space. */
static inline bool is_outside(const struct host_memory *p, size_t n)
{
    u64 a = (u64)p;

    return a >= g_layout->size && n < (1ull << 46) && a < (1ull << 47) - n;
}

/* deployment.c: check and parse; 0, -EPERM (hash), -EINVAL, -ENOMEM. blob is enclave memory. */
int deployment_load(const void *blob, size_t size);
int deployment_parse(const void *blob, size_t size);
/* given.c: what the host fills in, held against the deployment's rules, becomes a part of it; 0,
 * -EPERM with a log line, -EINVAL, -ENOMEM. blob is enclave memory. */
struct deployment;
int given_load(const void *blob, size_t size, struct deployment *d);
/* bound.c: is the deployment inside the image's bound? 0, -EPERM or -EINVAL with a log line. The
 * blob is measured. */
int bound_check(const void *blob, size_t size, const struct deployment *deployment);
/* Does a member that is a text (enum bound_number) allow this one? False without such a member. */
bool bound_allows_text(const void *blob, size_t size, u32 number, const char *text);

/* inherit.c: what the deployment does not say, and the container has from the host. */
void inherit_names(const struct boundary_boot *boot);
void inherit_limits(const struct rlimit64 limits[16]);

/* thread.c */
/* Limits of threads, 0: none: measured (enclave.threads), and what the host wants. */
void threads_init(u32 static_tcs, u64 measured, u64 wanted);
void threads_limit_changed(u64 wanted); /* never above the measured one */
struct thread *thread_bind_control(struct tcb *t, struct host_memory *area);
void thread_unbind_control(struct tcb *t);
void thread_run_next(struct tcb *t, struct host_memory *area);
void threads_stats(struct boundary_stats *stats);

/* host/file.c, host/system.c */
void host_set_image(const struct boundary_boot *boot);
i64 host_thread_wait(u64 timeout, struct host_pollfd *fds, size_t count);
void host_thread_wake(struct host_memory *area);
void host_thread_kick(struct host_memory *area);
int host_tcs_add(u64 tcs);
int host_cpuid(u32 leaf, u32 subleaf, u32 out[4]);
struct host_time {
    u64 monotonic, realtime, tsc, frequency;
};
void host_time(struct host_time *t);

/* clock.c */
void clock_init(void);
