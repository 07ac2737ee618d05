/* SPDX-License-Identifier: Apache-2.0 */
/* Ocalls: time, threads, memory, logging, events, quotes; and the image that the host mapped. */
#include "host_call.h"
#include "measured.h"

static struct {
    const struct host_memory *image, *sites;
    u64 image_size, sites_size;
} g_mapped;

i64 host_clock(int clock_id)
{
    return host_count(HOST_CALL(CLOCK, (u32)clock_id, 0), INT64_MAX);
}

i64 host_thread_clock(struct host_memory *area)
{
    return host_count(HOST_CALL(CLOCK, 3 /* CLOCK_THREAD_CPUTIME_ID */, (u64)area), INT64_MAX);
}

void host_time(struct host_time *t)
{
    i64 r = host_count(HOST_CALL(CLOCK, 1, 0), INT64_MAX); /* CLOCK_MONOTONIC */

    if (r < 0)
        host_lied("no clock");
    t->monotonic = (u64)r;
    t->tsc = host_out(0);
    t->frequency = host_out(1);
    r = host_clock(0); /* CLOCK_REALTIME */
    if (r < 0)
        host_lied("no clock");
    t->realtime = (u64)r;
}

int host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
    int r = host_zero(HOST_CALL(CPUID, leaf, subleaf));

    for (u32 i = 0; i < 4 && r == 0; i++)
        out[i] = (u32)host_out(i);
    return r;
}

int host_sgx_restrict(u64 addr, u64 size, u32 prot)
{
    return host_zero(HOST_CALL(SGX_RESTRICT, addr, size, prot));
}

int host_sgx_modify_type(u64 addr, u64 size, u32 type)
{
    return host_zero(HOST_CALL(SGX_MODIFY_TYPE, addr, size, type));
}

int host_sgx_remove(u64 addr, u64 size)
{
    return host_zero(HOST_CALL(SGX_REMOVE, addr, size));
}

int host_sgx_protect(u64 addr, u64 size, u32 prot)
{
    return host_zero(HOST_CALL(SGX_PROTECT, addr, size, prot));
}

int host_thread_create(void)
{
    return host_zero(HOST_CALL(THREAD_CREATE, 0));
}

int host_tcs_add(u64 tcs)
{
    return host_zero(HOST_CALL(TCS_ADD, tcs));
}

void host_thread_wake(struct host_memory *area)
{
    host_zero(HOST_CALL(WAKE, (u64)area));
}

void host_thread_kick(struct host_memory *area)
{
    host_zero(HOST_CALL(KICK, (u64)area));
}

void host_yield(void)
{
    host_zero(HOST_CALL(YIELD, 0));
}

void host_log(int level, const char *line, size_t n)
{
    n = MIN(n, 4096ul);
    host_put(0, line, n);
    host_zero(HOST_CALL(LOG, (u32)level, n));
}

/* A dead enclave: the host is told once, and does not come back. */
void host_abort(const char *message)
{
    struct host_memory *a = g_host_ops->area();
    const u64 size = strnlen(message, 4096);

    if (a != NULL) {
        (void)hostmem_write(hostmem_at(a, offsetof(struct boundary_area, data)), message, size);
        host_call(OCALL_ABORT, &size, 1);
    }
    enclave_stop();
}

int host_get_target_info(u8 target_info[512])
{
    int r = host_zero(HOST_CALL(TARGET_INFO, 0));

    if (r == 0)
        host_get(0, target_info, 512);
    return r;
}

/*
 * The length of a DCAP quote of an enclave (header 48, body, length and signature data; version 5
 * has the body's type and size before it), or 0 when it is none of a report that starts with body.
 */
static size_t quote_length(const u8 *quote, size_t n, const u8 body[SGX_REPORT_BODY_SIZE])
{
    static const u8 sgx_body[6] = {1, 0, SGX_REPORT_BODY_SIZE & 0xff, SGX_REPORT_BODY_SIZE >> 8};
    size_t at = 48;
    u32 left;

    if (n < 64 || quote[1] != 0 || quote[0] < 3 || quote[0] > 5)
        return 0;
    if (quote[0] == 5) {
        if (memcmp(quote + at, sgx_body, sizeof(sgx_body)) != 0)
            return 0;
        at += sizeof(sgx_body);
    }
    if (n < at + SGX_REPORT_BODY_SIZE + sizeof(left) ||
        memcmp(quote + at, body, SGX_REPORT_BODY_SIZE) != 0)
        return 0;
    at += SGX_REPORT_BODY_SIZE;
    memcpy(&left, quote + at, sizeof(left));
    at += sizeof(left);
    return left != 0 && left <= n - at ? at + left : 0;
}

ssize_t host_get_quote(const u8 report[SGX_REPORT_SIZE], u8 *quote, size_t n)
{
    i64 r;

    n = MIN(n, (size_t)BOUNDARY_DATA_SIZE);
    host_put(0, report, SGX_REPORT_SIZE);
    r = host_count(HOST_CALL(QUOTE, SGX_REPORT_SIZE, n), n);
    if (r < 0)
        return r;
    host_get(0, quote, (size_t)r);
    n = quote_length(quote, (size_t)r, report);
    if (n == 0)
        host_lied("QUOTE: not a quote of the report that it was given");
    return (ssize_t)n;
}

void host_event(u32 type, i32 pid, i32 status, const char *message)
{
    size_t n = message != NULL ? strnlen(message, 4096) : 0;

    host_put(0, message, n);
    host_zero(HOST_CALL(EVENT, type, (u32)pid, (u32)status, n));
}

/* ---- what the host mapped for us ---- */

void host_set_image(const struct boundary_boot *boot)
{
    if ((boot->image_size > 0 &&
         !is_outside((const struct host_memory *)boot->image, boot->image_size)) ||
        (boot->sites_size > 0 &&
         !is_outside((const struct host_memory *)boot->sites, boot->sites_size)))
        host_lied("the image is not outside of the enclave");
    g_mapped.image = (const struct host_memory *)boot->image;
    g_mapped.image_size = boot->image_size;
    g_mapped.sites = (const struct host_memory *)boot->sites;
    g_mapped.sites_size = boot->sites_size;
}

static int read_mapped(const struct host_memory *base, u64 size, u64 off, void *buf, size_t n)
{
    if (off > size || n > size - off)
        return -EIO;
    /* The file behind the mapping may have been cut: then the access faults. */
    return hostmem_read(buf, hostmem_at(base, off), n) == 0 ? 0 : -EIO;
}

int host_image_read(u64 off, void *buf, size_t n)
{
    return read_mapped(g_mapped.image, g_mapped.image_size, off, buf, n);
}

u64 host_image_size(void)
{
    return g_mapped.image_size;
}

int host_sites_read(u64 off, void *buf, size_t n)
{
    return read_mapped(g_mapped.sites, g_mapped.sites_size, off, buf, n);
}
