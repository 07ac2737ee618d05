/* SPDX-License-Identifier: Apache-2.0 */
/* What the host fills in, against the deployment's rules: one that no rule allows refuses all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "deployment.h"
#include "host_value.h"
#include "manifest.h"
#include "start.h"

int g_log_level = LOG_TRACE;
char *strstr(const char *text, const char *part); /* of libc, whose header lib.h stands in for */
static char g_said[256];

void *kmalloc(size_t size)
{
    return test_malloc(size);
}

void kfree(void *p)
{
    test_free(p);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(g_said, sizeof(g_said), fmt, ap);
    va_end(ap);
}

struct blob {
    u8 bytes[4096];
    size_t size;
    u32 records;
};

static void put_record(struct blob *b, u32 type, const char *text, size_t size)
{
    struct manifest_record r = {type, (u32)size};

    if (b->size == 0)
        b->size = sizeof(struct manifest_deployment_header);
    memcpy(b->bytes + b->size, &r, sizeof(r));
    memcpy(b->bytes + b->size + sizeof(r), text, size);
    b->size += sizeof(r) + ((size + 7) & ~7ul);
    b->records++;
}

static void finish(struct blob *b)
{
    struct manifest_deployment_header h = {
        .magic = MANIFEST_GIVEN_MAGIC, .version = MANIFEST_VERSION, .record_count = b->records};

    if (b->size == 0)
        b->size = sizeof(h);
    h.size = b->size;
    memcpy(b->bytes, &h, sizeof(h));
}

static struct deployment_host_variable g_rules[] = {
    {MANIFEST_VALUE_NAME, (char *)(uintptr_t) "HOSTNAME"},
    {MANIFEST_VALUE_ADDRESS, (char *)(uintptr_t) "*_SERVICE_HOST"},
    {MANIFEST_VALUE_URL, (char *)(uintptr_t) "*_PORT"},
    {MANIFEST_VALUE_ANY, (char *)(uintptr_t) "POD_*"},
    {MANIFEST_VALUE_ANY, (char *)(uintptr_t) "*D*"}, /* as wide as a tenant can have it */
};

/* The environment becomes "A=1 HOME=/ given...". A copy of the exact size shows a byte too many. */
static int load(const struct blob *b, size_t size, struct deployment *d)
{
    static const char *const measured[] = {"A=1", "HOME=/", "ODD"};
    u8 *copy = malloc(size + 1);
    int r;

    *d = (struct deployment){.host_variables = g_rules,
                             .host_variable_count = ARRAY_SIZE(g_rules),
                             .env = kmalloc(4 * sizeof(char *))};
    for (size_t i = 0; i < 3; i++)
        d->env[i] = (char *)(uintptr_t)measured[i];
    d->env[3] = NULL;
    g_said[0] = '\0';
    memcpy(copy, b->bytes, size);
    r = given_load(copy, size, d);
    free(copy);
    return r;
}

static void release(struct deployment *d)
{
    for (u32 i = 0; i < d->given_count; i++)
        kfree(d->given[i]);
    kfree(d->given);
    kfree(d->env);
}

static int give(const char *const *variables, struct deployment *d)
{
    struct blob b = {.size = 0};

    for (; *variables != NULL; variables++)
        put_record(&b, MANIFEST_ENV, *variables, strlen(*variables));
    finish(&b);
    return load(&b, b.size, d);
}

static void test_allowed(void **state)
{
    static const char *const all[] = {"DB_SERVICE_HOST=10.0.0.7", "HOSTNAME=web-0.x",
                                      "POD_IP=\xc3\xa4 \"\\", "POD_IPS=", NULL};
    struct deployment d;

    assert_int_equal(give(all, &d), 0);
    assert_int_equal(d.given_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(d.env[3 + i], all[i]);
    assert_string_equal(d.env[0], "A=1");
    assert_null(d.env[7]);
    release(&d);
    assert_int_equal(give((const char *const[]){NULL}, &d), 0);
    assert_null(d.env[3]);
    release(&d);
}

static void test_refused(void **state)
{
    static const struct {
        const char *variables[3], *said;
    } cases[] = {
        {{"COLOUR=red"}, "COLOUR, which no rule of the deployment allows"},
        {{"A=2"}, "A, which the deployment has itself"},
        {{"HOME=/x"}, "HOME, which steers any program"},
        {{"ODD=2"}, "ODD, which the deployment has itself"},
        {{"LD_PRELOAD=/x"}, "LD_PRELOAD, which steers any program"},
        {{"PATH=/x"}, "PATH, which steers any program"},
        {{"BASH_ENV=/x"}, "BASH_ENV, which steers any program"},
        {{"HOSTNAME=a b"}, "HOSTNAME, but its value has not the form"},
        {{"HOSTNAME=../x"}, "has not the form"},
        {{"X_SERVICE_HOST=evil"}, "has not the form"},
        {{"X_PORT=5432"}, "has not the form"},
        {{"POD_A=\n"}, "no UTF-8 text"},
        {{"POD_A=\xc0\x80"}, "no UTF-8 text"},
        {{"POD_A=\xed\xa0\x80"}, "no UTF-8 text"},
        {{"POD_A=\xf5\x80\x80\x80"}, "no UTF-8 text"},
        {{"POD_A=\xe2\x82"}, "no UTF-8 text"},
        {{"POD_A"}, "which is not NAME=value"},
        {{"=x"}, "which is not NAME=value"},
        {{"1D=x"}, "which is not NAME=value"},
        {{"D-D=x"}, "which is not NAME=value"},
        {{"POD_A=1", "POD_A=2"}, "POD_A, twice or not in the order"},
        {{"POD_B=1", "POD_A=2"}, "POD_A, twice or not in the order"},
        {{"POD_AB=1", "POD_A=2"}, "POD_A, twice or not in the order"},
    };
    struct deployment d;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int r = give(cases[i].variables, &d);

        if (r != -EPERM || strstr(g_said, cases[i].said) == NULL)
            fail_msg("%s: %d, \"%s\"", cases[i].variables[0], r, g_said);
        /* What is behind the '=' is not in a log. */
        assert_null(strstr(g_said, "evil"));
        assert_null(d.given);
        release(&d);
    }
}

