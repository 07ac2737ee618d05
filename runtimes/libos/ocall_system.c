/* SPDX-License-Identifier: Apache-2.0 */
/* Ocalls of threads, time, memory and messages. */
#include <cpuid.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "runtime.h"

#define UNUSED __attribute__((unused))

/* ---- messages ---- */

void runtime_log(int level, const char *format, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    pthread_mutex_lock(&g_runtime.callback_lock);
    if (g_runtime.args.log != NULL)
        g_runtime.args.log(g_runtime.args.context, level, line);
    else
        dprintf(STDERR_FILENO, "libos: %s\n", line);
    pthread_mutex_unlock(&g_runtime.callback_lock);
}

void runtime_event(uint32_t type, int32_t pid, int32_t status, const char *message)
{
    const struct pal_event event = {
        .size = sizeof(event), .type = type, .pid = pid, .status = status, .message = message};
    pthread_mutex_lock(&g_runtime.callback_lock);
    if (g_runtime.args.event != NULL)
        g_runtime.args.event(g_runtime.args.context, &event);
    pthread_mutex_unlock(&g_runtime.callback_lock);
}

void runtime_fatal(const char *message)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&said)) /* a dead enclave turns every thread away */
        runtime_event(PAL_EVENT_FATAL, 0, 0, message);
    if (g_runtime.args.event == NULL) {
        dprintf(STDERR_FILENO, "libos: %s\n", message);
        _exit(125);
    }
    for (;;) /* whoever got the event ends the process */
        pause();
}

static const char *line_of(struct boundary_area *area, uint64_t size)
{
    if (size >= BOUNDARY_DATA_SIZE)
        size = BOUNDARY_DATA_SIZE - 1;
    area->data[size] = '\0';
    return (const char *)area->data;
}

int64_t ocall_LOG(struct boundary_area *area, const uint64_t *args)
{
    const char *line = line_of(area, args[1]);
    if (!g_runtime.ready && args[0] <= 1) {
        pthread_mutex_lock(&g_runtime.callback_lock);
        if (!g_runtime.refusal[0])
            snprintf(g_runtime.refusal, sizeof(g_runtime.refusal), "%.500s", line);
        pthread_mutex_unlock(&g_runtime.callback_lock);
    }
    runtime_log((int)args[0], "%s", line);
    return 0;
}

int64_t ocall_ABORT(struct boundary_area *area, const uint64_t *args)
{
    runtime_fatal(line_of(area, args[0]));
}

int64_t ocall_EVENT(struct boundary_area *area, const uint64_t *args)
{
    const char *message = args[3] ? line_of(area, args[3]) : NULL;
    runtime_event((uint32_t)args[0], (int32_t)args[1], (int32_t)args[2], message);
    return 0;
}

/* ---- threads ---- */

int64_t ocall_WAIT(struct boundary_area *area, const uint64_t *args)
{
    return thread_park(area, args[0], args[1]);
}

/* The enclave names threads by their areas; it is trusted with that (it runs in this process), a
 * stale one does no harm. */
int64_t ocall_WAKE(UNUSED struct boundary_area *area, const uint64_t *args)
{
    thread_unpark((struct boundary_area *)args[0]);
    return 0;
}

int64_t ocall_KICK(UNUSED struct boundary_area *area, const uint64_t *args)
{
    thread_kick((struct boundary_area *)args[0]);
    return 0;
}

int64_t ocall_YIELD(UNUSED struct boundary_area *area, UNUSED const uint64_t *args)
{
    sched_yield();
    return 0;
}

int64_t ocall_THREAD_CREATE(UNUSED struct boundary_area *area, UNUSED const uint64_t *args)
{
    return thread_pool_add();
}

int64_t ocall_TCS_ADD(UNUSED struct boundary_area *area, const uint64_t *args)
{
    tcs_add(args[0]);
    return 0;
}

/* ---- time and processor ---- */

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) < 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Clock and TSC read together: the tightest of a few pairs. */
static uint64_t read_pair(clockid_t id, uint64_t *tsc)
{
    uint64_t best = UINT64_MAX, ns = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t before = __rdtsc(), now = clock_ns(id), after = __rdtsc();
        if (after - before < best) {
            best = after - before;
            *tsc = before + (after - before) / 2;
            ns = now;
        }
    }
    return ns;
}

static uint64_t g_first_ns, g_first_tsc;

/* From when the library is loaded to the LibOS's first question 2 ms pass by themselves. */
__attribute__((constructor)) static void note_time(void)
{
    g_first_ns = read_pair(CLOCK_MONOTONIC, &g_first_tsc);
}

