/* SPDX-License-Identifier: Apache-2.0 */
/* libenclave without an enclave: detection, the agent's frames, the process of an exec. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../abi/manifest.h"
#include "enclave/agent_wire.h"
#include "enclave/deployment.h"
#include "enclave/describe.h"
#include "enclave/enclave.h"
#include "enclave/levels.h"
#include "enclave/process.h"
#include "enclave/settings.h"

static struct oci_config *parse(const char *env, const char *annotations)
{
    struct error err = ERROR_INIT;
    struct oci_config *config = NULL;
    char text[2048];
    snprintf(
        text, sizeof(text),
        "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"cwd\":\"/\","
        "\"user\":{\"uid\":5,\"gid\":6,\"additionalGids\":[7,8]},\"args\":[\"sh\",\"-c\",\"\"],"
        "\"env\":[%s]},\"annotations\":{%s}}",
        env, annotations);
    if (oci_config_parse(text, strlen(text), "test", &config, &err) < 0)
        fail_msg("%s", error_text(&err));
    return config;
}

static int detect(const char *env, const char *annotations, bool forced,
                  struct enclave_request *out, struct error *err)
{
    struct oci_config *config = parse(env, annotations);
    int result = enclave_request_read(config, forced, out, err);
    oci_config_free(config);
    return result;
}

static void test_ordinary(void **state)
{
    struct enclave_request request;
    assert_int_equal(detect("\"PATH=/bin\"", "\"other\":\"x\"", false, &request, NULL), 0);
    assert_int_equal(detect("\"RUNE_CARRIER=none\"", "", false, &request, NULL), 0);
    assert_int_equal(detect("\"ENCLAVE_TYPE=\"", "", false, &request, NULL), 0);
    /* Arguments alone ask for nothing. */
    assert_int_equal(detect("\"ENCLAVE_RUNTIME_ARGS=x\"", "", false, &request, NULL), 0);
    /* A pod's sandbox is ordinary, whatever else is said; its containers are not. */
    static const char sandbox[] = "\"enclave.type\":\"auto\","
                                  "\"io.kubernetes.cri.container-type\":\"sandbox\"";
    assert_int_equal(detect("\"ENCLAVE_TYPE=auto\"", sandbox, true, &request, NULL), 0);
    assert_int_equal(
        detect("", "\"io.kubernetes.cri-o.ContainerType\":\"sandbox\"", true, &request, NULL), 0);
    assert_int_equal(
        detect("", "\"io.kubernetes.cri.container-type\":\"container\"", true, &request, NULL), 1);
    enclave_request_release(&request);
}

static void test_detected(void **state)
{
    struct enclave_request request;
    assert_int_equal(detect("", "", true, &request, NULL), 1);
    assert_true(request.builtin);
    assert_string_equal(request.type, "auto");
    assert_non_null(strstr(request.runtime, "/liberpal-libos.so"));
    enclave_request_release(&request);

    /* An annotation is above a variable. */
    assert_int_equal(
        detect("\"ENCLAVE_TYPE=intelSgx\",\"ENCLAVE_RUNTIME_PATH=/lib/a.so\"",
               "\"enclave.type\":\"simulatedSgx\",\"enclave.runtime.loglevel\":\"debug\"", false,
               &request, NULL),
        1);
    assert_false(request.builtin);
    assert_string_equal(request.type, "simulatedSgx");
    assert_string_equal(request.runtime, "/lib/a.so");
    assert_string_equal(request.log_level, "debug");
    enclave_request_release(&request);

    assert_int_equal(
        detect("", "\"enclave.mode\":\"debug\",\"enclave.trace\":\"all\"", true, &request, NULL),
        1);
    assert_string_equal(request.trace, "all");
    enclave_request_release(&request);

    assert_int_equal(detect("", "\"enclave.runtime.path\":\"skeleton\"", false, &request, NULL), 1);
    assert_non_null(strstr(request.runtime, "/liberpal-skeleton.so"));
    assert_false(request.builtin);
    enclave_request_release(&request);
}

