/* SPDX-License-Identifier: Apache-2.0 */
/* config.json and state.json: values, defaults and messages; mount options; the compiled seccomp
 * filter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "container/private.h"

static struct oci_config *parse(const char *text, struct error *err)
{
    struct oci_config *config = NULL;
    return oci_config_parse(text, strlen(text), "config.json", &config, err) == 0 ? config : NULL;
}

static void test_values(void **state)
{
    static const char text[] =
        "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\",\"readonly\":true},"
        "\"process\":{\"args\":[\"a\",\"b\"],\"cwd\":\"/"
        "\",\"user\":{\"uid\":1,\"gid\":2,\"umask\":18,"
        "\"additionalGids\":[3]},\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,"
        "\"hard\":18446744073709551615}],\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_BPF\"]"
        "}},"
        "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/x\"}],"
        "\"resources\":{\"memory\":{\"limit\":-1},\"devices\":[{\"allow\":true,\"access\":\"rwa\"}]"
        "}},"
        "\"annotations\":{\"k\":\"v\"}}";
    cleanup_error struct error err = ERROR_INIT;
    cleanup_config struct oci_config *config = parse(text, &err);
    assert_non_null(config);
    assert_true(config->root_readonly);
    assert_int_equal(config->process.args.count, 2);
    assert_null(config->process.args.items[2]);
    assert_true(config->process.umask_set && config->process.umask == 022);
    assert_int_equal(config->process.rlimits[0].resource, RLIMIT_NOFILE);
    assert_true(config->process.rlimits[0].hard == UINT64_MAX);
    assert_true(config->process.capabilities.bounding == (1ull | 1ull << 39));
    assert_true(config->namespaces[OCI_NS_PID].present && !config->namespaces[OCI_NS_PID].path);
    assert_string_equal(config->namespaces[OCI_NS_NETWORK].path, "/x");
    assert_true(config->resources.memory.limit.set && config->resources.memory.limit.value == -1);
    assert_false(config->resources.memory.swap.set);
    assert_string_equal(config->resources.devices[0].access, "rw");
    assert_int_equal(config->resources.devices[0].type, 'a');
    assert_string_equal(oci_annotation(config, "k"), "v");
    assert_null(oci_annotation(config, "other"));
}

static void test_messages(void **state)
{
    static const char *const cases[][2] = {
        {"{}", "ociVersion is missing"},
        {"{\"ociVersion\":\"2.0.0\",\"root\":{\"path\":\"r\"}}", "2.0.0 is not supported"},
        {"{\"ociVersion\":\"1.0.0\"}", "root is missing"},
        {"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"mounts\":[{}]}",
         "mounts[0]: destination is missing"},
        {"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"mounts\":7}",
         "mounts: expected an array"},
        {"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[1]}}",
         "args[0]: expected a string"},
        {"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"linux\":{\"resources\":{\"pids\":{"
         "\"limit\":\"x\"}}}}",
         "linux.resources: pids.limit: expected an integer"},
        {"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"hooks\":{\"poststop\":[{\"path\":"
         "\"x\"}]}}",
         "hooks.poststop[0].path: an absolute path is needed"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        cleanup_error struct error err = ERROR_INIT;
        assert_null(parse(cases[i][0], &err));
        if (!strstr(error_text(&err), cases[i][1]))
            fail_msg("%s: %s", cases[i][0], error_text(&err));
    }
}

static void test_mount_options(void **state)
{
    static const char *items[] = {"rbind",   "ro",  "rw",     "ro",      "nosuid", "suid",
                                  "noatime", "rro", "rslave", "size=1k", "mode=7", NULL};
    const struct oci_mount mount = {
        .destination = "/x", .type = "none", .options = {items, array_count(items) - 1}};
    struct mount_plan plan;
    mount_plan_parse(&mount, &plan);
    assert_true(plan.bind && plan.recursive);
    assert_int_equal(plan.flags & (MS_RDONLY | MS_NOSUID | MS_NOATIME), MS_RDONLY | MS_NOATIME);
    assert_int_equal(plan.rec_set, 1);
    assert_int_equal(plan.propagation_count, 1);
    assert_int_equal(plan.propagation[0], MS_SLAVE | MS_REC);
    assert_string_equal(buffer_text(&plan.data), "size=1k,mode=7");
    mount_plan_release(&plan);
}

static void test_state(void **state)
{
    static const char good[] =
        "{\"id\":\"a\",\"bundle\":\"/b\",\"created\":\"t\",\"pid\":7,\"startTime\":9,"
        "\"cgroupPaths\":{\"cpu,cpuacct\":\"/sys/fs/cgroup/cpu/a\"}}";
    static const char evil[] = "{\"id\":\"a\",\"bundle\":\"/"
                               "b\",\"created\":\"t\",\"cgroupPaths\":{\"cpu\":\"/sys/../etc\"}}";
    cleanup_error struct error err = ERROR_INIT;
    struct oci_state *parsed = NULL;
    assert_int_equal(oci_state_parse(good, strlen(good), &parsed, &err), 0);
    assert_int_equal(parsed->pid, 7);
    struct cgroup cgroup;
    cgroup_from_state(parsed, &cgroup);
    assert_string_equal(cgroup_path(&cgroup, "cpuacct"), "/sys/fs/cgroup/cpu/a");
    assert_null(cgroup_path(&cgroup, "cpua"));
    cgroup_release(&cgroup);
    oci_state_free(parsed);
    assert_true(oci_state_parse(evil, strlen(evil), &parsed, &err) < 0);
    assert_true(oci_state_parse(good, strlen(good) - 9, &parsed, &err) < 0);
}

/* After a downgrade: the older rune guesses nothing about what the newer one wrote. */
static void state_of_a_later_version_is_refused(void **state)
{
    static const char format[] =
        "{\"stateVersion\":%d,\"id\":\"a\",\"bundle\":\"/b\",\"created\":\"t\"}";
    cleanup_error struct error err = ERROR_INIT;
    struct oci_state *parsed = NULL;
    char text[128];

    (void)state;
    for (int version = 0; version <= OCI_STATE_VERSION; version++) {
        snprintf(text, sizeof(text), format, version);
        assert_int_equal(oci_state_parse(text, strlen(text), &parsed, &err), 0);
        oci_state_free(parsed);
    }
    snprintf(text, sizeof(text), format, OCI_STATE_VERSION + 1);
    assert_int_equal(oci_state_parse(text, strlen(text), &parsed, &err), -ENOTSUP);
    assert_non_null(strstr(error_text(&err), "a newer rune made the container"));
}

