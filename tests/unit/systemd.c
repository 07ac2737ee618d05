/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a configuration as systemd sees it: slices, CPU masks, resources, device rules,
 * annotations. A recorder stands in for the bus (container/systemd_bus.h) and writes every property
 * down as text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "container/private.h"
#include "container/systemd_unit.h"

/* ---- the recorder ---- */

struct systemd_bus {
    int version;
};

static struct systemd_bus g_bus = {252};
static struct buffer g_record = BUFFER_INIT;

int systemd_version(struct systemd_bus *bus)
{
    return bus->version;
}

static void record(const char *signature, va_list values)
{
    for (const char *c = signature; *c; c++) {
        if (*c == '(' || *c == ')')
            continue;
        if (*c == 'a') { /* only empty ones are written in one piece */
            assert_int_equal(va_arg(values, int), 0);
            return;
        }
        if (strchr("sog", *c))
            buffer_append_format(&g_record, "%s ", va_arg(values, const char *));
        else if (strchr("xt", *c))
            buffer_append_format(&g_record, "%lld ", (long long)va_arg(values, uint64_t));
        else if (*c == 'd')
            buffer_append_format(&g_record, "%g ", va_arg(values, double));
        else
            buffer_append_format(&g_record, "%d ", va_arg(values, int));
    }
}

void systemd_append(struct systemd_call *call, const char *signature, ...)
{
    va_list values;
    va_start(values, signature);
    record(signature, values);
    va_end(values);
}

void systemd_property_open(struct systemd_call *call, const char *name, const char *signature)
{
    buffer_append_format(&g_record, "%s:%s ", name, signature);
}

void systemd_property_close(struct systemd_call *call)
{
    buffer_append_char(&g_record, '\n');
}

void systemd_open_array(struct systemd_call *call, const char *element)
{
    buffer_append_text(&g_record, "[ ");
}

void systemd_close_array(struct systemd_call *call)
{
    buffer_append_text(&g_record, "] ");
}

void systemd_property(struct systemd_call *call, const char *name, const char *signature, ...)
{
    va_list values;
    systemd_property_open(call, name, signature);
    va_start(values, signature);
    record(signature, values);
    va_end(values);
    systemd_property_close(call);
}

void systemd_property_bytes(struct systemd_call *call, const char *name, const void *data,
                            size_t size)
{
    const unsigned char *bytes = data;
    systemd_property_open(call, name, "ay");
    for (size_t i = 0; i < size; i++)
        buffer_append_format(&g_record, "%02x ", bytes[i]);
    systemd_property_close(call);
}

static bool recorded(const char *line)
{
    return strstr(buffer_text(&g_record), line) != NULL;
}

/* ---- the tests ---- */

static struct oci_config *config_with(const char *members)
{
    cleanup_free char *text = xasprintf(
        "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},"
        "\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}},%s}",
        members);
    cleanup_error struct error err = ERROR_INIT;
    struct oci_config *config = NULL;
    if (oci_config_parse(text, strlen(text), "config.json", &config, &err) < 0)
        fail_msg("%s", error_text(&err));
    buffer_clear(&g_record);
    return config;
}