static void refused(const char *env, const char *annotations, const char *part)
{
    struct error err = ERROR_INIT;
    struct enclave_request request;
    assert_true(detect(env, annotations, false, &request, &err) < 0);
    if (strstr(error_text(&err), part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error_text(&err), part);
    error_release(&err);
}

static void test_refused(void **state)
{
    refused("", "\"enclave.type\":\"amdSev\"", "amdSev");
    refused("\"RUNE_CARRIER=other\"", "", "ENCLAVE_RUNTIME_PATH");
    refused("", "\"enclave.runtime.path\":\"some/where.so\"", "absolute");
    refused("\"ENCLAVE_TYPE=auto\",\"ENCLAVE_RUNTIME_LOGLEVEL=loud\"", "", "loud");
}

/* ---- the policy ---- */

static int read_policy(const char *exec, const char *signals, enum enclave_mode mode,
                       struct policy *out, struct error *err)
{
    const struct oci_process process = {.no_new_privileges = true};
    const struct enclave_policy_wish wish = {.exec = (char *)(uintptr_t)exec,
                                             .signals = (char *)(uintptr_t)signals};
    return policy_read(&wish, mode, &process, out, err);
}

static void test_policy_defaults(void **state)
{
    struct policy policy;
    assert_int_equal(read_policy(NULL, NULL, ENCLAVE_MODE_PRODUCTION, &policy, NULL), 0);
    assert_int_equal(policy.manifest.exec, MANIFEST_EXEC_NONE);
    assert_int_equal(policy.manifest.flags,
                     MANIFEST_POLICY_STDIN | MANIFEST_POLICY_STDOUT | MANIFEST_POLICY_NO_NEW_PRIVS);
    assert_true(policy.manifest.signals == MANIFEST_SIGNALS_DEFAULT);
    assert_int_equal(policy.manifest.log_level, 2);
    policy_release(&policy);
    assert_int_equal(read_policy(NULL, NULL, ENCLAVE_MODE_DEBUG, &policy, NULL), 0);
    assert_int_equal(policy.manifest.exec, MANIFEST_EXEC_ANY);
    assert_true(policy.manifest.signals == ~MANIFEST_SIGNALS_NEVER);
    policy_release(&policy);
    /* What is said holds in either mode. */
    assert_int_equal(read_policy("none", "none", ENCLAVE_MODE_DEBUG, &policy, NULL), 0);
    assert_true(policy.manifest.exec == MANIFEST_EXEC_NONE && policy.manifest.signals == 0);
    policy_release(&policy);
}

static void test_policy_signals(void **state)
{
    struct policy policy;
    struct error err = ERROR_INIT;
    assert_int_equal(read_policy(NULL, "SIGTERM, usr1,any-process RTMIN+3 9",
                                 ENCLAVE_MODE_PRODUCTION, &policy, NULL),
                     0);
    assert_true(policy.manifest.signals ==
                (1ull << 14 | 1ull << 9 | 1ull << (SIGRTMIN + 2) | 1ull << 8));
    assert_true(policy.manifest.flags & MANIFEST_POLICY_SIGNAL_ANY_PROCESS);
    policy_release(&policy);
    static const char *const bad[] = {"SEGV", "TERM,SIGBUS", "0", "65", "TERM;INT", "4"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(read_policy(NULL, bad[i], ENCLAVE_MODE_PRODUCTION, &policy, &err) < 0);
        assert_non_null(strstr(error_text(&err), "enclave.signals"));
        error_release(&err);
        policy_release(&policy);
    }
}

/* The list as records, and the line that tells of it. */
static void test_policy_list(void **state)
{
    static const char list[] = "[[\"cat\",{\"pattern\":\"/log/*\"}],"
                               "{\"args\":[\"x\"],\"env\":[\"A=1\"],\"cwd\":[\"/\"],"
                               "\"terminal\":true}]";
    struct policy policy;
    bool insecure;
    assert_int_equal(read_policy(list, NULL, ENCLAVE_MODE_PRODUCTION, &policy, NULL), 0);
    assert_true(policy.command_count == 2 && policy.manifest.exec == MANIFEST_EXEC_LIST);
    assert_true(policy.commands[0].arg_count == 2 && policy.commands[0].args[1].pattern);
    assert_string_equal(policy.commands[0].args[1].text, "/log/*");
    assert_true(!policy.commands[0].terminal && policy.commands[1].terminal);
    assert_string_equal(policy.commands[1].env[0].text, "A=1");

    struct oci_config *config = parse("\"A=1\"", "");
    struct deployment deployment;
    assert_int_equal(deployment_from_config(config, &policy, NULL, &deployment, NULL), 0);
    assert_int_equal(deployment.manifest.command_count, 2);
    deployment_release(&deployment);
    oci_config_free(config);
    policy_release(&policy);

    struct {
        struct manifest_deployment_header header;
        struct manifest_record record;
        struct manifest_policy policy;
    } blob = {.record = {MANIFEST_POLICY, sizeof(struct manifest_policy)},
              .policy = {.exec = MANIFEST_EXEC_ANY, .flags = MANIFEST_POLICY_LOOPBACK_HOST}};
    char *text = deployment_describe(&blob, sizeof(blob), true, NULL, &insecure);
    assert_string_equal(text,
                        "exec any (insecure), debuggable (insecure), host loopback (insecure)");
    assert_true(insecure);
    free(text);
    for (size_t size = 0; size < sizeof(blob); size++) {
        text = deployment_describe(&blob, size, false, NULL, &insecure);
        assert_true(text[0] == '\0' && !insecure);
        free(text);
    }
    /* Each thing that weakens an enclave is named so by itself. */
    static const struct {
        struct manifest_policy policy;
        const char *text;
        bool insecure;
    } lines[] = {
        {{.exec = MANIFEST_EXEC_ANY}, "exec any (insecure)", true},
        {{.flags = MANIFEST_POLICY_LOOPBACK_HOST}, "host loopback (insecure)", true},
        {{.flags = MANIFEST_POLICY_SIGNAL_ANY_PROCESS}, "signals to any process (insecure)", true},
        {{.signals = UINT64_MAX}, "further signals", false},
        {{.signals = MANIFEST_SIGNALS_DEFAULT}, "", false},
        {{.flags = MANIFEST_POLICY_STDIN | MANIFEST_POLICY_STDOUT}, "", false},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        blob.policy = lines[i].policy;
        text = deployment_describe(&blob, sizeof(blob), false, NULL, &insecure);
        assert_string_equal(text, lines[i].text);
        assert_int_equal(insecure, lines[i].insecure);
        free(text);
    }
}

static void test_environment(void **state)
{
    struct oci_config *config = parse(
        "\"A=1\",\"ENCLAVE_TYPE=auto\",\"RUNE_CARRIER=libos\",\"B=2\","
        "\"ENCLAVE_TYPES=kept\"",
        "");
    enclave_strip_environment(&config->process);
    assert_int_equal(config->process.env.count, 3);
    assert_string_equal(config->process.env.items[0], "A=1");
    assert_string_equal(config->process.env.items[1], "B=2");
    assert_string_equal(config->process.env.items[2], "ENCLAVE_TYPES=kept");
    assert_null(config->process.env.items[3]);
    oci_config_free(config);
}

/* An exec's process through a socket pair: what arrives is what was sent, descriptors included. */
static void test_process_frame(void **state)
{
    int pair[2], ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct oci_config *config = parse("\"A=1\",\"B=\"", "");
    config->process.args.items[2] = "not UTF-8: \xff\xfe";
    config->process.terminal = true;

    struct enclave_process sent, received;
    struct buffer blob = BUFFER_INIT;
    struct error err = ERROR_INIT;
    enclave_process_from_oci(&config->process, &sent);
    sent.args.capabilities = UINT64_MAX;
    json_t *json = enclave_process_encode(&sent, &blob);
    const int fds[3] = {ends[1], ends[1], ends[1]};
    assert_int_equal(agent_send(pair[0], AGENT_EXEC, json, blob.data, blob.size, fds, 3), 0);

    struct agent_frame frame;
    assert_int_equal(agent_recv(pair[1], &frame, &err), 1);
    assert_int_equal(frame.type, AGENT_EXEC);
    if (enclave_process_decode(&frame, &received, &err) < 0)
        fail_msg("%s", error_text(&err));
    assert_string_equal(received.args.argv[0], "sh");
    assert_string_equal(received.args.argv[2], "not UTF-8: \xff\xfe");
    assert_null(received.args.argv[3]);
    assert_string_equal(received.args.env[1], "B=");
    assert_null(received.args.env[2]);
    assert_string_equal(received.args.cwd, "/");
    assert_int_equal(received.args.uid, 5);
    assert_int_equal(received.args.group_count, 2);
    assert_int_equal(received.args.groups[1], 8);
    assert_int_equal(received.args.umask, 022);
    assert_true(received.args.capabilities == UINT64_MAX);
    assert_int_equal(received.args.flags, PAL_PROCESS_TERMINAL | PAL_PROCESS_HAS_LIMITS);
    assert_memory_equal(received.args.rlimits, sent.args.rlimits, sizeof(sent.args.rlimits));
    assert_int_equal(write(received.args.stdio[1], "x", 1), 1);
    char byte = 0;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');

    enclave_process_release(&received);
    enclave_process_release(&sent);
    agent_frame_release(&frame);
    buffer_release(&blob);
    json_decref(json);
    oci_config_free(config);
    close(pair[0]);
    assert_int_equal(agent_recv(pair[1], &frame, &err), 0); /* a closed peer is an end, no error */
    agent_frame_release(&frame);
    close(pair[1]);
    close(ends[0]);
    close(ends[1]);
}

static void send_raw(int fd, struct agent_header header, const char *body)
{
    assert_int_equal(write(fd, &header, sizeof(header)), sizeof(header));
    assert_int_equal(write(fd, body, strlen(body)), strlen(body));
}

static void bad_frame(struct agent_header header, const char *body, const char *part)
{
    int pair[2];
    struct error err = ERROR_INIT;
    struct agent_frame frame;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    send_raw(pair[0], header, body);
    close(pair[0]);
    assert_true(agent_recv(pair[1], &frame, &err) < 0);
    if (strstr(error_text(&err), part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error_text(&err), part);
    agent_frame_release(&frame);
    error_release(&err);
    close(pair[1]);
}

static void test_bad_frames(void **state)
{
    bad_frame((struct agent_header){1, AGENT_VERSION, AGENT_INFO, 0, 0}, "", "version");
    bad_frame((struct agent_header){AGENT_MAGIC, 9, AGENT_INFO, 0, 0}, "", "version 9");
    bad_frame((struct agent_header){AGENT_MAGIC, AGENT_VERSION, AGENT_INFO, UINT32_MAX, 0}, "",
              "too large");
    bad_frame((struct agent_header){AGENT_MAGIC, AGENT_VERSION, AGENT_INFO, 10, 0}, "{",
              "read a frame");
    bad_frame((struct agent_header){AGENT_MAGIC, AGENT_VERSION, AGENT_INFO, 3, 0}, "{x}",
              "agent frame");
}

/* A request that claims more strings than its blob has. */
static void test_short_process(void **state)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct agent_frame frame = {.type = AGENT_EXEC, .fds = {fd, dup(fd), dup(fd)}};
    struct enclave_process process = {0};
    struct error err = ERROR_INIT;
    json_t *limits = json_array();
    for (int i = 0; i < 2 * PAL_RLIMIT_COUNT; i++)
        json_array_append_new(limits, json_integer(0));
    frame.json = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:[], s:o}", "argc", 3, "envc", 0,
                           "flags", 0, "uid", 0, "gid", 0, "umask", 0, "capabilities", 0, "groups",
                           "rlimits", limits);
    frame.blob = strdup("a");
    frame.blob_size = 2;
    assert_true(enclave_process_decode(&frame, &process, &err) < 0);
    assert_non_null(strstr(error_text(&err), "cut short"));
    enclave_process_release(&process);
    agent_frame_release(&frame);
    error_release(&err);
}