/* What is read once goes on as a tree: the same structures, the same refusals, no text. */
static void test_trees(void **state)
{
    static const char text[] = "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"process\":{"
                               "\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"uid\":1}}}";
    cleanup_error struct error err = ERROR_INIT;
    cleanup_config struct oci_config *config = NULL, *changed = NULL, *none = NULL;
    json_t *json = json_parse(text, strlen(text), "config.json", &err);
    assert_int_equal(oci_config_from_json(json, "config.json", &config, &err), 0);
    assert_true(config->json == json && config->text.size == 0);
    json_decref(json); /* the configuration has its own reference */
    assert_string_equal(config->process.args.items[0], "a");

    json_object_set_new(config->json, "hostname", json_string("web"));
    assert_int_equal(oci_config_from_json(config->json, "config.json", &changed, &err), 0);
    assert_null(config->hostname);
    assert_string_equal(changed->hostname, "web");

    json_object_del(changed->json, "root");
    assert_true(oci_config_from_json(changed->json, "config.json", &none, &err) < 0);
    assert_string_equal(error_text(&err), "config.json: root is missing");
    assert_true(oci_config_from_json(NULL, "config.json", &none, &err) < 0);
    assert_null(none);
    struct oci_state *parsed = NULL;
    assert_true(oci_state_from_json(changed->json, &parsed, &err) < 0);
    assert_null(parsed);
}

static void test_seccomp(void **state)
{
    static const char text[] = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":["
                               "\"read\",\"no_such_call\"],"
                               "\"action\":\"SCMP_ACT_ALLOW\"}]}";
    cleanup_error struct error err = ERROR_INIT;
    cleanup_json json_t *profile = json_parse(text, strlen(text), "profile", &err);
    struct seccomp_program program = {0};
    assert_int_equal(seccomp_filter_compile(profile, &program, &err), 0);
    assert_true(program.present && program.code.size > 0 && program.code.size % 8 == 0);
    buffer_release(&program.code);
    json_object_set_new(profile, "defaultAction", json_string("SCMP_ACT_NOTIFY"));
    assert_true(seccomp_filter_compile(profile, &program, &err) < 0);
    assert_non_null(strstr(error_text(&err), "default action"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_mount_options),
        cmocka_unit_test(test_state),
        cmocka_unit_test(state_of_a_later_version_is_refused),
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_seccomp),
    };
    return cmocka_run_group_tests_name("oci", tests, NULL, NULL);
}
