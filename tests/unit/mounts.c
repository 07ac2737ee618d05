/* SPDX-License-Identifier: Apache-2.0 */
/* What mounts of config.json become in the measured deployment, and enclave.mounts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../abi/manifest.h"
#include "enclave/deployment.h"
#include "enclave/describe.h"

#define RO    MANIFEST_MOUNT_READONLY
#define FILE_ MANIFEST_MOUNT_IS_FILE
#define EXEC  MANIFEST_MOUNT_INSECURE_EXEC
#define LINKS MANIFEST_MOUNT_INSECURE_LINKS

static struct oci_config *parse(const char *program, const char *mounts)
{
    struct error err = ERROR_INIT;
    struct oci_config *config = NULL;
    char text[4096];
    snprintf(text, sizeof(text),
             "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"cwd\":\"/\","
             "\"args\":[\"%s\"]},\"mounts\":[%s]}",
             program, mounts);
    if (oci_config_parse(text, strlen(text), "test", &config, &err) < 0)
        fail_msg("%s", error_text(&err));
    return config;
}

/* options: quoted, with commas */
static char *bind_of(const char *target, const char *source, const char *options)
{
    static char text[512];
    snprintf(text, sizeof(text),
             "{\"destination\":\"%s\",\"type\":\"bind\",\"source\":\"%s\",\"options\":[%s]}",
             target, source, options);
    return text;
}

static const struct policy g_none;

