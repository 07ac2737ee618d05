/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile host: libos/host with a table whose answers are the fuzzer's bytes. Each input
 * first says which host functions are called with which sizes, then what the host answers. Whatever
 * it says, the LibOS must either get an answer within the contract (checked here and by the
 * sanitizers: no byte outside of the buffers it gave) or end the enclave. Control data of a socket
 * go on to libos/net/ip_control.c.
 */
#include <setjmp.h>
#include <stdlib.h>

#include "deployment.h"
#include "host_call.h"
#include "socket.h"
#include "start.h"
#include "task.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
unsigned fuzz_enclave_ends(void);

static const u8 *g_input;
static size_t g_left;
static jmp_buf g_end;
static unsigned g_ends;
static struct boundary_area g_area;
static const struct enclave_layout g_test_layout = {.size = 4096};
const struct enclave_layout *g_layout = &g_test_layout;
int g_log_level = LOG_TRACE;
struct deployment g_deployment;

unsigned fuzz_enclave_ends(void)
{
    return g_ends;
}

static void take(void *out, size_t n)
{
    size_t have = MIN(n, g_left);

    memcpy(out, g_input, have);
    memset((u8 *)out + have, 0, n - have);
    g_input += have;
    g_left -= have;
}

static u32 take_u32(u32 limit)
{
    u32 v;

    take(&v, sizeof(v));
    return limit != 0 ? v % limit : v;
}

/* ---- the host ---- */

static struct host_memory *lying_area(void)
{
    return (struct host_memory *)&g_area;
}

static void lying_call(u32 number)
{
    size_t n;

    if (number == OCALL_ABORT)
        longjmp(g_end, 1);
    /* Mostly small numbers, so that more than the range check is reached. */
    switch (take_u32(4)) {
    case 0:
        g_area.ret = (i32)take_u32(0);
        break;
    case 1:
        g_area.ret = -(i64)take_u32(200);
        break;
    case 2:
        take(&g_area.ret, sizeof(g_area.ret));
        break;
    default:
        g_area.ret = take_u32(300);
    }
    for (u32 i = 0; i < BOUNDARY_OUT; i++)
        g_area.out[i] = take_u32(2) != 0 ? take_u32(200) : take_u32(0) * 0x100000001ull;
    n = take_u32(1024);
    take(g_area.data, n);
}

static const struct host_ops g_lying = {lying_area, lying_call};
const struct host_ops *g_host_ops = &g_lying;

/* ---- what host*.c use of the LibOS ---- */

void panic(const char *fmt, ...)
{
    g_ends++;
    longjmp(g_end, 1);
}

/* ---- what the LibOS asks ---- */

