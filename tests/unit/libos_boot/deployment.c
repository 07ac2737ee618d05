/* SPDX-License-Identifier: Apache-2.0 */
/* The deployment half as the LibOS reads it: what the policy record may say, and that every
 * malformed one refuses the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto.h"
#include "deployment.h"
#include "manifest.h"
#include "sgx.h"
#include "start.h"

struct sgx_report_body g_self;
int g_log_level = LOG_FATAL;

/* ---- memory that each test gives back as a whole ---- */

static _Alignas(16) u8 g_arena[1 << 20];
static size_t g_arena_used;

void *kmalloc(size_t size)
{
    size_t *p = (size_t *)(g_arena + g_arena_used);

    g_arena_used += 16 + ((size + 15) & ~15ul);
    assert_true(g_arena_used <= sizeof(g_arena));
    *p = size;
    return p + 2;
}

void *krealloc(void *old, size_t size)
{
    void *p = kmalloc(size);
    size_t had = old != NULL ? ((size_t *)old)[-2] : 0;

    if (old != NULL)
        memcpy(p, old, had < size ? had : size);
    return p;
}

void kfree(void *p)
{
}

void sha256_once(const void *prefix, size_t prefix_size, const void *data, size_t size,
                 u8 digest[SHA256_SIZE])
{
    memset(digest, 0, SHA256_SIZE);
}

void log_write(enum log_level level, const char *fmt, ...)
{
}

/* ---- blobs ---- */

struct blob {
    u8 bytes[8192];
    size_t size;
    u32 records;
};

static void put(struct blob *b, const void *data, size_t size)
{
    memcpy(b->bytes + b->size, data, size);
    b->size += size;
}

static void put_record(struct blob *b, u32 type, const void *value, size_t size)
{
    struct manifest_record r = {.type = type, .size = (u32)size};

    if (b->size == 0)
        b->size = sizeof(struct manifest_deployment_header);
    put(b, &r, sizeof(r));
    put(b, value, size);
    while (b->size % 8 != 0)
        b->bytes[b->size++] = 0;
    b->records++;
}

static int parse(struct blob *b)
{
    struct manifest_deployment_header h = {.magic = MANIFEST_DEPLOYMENT_MAGIC,
                                           .version = MANIFEST_VERSION,
                                           .record_count = b->records,
                                           .size = b->size};

    memcpy(b->bytes, &h, sizeof(h));
    memset(&g_deployment, 0, sizeof(g_deployment));
    g_arena_used = 0;
    return deployment_parse(b->bytes, b->size);
}

static int parse_policy(const struct manifest_policy *p, size_t size)
{
    struct blob b = {.size = 0};

    put_record(&b, MANIFEST_ARG, "x", 1);
    put_record(&b, MANIFEST_POLICY, p, size);
    return parse(&b);
}

static void test_policy(void **state)
{
    struct manifest_policy p = {.exec = MANIFEST_EXEC_ANY,
                                .flags = MANIFEST_POLICY_STDIN | MANIFEST_POLICY_NO_NEW_PRIVS,
                                .signals = 1u << 14,
                                .log_level = 2};

    assert_int_equal(parse_policy(&p, sizeof(p)), 0);
    assert_int_equal(g_deployment.policy.exec, MANIFEST_EXEC_ANY);
    assert_true(g_deployment.policy.stdin_host && g_deployment.policy.no_new_privs);
    assert_false(g_deployment.policy.stdout_host || g_deployment.policy.loopback_host ||
                 g_deployment.policy.signal_any);
    assert_int_equal(g_deployment.policy.signals, 1u << 14);
    assert_int_equal(g_deployment.policy.log_level, 2);
}

static void test_malformed_policy(void **state)
{
    const struct manifest_policy good = {.exec = MANIFEST_EXEC_NONE};
    struct manifest_policy bad[] = {
        {.exec = 99},       {.flags = 1u << 31}, {.signals = 1u << 10}, /* SEGV */
        {.signals = ~0ull}, {.log_level = 6},    {.reserved0 = 1},
    };
    struct blob none = {.size = 0}, twice = {.size = 0};
    u8 longer[sizeof(good) + 8] = {0};

    assert_int_equal(parse_policy(&good, sizeof(good)), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(parse_policy(&bad[i], sizeof(bad[i])), -EINVAL);
    for (size_t size = 0; size < sizeof(good); size++)
        assert_int_equal(parse_policy(&good, size), -EINVAL);
    assert_int_equal(parse_policy((const void *)longer, sizeof(longer)), -EINVAL);

    put_record(&none, MANIFEST_ARG, "x", 1);
    assert_int_equal(parse(&none), -EINVAL);
    put_record(&twice, MANIFEST_POLICY, &good, sizeof(good));
    assert_int_equal(parse(&twice), 0);
    put_record(&twice, MANIFEST_POLICY, &good, sizeof(good));
    assert_int_equal(parse(&twice), -EINVAL);
}

/* What a fault raises is not to be sent, whatever a builder writes. */
static void test_signals_never(void **state)
{
    static const int faults[] = {4, 5, 7, 8, 11, 31};

    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        struct manifest_policy p = {.signals = 1ull << (faults[i] - 1)};
        assert_int_equal(parse_policy(&p, sizeof(p)), -EINVAL);
    }
    struct manifest_policy rest = {.signals = ~MANIFEST_SIGNALS_NEVER};
    assert_int_equal(parse_policy(&rest, sizeof(rest)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_malformed_policy),
        cmocka_unit_test(test_signals_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