static void test_one_each(void **state)
{
    static const struct {
        const char *target, *source, *options, *setting;
        uint32_t kind, flags;
    } cases[] = {
        {"/data", "/tmp", "\"rbind\"", NULL, MANIFEST_MOUNT_PASSTHROUGH, 0},
        {"/data", "/tmp", "\"rbind\",\"ro\"", NULL, MANIFEST_MOUNT_PASSTHROUGH, RO},
        {"/data", "/etc/passwd", "\"bind\"", NULL, MANIFEST_MOUNT_PASSTHROUGH, FILE_},
        {"/data", "/tmp", "\"rbind\"", "/data=ro", MANIFEST_MOUNT_PASSTHROUGH, RO},
        {"/data/", "/tmp", "\"rbind\"", " /data=insecure-exec,ro ", MANIFEST_MOUNT_PASSTHROUGH,
         EXEC | RO},
        {"/data", "/tmp", "\"rbind\"", "/data//=insecure-links", MANIFEST_MOUNT_PASSTHROUGH, LINKS},
        /* by name, whatever the host has there */
        {"/etc/hosts", "/tmp", "\"rbind\"", NULL, MANIFEST_MOUNT_PASSTHROUGH, RO | FILE_},
        {"/etc/hostname", "/nowhere", "\"bind\"", NULL, MANIFEST_MOUNT_PASSTHROUGH, RO | FILE_},
        {"/etc//resolv.conf", "/x", "\"bind\"", NULL, MANIFEST_MOUNT_PASSTHROUGH, RO | FILE_},
        {"/etc/hosts", "/tmp", "\"rbind\"", "/etc/hosts=rw", MANIFEST_MOUNT_PASSTHROUGH, FILE_},
        {"/run/.containerenv", "/x", "\"bind\"", NULL, MANIFEST_MOUNT_PASSTHROUGH, RO | FILE_},
        {"/dev/termination-log", "/x", "\"bind\"", NULL, MANIFEST_MOUNT_PASSTHROUGH, FILE_},
        {"/var/run/secrets/kubernetes.io/serviceaccount", "/x", "\"rbind\"", NULL,
         MANIFEST_MOUNT_PASSTHROUGH, RO},
        {"/run/secrets/kubernetes.io/serviceaccount", "/etc/passwd", "\"rbind\"", NULL,
         MANIFEST_MOUNT_PASSTHROUGH, RO},
        {"/dev/shm", "/tmp", "\"rbind\"", NULL, MANIFEST_MOUNT_TMPFS, 0},
        {"/dev", "/dev", "\"rbind\"", NULL, MANIFEST_MOUNT_DEV, 0},
        {"/sys", "/sys", "\"rbind\",\"ro\"", NULL, MANIFEST_MOUNT_SYSFS, RO},
        {"/sys/fs/cgroup", "/x", "\"rbind\"", NULL, MANIFEST_MOUNT_CGROUP, 0},
        {"/proc/", "/proc", "\"rbind\"", NULL, MANIFEST_MOUNT_PROC, 0},
        {"/host/proc", "/proc", "\"rbind\"", NULL, MANIFEST_MOUNT_PASSTHROUGH, 0},
        {"/hidden", "/dev/null", "\"bind\"", NULL, MANIFEST_MOUNT_DEVICE, 0},
        {"/hidden", "/dev/../dev/null", "\"bind\"", NULL, MANIFEST_MOUNT_DEVICE, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct oci_config *config = parse(
            "sh", bind_of(cases[i].target, cases[i].source, cases[i].options));
        struct deployment d;
        struct error err = ERROR_INIT;
        if (deployment_from_config(config, &g_none, cases[i].setting, &d, &err) < 0)
            fail_msg("%s: %s", cases[i].target, error_text(&err));
        const struct bundle_mount *m = &d.mounts[0];
        if (m->kind != cases[i].kind || m->flags != cases[i].flags)
            fail_msg("%s from %s: kind %u flags %u", cases[i].target, cases[i].source, m->kind,
                     m->flags);
        assert_int_equal(d.passed_count, m->kind == MANIFEST_MOUNT_PASSTHROUGH);
        /* The host's paths differ from pod to pod, and prove nothing: they are not measured. */
        if (m->kind == MANIFEST_MOUNT_PASSTHROUGH)
            assert_true(m->source == NULL && m->options == NULL);
        deployment_release(&d);
        oci_config_free(config);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *program, *target, *options, *setting, *part;
    } cases[] = {
        {"sh", "/data", "\"bind\"", "data=ro", "give TARGET=WORD"},
        {"sh", "/data", "\"bind\"", "/data", "give TARGET=WORD"},
        {"sh", "/data", "\"bind\"", "/data=", "give TARGET=WORD"},
        {"sh", "/data", "\"bind\"", "/data=exec", "\"exec\" is not known: use ro, rw"},
        {"sh", "/data", "\"bind\"", "/data=ro,", "\"\" is not known"},
        {"sh", "/data", "\"bind\"", "/dat=ro", "no bind mount of config.json is at /dat"},
        {"sh", "/dev/shm", "\"bind\"", "/dev/shm=ro", "no bind mount"},
        {"sh", "/data", "\"bind\",\"ro\"", "/data=rw", "config.json says ro"},
        {"/data/run.sh", "/data", "\"bind\"", NULL, "enclave.mounts \"/data=insecure-exec\""},
        {"/usr/../data", "/data", "\"bind\"", NULL, "in the bind mount /data"},
        {"/sbin/docker-init", "/sbin/docker-init", "\"bind\"", NULL, "leave out --init"},
        {"/run/podman-init", "/run/podman-init", "\"bind\"", NULL, "leave out --init"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct oci_config *config = parse(cases[i].program,
                                          bind_of(cases[i].target, "/tmp", cases[i].options));
        struct deployment d;
        struct error err = ERROR_INIT;
        assert_true(deployment_from_config(config, &g_none, cases[i].setting, &d, &err) < 0);
        if (strstr(error_text(&err), cases[i].part) == NULL)
            fail_msg("%s", error_text(&err));
        error_release(&err);
        deployment_release(&d);
        oci_config_free(config);
    }
}

/* The mount nearest to the program decides. */
static void test_programs(void **state)
{
    static const char nested[] =
        "{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/tmp\",\"options\":[\"bind\"]},"
        "{\"destination\":\"/data/own\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}";
    static const struct {
        const char *program, *setting;
        bool fine;
    } cases[] = {{"/bin/sh", NULL, true},        {"/data/x", NULL, false},
                 {"/data/own/x", NULL, true},    {"/data/x", "/data=insecure-exec", true},
                 {"/database/x", NULL, true},    {"data/x", NULL, true},
                 {"/data/own/../x", NULL, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct oci_config *config = parse(cases[i].program, nested);
        struct deployment d;
        struct error err = ERROR_INIT;
        assert_int_equal(deployment_from_config(config, &g_none, cases[i].setting, &d, &err) == 0,
                         cases[i].fine);
        error_release(&err);
        deployment_release(&d);
        oci_config_free(config);
    }
}

/* The line at start names what weakens the enclave. */
static void test_described(void **state)
{
    static const char both[] =
        "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/tmp\",\"options\":[\"bind\"]},"
        "{\"destination\":\"/b\",\"type\":\"bind\",\"source\":\"/tmp\",\"options\":[\"bind\"]}";
    static const struct {
        const char *setting, *line;
        bool insecure;
    } cases[] = {
        {NULL, "2 host mounts", false},
        {"/a=ro", "2 host mounts", false},
        {"/a=insecure-exec /b=insecure-exec,ro",
         "2 host mounts, programs of the host in /a and /b (insecure)", true},
        {"/b=insecure-links", "2 host mounts, links of the host from /b to anywhere (insecure)",
         true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct oci_config *config = parse("sh", both);
        struct buffer blob = BUFFER_INIT;
        uint8_t hash[BUNDLE_HASH_SIZE];
        struct deployment d;
        bool insecure;
        assert_int_equal(deployment_from_config(config, &g_none, cases[i].setting, &d, NULL), 0);
        assert_int_equal(bundle_deployment_build(&d.manifest, &blob, hash, NULL), 0);
        char *line = deployment_describe(blob.data, blob.size, false, NULL, &insecure);
        assert_string_equal(line, cases[i].line);
        assert_int_equal(insecure, cases[i].insecure);
        free(line);
        buffer_release(&blob);
        deployment_release(&d);
        oci_config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_each),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_programs),
        cmocka_unit_test(test_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