/* TSC frequency in Hz against CLOCK_MONOTONIC, over as long as the library is there, 2 ms at
 * least. */
static uint64_t tsc_frequency(void)
{
    const uint64_t ns0 = g_first_ns, tsc0 = g_first_tsc;
    uint64_t tsc, ns;
    do {
        ns = read_pair(CLOCK_MONOTONIC, &tsc);
    } while (ns - ns0 < 2000000);
    return (uint64_t)((unsigned __int128)(tsc - tsc0) * 1000000000u / (ns - ns0));
}

/*
 * Another thread's CPU clock, as pthread_getcpuclockid() makes it: the inverted number, 6 for
 * "scheduler's, of a thread".
 */
static clockid_t thread_clock(const struct boundary_area *area)
{
    int tid = __atomic_load_n(&area->tid, __ATOMIC_SEQ_CST);
    return (clockid_t)(~(unsigned)tid << 3 | 6u);
}

int64_t ocall_CLOCK(struct boundary_area *area, const uint64_t *args)
{
    uint64_t tsc;
    struct timespec probe;
    clockid_t id = (clockid_t)args[0];
    if (args[1] != 0)
        id = thread_clock((const struct boundary_area *)args[1]);
    if (clock_gettime(id, &probe) < 0)
        return -errno;
    area->out[1] = tsc_frequency();
    int64_t ns = (int64_t)read_pair(id, &tsc);
    area->out[0] = tsc;
    return ns;
}

int64_t ocall_CPUID(struct boundary_area *area, const uint64_t *args)
{
    unsigned a, b, c, d;
    __cpuid_count((unsigned)args[0], (unsigned)args[1], a, b, c, d);
    area->out[0] = a;
    area->out[1] = b;
    area->out[2] = c;
    area->out[3] = d;
    return 0;
}

/* ---- enclave memory ---- */

static int64_t sgx_result(int r, struct error *err)
{
    if (r < 0)
        runtime_log(1, "%s", err->message ? err->message : "the SGX driver refuses");
    error_release(err);
    return r;
}

int64_t ocall_SGX_RESTRICT(UNUSED struct boundary_area *area, const uint64_t *args)
{
    struct error err = {0};
    struct sgx_enclave *e = g_runtime.enclave;
    struct sgx_enclave_restrict_permissions arg = {
        .offset = args[0] - e->base, .length = args[1], .permissions = args[2]};
    int r;
    do { /* the driver stops at signals */
        arg.offset += arg.count;
        arg.length -= arg.count;
        arg.count = arg.result = 0;
        r = e->driver->restrict_permissions(e->handle, &arg, &err);
    } while (r == -EINTR || r == -EAGAIN);
    return sgx_result(r, &err);
}

int64_t ocall_SGX_MODIFY_TYPE(UNUSED struct boundary_area *area, const uint64_t *args)
{
    struct error err = {0};
    struct sgx_enclave *e = g_runtime.enclave;
    struct sgx_enclave_modify_types arg = {
        .offset = args[0] - e->base, .length = args[1], .page_type = args[2]};
    int r;
    do {
        arg.offset += arg.count;
        arg.length -= arg.count;
        arg.count = arg.result = 0;
        r = e->driver->modify_types(e->handle, &arg, &err);
    } while (r == -EINTR || r == -EAGAIN);
    return sgx_result(r, &err);
}

int64_t ocall_SGX_REMOVE(UNUSED struct boundary_area *area, const uint64_t *args)
{
    struct error err = {0};
    struct sgx_enclave *e = g_runtime.enclave;
    struct sgx_enclave_remove_pages arg = {.offset = args[0] - e->base, .length = args[1]};
    int r;
    do {
        arg.offset += arg.count;
        arg.length -= arg.count;
        arg.count = 0;
        r = e->driver->remove_pages(e->handle, &arg, &err);
    } while (r == -EINTR || r == -EAGAIN);
    return sgx_result(r, &err);
}

int64_t ocall_SGX_PROTECT(UNUSED struct boundary_area *area, const uint64_t *args)
{
    struct error err = {0};
    struct sgx_enclave *e = g_runtime.enclave;
    if (args[2] & ~(uint64_t)(PROT_READ | PROT_WRITE | PROT_EXEC))
        return -EINVAL;
    return sgx_result(e->driver->map(e->handle, args[0], args[1], (int)args[2], &err), &err);
}