/* The program may set all options of sockets: the host has the word then. */
bool capable(int cap)
{
    return true;
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

static const hostfd g_some = {3}, g_other = {4};

static void call_files(u32 which, u8 *buf, size_t n)
{
    struct host_stat st;
    struct host_statfs sf;
    u64 start = 100, end = 199;
    bool write = true;
    ssize_t r;

    switch (which) {
    case 0:
        r = host_read(g_some, buf, n, take_u32(2) ? -1 : 100);
        check(r < 0 || (size_t)r <= n);
        break;
    case 1:
        r = host_write(g_some, buf, n, -1);
        check(r < 0 || (size_t)r <= n);
        break;
    case 2:
        r = host_getdents(g_some, buf, n);
        check(r < 0 || (size_t)r <= n);
        /* Walk it as a caller does, who trusts the check. */
        for (size_t off = 0; r > 0 && off < (size_t)r;) {
            u16 record;

            memcpy(&record, buf + off + 16, 2);
            check(strlen((char *)buf + off + 19) < record);
            off += record;
        }
        break;
    case 3:
        r = host_readlink(g_some, "link", (char *)buf, n);
        check(r < 0 || ((size_t)r <= n && memchr(buf, '\0', (size_t)r) == NULL));
        break;
    case 4:
        if (host_stat(g_some, "name", true, &st) == 0)
            check((i64)st.size >= 0 && st.mtime_nsec < 1000000000u);
        break;
    case 5:
        host_statfs(g_some, &sf);
        break;
    case 6:
        r = host_ioctl(g_some, 0x5401, buf, MIN(n, 60ul));
        break;
    case 7:
        check(host_open(g_some, "path", 0, 0).n >= -4095);
        break;
    case 8:
        r = host_lock_test(g_some, &write, &start, &end);
        check(r <= 1 && (r < 1 || (start <= INT64_MAX && end <= INT64_MAX)));
        check(host_lock(g_some, false, 1, start, end) <= 0);
        break;
    case 9:
        r = host_inotify_read(g_some, buf, n);
        for (ssize_t at = 0; at < r;) {
            struct host_inotify_event e;

            at += (ssize_t)host_inotify_next(buf + at, &e);
            check(at <= r && e.wd >= -1 && e.name_len <= 255 && !memchr(e.name, '/', e.name_len));
        }
        check(host_inotify_create().n >= -4095 && host_inotify_add(g_some, g_other, 5) >= -4095);
        check(host_inotify_remove(g_some, 4) <= 0);
        break;
    }
}

static void call_sockets(u32 which, u8 *buf, size_t n)
{
    u8 addr[64], control[128];
    u32 len = sizeof(addr);
    struct host_message m = {.addr = addr,
                             .addr_len = sizeof(addr),
                             .control = control,
                             .control_len = (u32)MIN(n, sizeof(control))};
    ssize_t r;

    switch (which) {
    case 0:
        r = host_recv(g_some, buf, n, 0, &m);
        check(r < 0 || (size_t)r <= n);
        check(m.addr_len <= BOUNDARY_ADDRESS_MAX && m.control_len <= MIN(n, sizeof(control)));
        if (r >= 0)
            check(ip_control_received(control, m.control_len, (m.flags & MSG_CTRUNC) != 0) <=
                  m.control_len);
        break;
    case 1:
        r = host_send(g_some, buf, n, 0, &m);
        check(r < 0 || (size_t)r <= n);
        break;
    case 2:
        host_accept(g_some, addr, &len);
        check(len <= BOUNDARY_ADDRESS_MAX);
        break;
    case 3:
        len = (u32)MIN(n, 40ul);
        if (host_getsockopt(g_some, 1, 2, buf, &len) == 0)
            check(len <= n);
        break;
    case 4:
        host_getsockname(g_some, addr, &len, true);
        check(len <= BOUNDARY_ADDRESS_MAX);
        break;
    case 5:
        m.to_file = true;
        m.file = g_other;
        r = host_send(g_some, buf, n, 0, &m);
        check(r < 0 || (size_t)r <= n);
        check(host_bind_path(g_some, g_other, "below/name", "/data/below/name") <= 0);
        check(host_connect_file(g_some, g_other, 1000, 1000) <= 0);
        check(host_listen(g_some, 5, 1000, 1000) <= 0);
        break;
    }
}

static void call_system(u32 which, u8 *buf, size_t n)
{
    size_t count = n / sizeof(struct host_pollfd);
    static const u8 report[SGX_REPORT_SIZE] = "a report";
    u8 target[SGX_TARGETINFO_SIZE];
    struct host_time t;
    ssize_t r;
    u32 regs[4];

    switch (which) {
    case 0:
        r = host_poll((struct host_pollfd *)buf, count);
        check(r < 0 || (size_t)r <= count);
        break;
    case 1:
        r = host_thread_wait(5, (struct host_pollfd *)buf, count);
        check(r < 0 || (size_t)r <= count);
        break;
    case 2:
        r = host_epoll_wait(g_some, (struct host_epoll_event *)buf, count);
        check(r < 0 || (size_t)r <= count);
        break;
    case 3:
        host_time(&t);
        check(t.monotonic <= INT64_MAX);
        break;
    case 4:
        host_cpuid(1, 0, regs);
        break;
    case 5:
        r = host_get_quote(report, buf, n);
        check(r < 0 || ((size_t)r <= n && r > SGX_REPORT_BODY_SIZE));
        break;
    case 6:
        host_event(1, 1, 0, "message");
        break;
    case 7:
        check(host_lseek(g_some, 5, 0) >= -4095);
        break;
    case 8:
        check(host_get_target_info(target) <= 0);
        break;
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    u8 *volatile buf = NULL;

    g_input = data;
    g_left = size;
    if (setjmp(g_end) == 0) {
        for (int i = 0; i < 16 && g_left > 0; i++) {
            size_t n = take_u32(8) == 0 ? take_u32(300000) : take_u32(400);

            buf = calloc(n + 1, 1); /* its end is what the sanitizer watches */
            switch (take_u32(3)) {
            case 0:
                call_files(take_u32(10), buf, n);
                break;
            case 1:
                call_sockets(take_u32(6), buf, n);
                break;
            default:
                call_system(take_u32(9), buf, n);
            }
            free(buf);
            buf = NULL;
        }
    }
    free(buf);
    return 0;
}