static void test_slices(void **state)
{
    static const struct {
        const char *slice, *path;
    } cases[] = {
        {"system.slice", "/system.slice"},
        {"a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"},
        {"-.slice", ""},
        {".slice", NULL},
        {"-a.slice", NULL},
        {"a-.slice", NULL},
        {"a--b.slice", NULL},
        {"a/b.slice", NULL},
        {"a", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        cleanup_free char *path = systemd_expand_slice(cases[i].slice, NULL);
        if (cases[i].path)
            assert_string_equal(path, cases[i].path);
        else
            assert_null(path);
    }
}

static void test_masks(void **state)
{
    static const struct {
        const char *list, *bytes;
        size_t size;
    } cases[] = {
        {"0", "\x01", 1}, {"0-2,7", "\x87", 1}, {"8", "\x00\x01", 2}, {" 1 , 3-4,,\n", "\x1a", 1},
        {"", NULL, 0},    {",", NULL, 0},       {"3-1", NULL, 0},     {"a", NULL, 0},
        {"1-", NULL, 0},  {"1x", NULL, 0},      {"-1", NULL, 0},      {"0-99999999999", NULL, 0},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        cleanup_free unsigned char *mask = NULL;
        size_t size = 0;
        int ret = systemd_cpu_mask(cases[i].list, &mask, &size, NULL);
        assert_int_equal(ret == 0, cases[i].bytes != NULL);
        if (ret < 0)
            continue;
        assert_int_equal(size, cases[i].size);
        assert_memory_equal(mask, cases[i].bytes, size);
    }
}

static void test_quota(void **state)
{
    assert_int_equal(systemd_cpu_quota(50000, 100000), 500000);
    assert_int_equal(systemd_cpu_quota(50000, 0), 500000);
    assert_int_equal(systemd_cpu_quota(25500, 50000), 510000);
    assert_int_equal(systemd_cpu_quota(1, 100000), 10000); /* never rounded to nothing */
    assert_true(systemd_cpu_quota(-1, 100000) == UINT64_MAX);
    assert_true(systemd_cpu_quota(0, 100000) == UINT64_MAX);
}

static const char resources[] =
    "\"linux\":{\"resources\":{\"memory\":{\"limit\":100,\"swap\":150,\"reservation\":50},"
    "\"cpu\":{\"shares\":512,\"quota\":25500,\"period\":50000,\"cpus\":\"0-2\",\"mems\":\"0\"},"
    "\"pids\":{\"limit\":-1},\"blockIO\":{\"weight\":500}}}";

static void test_resources(void **state)
{
    cleanup_config struct oci_config *config = config_with(resources);
    assert_int_equal(systemd_resources_v2(&g_bus, NULL, &config->resources, NULL), 0);
    assert_string_equal(buffer_text(&g_record),
                        "MemoryMax:t 100 \nMemoryLow:t 50 \nMemorySwapMax:t 50 \nCPUWeight:t 20 \n"
                        "IOWeight:t 4950 \nCPUQuotaPeriodUSec:t 50000 \n"
                        "CPUQuotaPerSecUSec:t 510000 \nTasksMax:t -1 \nAllowedCPUs:ay 07 \n"
                        "AllowedMemoryNodes:ay 01 \n");
    buffer_clear(&g_record);
    assert_int_equal(systemd_resources_v1(&g_bus, NULL, &config->resources, NULL), 0);
    assert_string_equal(buffer_text(&g_record),
                        "MemoryLimit:t 100 \nCPUShares:t 512 \nBlockIOWeight:t 500 \n"
                        "CPUQuotaPeriodUSec:t 50000 \nCPUQuotaPerSecUSec:t 510000 \n"
                        "TasksMax:t -1 \nAllowedCPUs:ay 07 \nAllowedMemoryNodes:ay 01 \n");
    /* An old systemd refuses a unit for a property that it does not know. */
    struct systemd_bus old = {239};
    buffer_clear(&g_record);
    assert_int_equal(systemd_resources_v2(&old, NULL, &config->resources, NULL), 0);
    assert_true(recorded("CPUQuotaPerSecUSec"));
    assert_false(recorded("Allowed"));
    assert_false(recorded("CPUQuotaPeriodUSec"));
}

static int unified(const char *members)
{
    cleanup_free char *text = xasprintf("\"linux\":{\"resources\":{\"unified\":{%s}}}", members);
    cleanup_config struct oci_config *config = config_with(text);
    return systemd_resources_v2(&g_bus, NULL, &config->resources, NULL);
}

static void test_unified(void **state)
{
    assert_int_equal(unified("\"cpu.max\":\"10000 40000\",\"memory.high\":\"max\","
                             "\"pids.max\":\" 7\",\"cpuset.cpus\":\"1\",\"misc.max\":\"x\""),
                     0);
    assert_true(recorded("CPUQuotaPerSecUSec:t 250000 \n"));
    assert_true(recorded("MemoryHigh:t -1 \n"));
    assert_true(recorded("TasksMax:t 7 \n"));
    assert_true(recorded("AllowedCPUs:ay 02 \n"));
    assert_false(recorded("misc"));
    assert_int_equal(unified("\"cpu.max\":\"max 40000\""), 0);
    assert_true(recorded("CPUQuotaPerSecUSec:t -1 \n"));
    assert_true(unified("\"cpu.weight\":\"many\"") < 0);
    assert_true(unified("\"memory.max\":\"-5\"") < 0);
    assert_true(unified("\"cpu.max\":\"1 2 3\"") < 0);
}

static void devices(const char *rules)
{
    cleanup_free char *text = xasprintf("\"linux\":{\"resources\":{\"devices\":[%s]}}", rules);
    cleanup_config struct oci_config *config = config_with(text);
    systemd_devices(NULL, &config->resources);
}

static void test_devices(void **state)
{
    devices("{\"allow\":false,\"access\":\"rwm\"},"
            "{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":11,\"access\":\"r\"},"
            "{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":11,\"access\":\"w\"},"
            "{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"r\"},"
            "{\"allow\":false,\"type\":\"c\",\"major\":1,\"minor\":11,\"access\":\"r\"}");
    assert_true(recorded("DevicePolicy:s strict \nDeviceAllow:a(ss) \nDeviceAllow:a(ss) [ "));
    assert_true(recorded("/dev/char/1:11 w "));
    assert_true(recorded("/dev/char/1:3 rwm ")); /* with what every container may */
    assert_true(recorded("char-* m "));
    devices("{\"allow\":true,\"access\":\"rwm\"}");
    assert_string_equal(buffer_text(&g_record), "DevicePolicy:s auto \nDeviceAllow:a(ss) \n");
    devices("{\"allow\":true,\"access\":\"rwm\"},"
            "{\"allow\":false,\"type\":\"c\",\"major\":1,\"minor\":1}");
    assert_string_equal(buffer_text(&g_record), "DevicePolicy:s strict \nDeviceAllow:a(ss) \n");
    devices("");
    assert_string_equal(buffer_text(&g_record), "");
}

/* The record of one annotation, or NULL with a message in g_message. */
static const char *annotate(const char *name, const char *value)
{
    cleanup_json json_t *annotations = json_object();
    cleanup_free char *key = xasprintf("org.systemd.property.%s", name);
    json_object_set_new(annotations, key, json_string(value));
    cleanup_free char *tree = json_text(annotations, JSON_COMPACT);
    cleanup_free char *text = xasprintf("\"annotations\":%s", tree);
    cleanup_config struct oci_config *config = config_with(text);
    return systemd_annotations(NULL, config, NULL) == 0 ? buffer_text(&g_record) : NULL;
}

static void test_annotations(void **state)
{
    static const struct {
        const char *name, *value, *record;
    } good[] = {
        {"TimeoutStopUSec", "uint64 123456789", "TimeoutStopUSec:t 123456789 \n"},
        {"TimeoutStopSec", "456", "TimeoutStopUSec:t 456000000 \n"},
        {"TimeoutStopSec", "byte 234", "TimeoutStopUSec:t 234000000 \n"},
        {"TimeoutStopSec", "int16 234", "TimeoutStopUSec:t 234000000 \n"},
        {"TimeoutStopSec", "234.5", "TimeoutStopUSec:t 234500000 \n"},
        {"CollectMode", "'inactive-or-failed'", "CollectMode:s inactive-or-failed \n"},
        {"Description", "\"it's\\t\\\"me\\\"\"", "Description:s it's\t\"me\" \n"},
        {"Delegate", "false", "Delegate:b 0 \n"},
        {"OOMScoreAdjust", " -500 ", "OOMScoreAdjust:i -500 \n"},
        {"Anything", "int64 -5000000000", "Anything:x -5000000000 \n"},
        {"After", "['a.service', 'b.service']", "After:as [ a.service b.service ] \n"},
        {"After", "@as []", "After:as [ ] \n"},
        {"Lists", "[[1, 2], [3]]", "Lists:aai [ [ 1 2 ] [ 3 ] ] \n"},
        {"Bytes", "[byte 0x10, 2]", "Bytes:ay [ 16 2 ] \n"},
        {"Bytes", "@ay [0x10, 2]", "Bytes:ay [ 16 2 ] \n"},
        {"Number", "@u 7", "Number:u 7 \n"},
    };
    for (size_t i = 0; i < array_count(good); i++) {
        const char *got = annotate(good[i].name, good[i].value);
        if (!got)
            fail_msg("%s=%s was refused", good[i].name, good[i].value);
        assert_string_equal(got, good[i].record);
    }
    static const struct {
        const char *name, *value;
    } bad[] = {
        {"", "1"},
        {"Xy", "1"},
        {"A name", "1"},
        {"Name1", "1"},
        {"Number", ""},
        {"Number", "1 2"},
        {"Number", "byte 256"},
        {"Number", "uint32 -1"},
        {"Number", "5000000000"},
        {"Text", "'open"},
        {"Text", "maybe"},
        {"List", "[]"},
        {"List", "[1, 'a']"},
        {"List", "[1"},
        {"List", "[1 2]"},
        {"TimeoutStopSec", "'x'"},
        {"Type", "@v <1>"},
        {"Type", "@ 1"},
        {"Deep", "[[[[[[[[[[1]]]]]]]]]]"},
    };
    for (size_t i = 0; i < array_count(bad); i++)
        if (annotate(bad[i].name, bad[i].value))
            fail_msg("%s=%s was taken", bad[i].name, bad[i].value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),      cmocka_unit_test(test_masks),
        cmocka_unit_test(test_quota),       cmocka_unit_test(test_resources),
        cmocka_unit_test(test_unified),     cmocka_unit_test(test_devices),
        cmocka_unit_test(test_annotations),
    };
    int status = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_release(&g_record);
    return status;
}