static void test_settings(void **state)
{
    const char *mounts[] = {"/data", "/etc/hosts"};
    struct enclave_settings sent = {.type = "auto",
                                    .runtime = "/lib/x.so",
                                    .args = "a b",
                                    .trace = "openat",
                                    .memory_limit = 1 << 30,
                                    .thread_limit = 99,
                                    .mounts = mounts,
                                    .mount_count = 2};
    struct enclave_settings received;
    struct error err = ERROR_INIT;
    int fd = enclave_settings_write(&sent, &err);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1); /* sealed */
    assert_int_equal(enclave_settings_read(fd, &received, &err), 0);
    assert_string_equal(received.runtime, "/lib/x.so");
    assert_string_equal(received.args, "a b");
    assert_null(received.log_level);
    assert_string_equal(received.trace, "openat");
    assert_int_equal(received.memory_limit, 1 << 30);
    assert_int_equal(received.thread_limit, 99);
    assert_int_equal(received.mount_count, 2);
    assert_string_equal(received.mounts[1], "/etc/hosts");
    free(received.mounts);
    json_decref(received.json);
    close(fd);
}

/* What create accepts in capital letters, the LibOS had taken for no level at all. */
static void test_levels(void **state)
{
    assert_int_equal(enclave_level_of("off"), ENCLAVE_LEVEL_OFF);
    assert_int_equal(enclave_level_of("fatal"), 0);
    assert_int_equal(enclave_level_of("DEBUG"), 4);
    assert_int_equal(enclave_level_of("Trace"), 5);
    assert_int_equal(enclave_level_of("verbose"), ENCLAVE_LEVEL_UNKNOWN);
    assert_int_equal(enclave_level_of(""), ENCLAVE_LEVEL_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),          cmocka_unit_test(test_ordinary),
        cmocka_unit_test(test_detected),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_policy_defaults), cmocka_unit_test(test_policy_signals),
        cmocka_unit_test(test_policy_list),     cmocka_unit_test(test_environment),
        cmocka_unit_test(test_process_frame),   cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_short_process),   cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