static void test_malformed(void **state)
{
    struct blob good = {.size = 0}, bad;
    struct deployment d;

    put_record(&good, MANIFEST_ENV, "POD_A=1", 7);
    put_record(&good, MANIFEST_ENV, "POD_B=22", 8);
    finish(&good);
    assert_int_equal(load(&good, good.size, &d), 0);
    release(&d);
    for (size_t size = 0; size < good.size; size++) {
        assert_int_equal(load(&good, size, &d), -EINVAL);
        release(&d);
    }
    assert_int_equal(load(&good, good.size + 1, &d), -EINVAL);
    release(&d);
    /* Magic, version, count, size, types, sizes and padding: any bit refuses the whole. */
    for (size_t at = 0; at < sizeof(struct manifest_deployment_header) + 8; at++) {
        bad = good;
        bad.bytes[at] ^= 0x40;
        assert_true(load(&bad, bad.size, &d) < 0);
        release(&d);
    }
    bad = good;
    bad.bytes[sizeof(struct manifest_deployment_header) + 8 + 7] = 'x'; /* padding */
    assert_int_equal(load(&bad, bad.size, &d), -EINVAL);
    release(&d);
    bad.bytes[sizeof(struct manifest_deployment_header) + 8 + 7] = 0;
    bad.bytes[sizeof(struct manifest_deployment_header) + 8 + 6] = 0; /* a NUL in the text */
    assert_int_equal(load(&bad, bad.size, &d), -EINVAL);
    release(&d);
}

static void test_forms(void **state)
{
    static const struct {
        u32 kind;
        const char *value;
        bool fits;
    } cases[] = {
        {MANIFEST_VALUE_ADDRESS, "10.0.0.1", true},
        {MANIFEST_VALUE_ADDRESS, "fd00::1", true},
        {MANIFEST_VALUE_ADDRESS, "cafe", false},
        {MANIFEST_VALUE_ADDRESS, "10.0.0.1/x", false},
        {MANIFEST_VALUE_ADDRESS, "", false},
        {MANIFEST_VALUE_PORT, "443", true},
        {MANIFEST_VALUE_PORT, "123456", false},
        {MANIFEST_VALUE_PORT, "-1", false},
        {MANIFEST_VALUE_PORT, "", false},
        {MANIFEST_VALUE_PROTOCOL, "udp", true},
        {MANIFEST_VALUE_PROTOCOL, "http", false},
        {MANIFEST_VALUE_PROTOCOL, "tcpx", false},
        {MANIFEST_VALUE_PROTOCOL, "", false},
        {MANIFEST_VALUE_URL, "tcp://10.0.0.1:443", true},
        {MANIFEST_VALUE_URL, "sctp://[fd00::1]:9", true},
        {MANIFEST_VALUE_URL, "tcp://10.0.0.1", false},
        {MANIFEST_VALUE_URL, "tcp://evil.test:443", false},
        {MANIFEST_VALUE_URL, "http://10.0.0.1:443", false},
        {MANIFEST_VALUE_URL, "tcp:", false},
        {MANIFEST_VALUE_URL, "tcp://:1", false},
        {MANIFEST_VALUE_URL, "443", false},
        {MANIFEST_VALUE_NAME, "a.b-c_D9", true},
        {MANIFEST_VALUE_NAME, "", false},
        {MANIFEST_VALUE_NAME, "-a", false},
        {MANIFEST_VALUE_END, "a", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (host_value_fits(cases[i].kind, cases[i].value, strlen(cases[i].value)) != cases[i].fits)
            fail_msg("form %u: \"%s\"", cases[i].kind, cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_forms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
