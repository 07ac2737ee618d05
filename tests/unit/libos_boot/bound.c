/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds from JSON to the LibOS's verdict: for each member deployments inside and outside, with the
 * line that the refusal names; JSON that is refused; blobs that no converter makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../fuzz/libos_bound.h"
#include "bound.h"
#include "enclave/bundle/bound_build.h"
#include "enclave/bundle/bundle.h"
#include "manifest.h"

#define LIST(...)         \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }
/* A deployment that says as little as one can. */
#define LEAST .args = LIST("/srv"), .cwd = "/", .uid = 7, .gid = 8, .umask = 022
#define MOUNTS(...)                                                     \
    .mounts = (const struct bundle_mount[]){__VA_ARGS__},               \
    .mount_count = sizeof((const struct bundle_mount[]){__VA_ARGS__}) / \
                   sizeof(struct bundle_mount)
#define TMPFS(at, ...)                                                           \
    {                                                                            \
        .kind = MANIFEST_MOUNT_TMPFS, .target = (at), .mode = 01777, __VA_ARGS__ \
    }
#define HOST(at, f, ...)                                                 \
    {                                                                    \
        .kind = MANIFEST_MOUNT_PASSTHROUGH, .target = (at), .flags = (f) \
    }
#define CLOSED MANIFEST_MOUNT_READONLY
#define INSIDE NULL

/* The bound is this with the row's text as line 4, or the row's text alone when it is an object. */
#define HEAD "{\"version\": 1,\n\"args\": [[\"/srv\"]],\n\"user\": {\"uid\": 7, \"gid\": 8}"

static const struct row {
    const char *bound;
    struct bundle_deployment d;
    const char *refusal; /* part of the message */
} g_rows[] = {
    {"", {LEAST}, INSIDE},

    /* args */
    {"",
     {LEAST, .args = LIST("/srv", "-x")},
     "argument 1 of process 1: no rule of args (bound.json:2)"},
    {"", {LEAST, .args = LIST("/bin/sh")}, "argument 0 of process 1"},
    {"", {LEAST, .args = LIST("/srv\n")}, "argument 0"},
#define ARGS(text) "{\"version\": 1, \"user\": {\"uid\": 7, \"gid\": 8},\n\"args\": " text "}"
    {ARGS("[[\"a*\", \"b\"]]"), {LEAST, .args = LIST("a*", "b")}, INSIDE},
    {ARGS("[[\"a*\", \"b\"]]"), {LEAST, .args = LIST("ax", "b")}, "argument 0"},
    {ARGS("[[\"a\", \"b\"]]"), {LEAST, .args = LIST("a")}, "argument 1 of process 1 (missing)"},
    {ARGS("[[\"a\"], [\"b\", {\"pattern\": \"--n=?\"}]]"),
     {LEAST, .args = LIST("b", "--n=3")},
     INSIDE},
    {ARGS("[[\"a\"], [\"b\", {\"pattern\": \"--n=?\"}]]"),
     {LEAST, .args = LIST("b", "--n=33")},
     "argument 1"},
    {ARGS("[[\"a\"], [\"b\", {\"pattern\": \"--n=?\"}]]"),
     {LEAST, .args = LIST("a", "--n=3")},
     "argument 1"},
    {ARGS("[[\"a\", {\"any\": true, \"repeat\": true}]]"), {LEAST, .args = LIST("a")}, INSIDE},
    {ARGS("[[\"a\", {\"any\": true, \"repeat\": true}]]"),
     {LEAST, .args = LIST("a", "x", "", "y")},
     INSIDE},
    {ARGS("[[\"a\", {\"pattern\": \"-*\", \"repeat\": true}]]"),
     {LEAST, .args = LIST("a", "-x", "y")},
     "argument 2"},
    {ARGS("[[\"a\", {\"any\": true}]]"), {LEAST, .args = LIST("a", "x", "y")}, "argument 2"},

    /* env */
    {"", {LEAST, .env = LIST("A=1")}, "environment variable A: the bound has no env"},
    {",\n\"env\": [\"A=1\"]", {LEAST, .env = LIST("A=1")}, INSIDE},
    {",\n\"env\": [\"A=1\"]",
     {LEAST},
     "environment variable A is missing: env (bound.json:4) requires it"},
    {",\n\"env\": [\"A=1\"]",
     {LEAST, .env = LIST("A=1", "LD_PRELOAD=/x")},
     "environment variable LD_PRELOAD: no rule of env (bound.json:4) allows it"},
    {",\n\"env\": [\n\"A=1\"]",
     {LEAST, .env = LIST("A=2")},
     "environment variable A: env (bound.json:5) does not allow it"},
    {",\n\"env\": [\"A=1\", {\"name\": \"A\", \"any\": true}]",
     {LEAST, .env = LIST("A=1", "A=2")},
     "A twice"},
    {",\n\"env\": [\"A=1\"]", {LEAST, .env = LIST("A")}, "without a name or a value"},
    {",\n\"env\": [{\"namePattern\": \"*\", \"any\": true}]",
     {LEAST, .env = LIST("=1")},
     "without a name or a value"},
    {",\n\"env\": [{\"name\": \"A\", \"pattern\": \"x?\", \"optional\": true}]", {LEAST}, INSIDE},
    {",\n\"env\": [{\"name\": \"A\", \"pattern\": \"x?\", \"optional\": true}]",
     {LEAST, .env = LIST("A=xy")},
     INSIDE},
    {",\n\"env\": [{\"name\": \"A\", \"pattern\": \"x?\", \"optional\": true}]",
     {LEAST, .env = LIST("A=x")},
     "variable A"},
    {",\n\"env\": [{\"namePattern\": \"*_HOST\", \"any\": true}]",
     {LEAST, .env = LIST("B_HOST=q=r")},
     INSIDE},
    {",\n\"env\": [{\"namePattern\": \"*_HOST\", \"any\": true}]",
     {LEAST, .env = LIST("B_HOSTS=q")},
     "variable B_HOSTS"},
    {",\n\"env\": [{\"namePattern\": \"*_HOST\", \"any\": true}]", {LEAST}, "*_HOST is missing"},
    {",\n\"env\": [{\"namePattern\": \"A?\", \"any\": true}]",
     {LEAST, .env = LIST("A=B=1")},
     "variable A:"},

    /* cwd, names */
    {"", {LEAST, .cwd = NULL}, INSIDE},
    {"", {LEAST, .cwd = "/tmp"}, "working directory /tmp: the bound has no cwd"},
    {",\n\"cwd\": \"/a\"", {LEAST, .cwd = "/a"}, INSIDE},
    {",\n\"cwd\": \"/a\"", {LEAST, .cwd = "/a/../b"}, "working directory"},
    {",\n\"cwd\": \"/a\"",
     {LEAST, .cwd = NULL},
     "working directory /: no rule of cwd (bound.json:4)"},
    {",\n\"cwd\": [\"/a\", {\"pattern\": \"/b*\"}]", {LEAST, .cwd = "/bc"}, INSIDE},
    {",\n\"cwd\": [\"/a\", {\"pattern\": \"/b*\"}]",
     {LEAST, .cwd = "/b/../etc"},
     "working directory /b/../etc"},
    {",\n\"cwd\": [\"/b/..\", {\"pattern\": \"/b*\"}]", {LEAST, .cwd = "/b/.."}, INSIDE},
    {",\n\"cwd\": {\"any\": true}", {LEAST, .cwd = "/b/../etc"}, INSIDE},
    {"", {LEAST, .hostname = "x"}, "hostname x: the bound has no hostname"},
    {",\n\"hostname\": {\"any\": true}", {LEAST, .hostname = "x"}, INSIDE},
    {",\n\"hostname\": \"x\"", {LEAST, .hostname = "y"}, "hostname y"},
    {",\n\"hostname\": \"x\"", {LEAST}, "hostname localhost"},
    {"", {LEAST, .domainname = "x"}, "domainname x"},
    {",\n\"domainname\": \"x\"", {LEAST, .domainname = "x"}, INSIDE},

    /* user */
    {"", {LEAST, .uid = 0}, "user 0: no rule of user.uid (bound.json:3)"},
    {"", {LEAST, .gid = 0}, "group 0: no rule of user.gid (bound.json:3)"},
    {"", {LEAST, .umask = 0}, "umask 000 without the bits 022: the bound has no user.umask"},
    {"", {LEAST, .umask = 077}, INSIDE},
    {"",
     {LEAST, .capabilities = 1 << 10},
     "capability number 10: the bound has no user.capabilities"},
    {"", {LEAST, .bounding = 1 << 11}, "capability number 11"},
    {"", {LEAST, .inheritable = 1 << 12}, "capability number 12"},
    {"", {LEAST, .ambient = 1 << 13}, "capability number 13"},
    {"", {LEAST, .groups = (const uint32_t[]){8}, .group_count = 1}, INSIDE},
    {"", {LEAST, .groups = (const uint32_t[]){8, 9}, .group_count = 2}, "additional group 9"},
#define USER(text) "{\"version\": 1, \"args\": [[\"/srv\"]],\n\"user\": {" text "}}"
    {USER("\"uid\": [1, \"5-7\"], \"gid\": \"any\""), {LEAST, .gid = 99}, INSIDE},
    {USER("\"uid\": [1, \"5-7\"], \"gid\": 8"), {LEAST, .uid = 8}, "user 8"},
    {USER("\"uid\": 7, \"gid\": 8, \"groups\": [\"0-4\"]"),
     {LEAST, .groups = (const uint32_t[]){0, 4}, .group_count = 2},
     INSIDE},
    {USER("\"uid\": 7, \"gid\": 8, \"groups\": [\"0-4\"]"),
     {LEAST, .groups = (const uint32_t[]){5}, .group_count = 1},
     "additional group 5"},
    {USER("\"uid\": 7, \"gid\": 8, \"capabilities\": [\"CAP_NET_BIND_SERVICE\"]"),
     {LEAST, .capabilities = 1 << 10},
     INSIDE},
    {USER("\"uid\": 7, \"gid\": 8, \"capabilities\": [\"CAP_NET_BIND_SERVICE\"]"),
     {LEAST, .capabilities = 3 << 10},
     "capability number 11: user.capabilities (bound.json:2)"},
    {USER("\"uid\": 7, \"gid\": 8, \"umask\": \"077\""), {LEAST}, "umask 022 without the bits 055"},
    {USER("\"uid\": 7, \"gid\": 8, \"umask\": \"0\""), {LEAST, .umask = 0}, INSIDE},

    /* mounts: the usual ones need no rule, all others do */
    {"",
     {LEAST, MOUNTS({.kind = MANIFEST_MOUNT_PROC, .target = "/proc"},
                    {.kind = MANIFEST_MOUNT_DEV, .target = "/dev"},
                    {.kind = MANIFEST_MOUNT_DEVPTS, .target = "/dev/pts"}, TMPFS("/dev/shm"),
                    {.kind = MANIFEST_MOUNT_MQUEUE, .target = "/dev/mqueue"},
                    {.kind = MANIFEST_MOUNT_SYSFS, .target = "/sys"},
                    {.kind = MANIFEST_MOUNT_CGROUP, .target = "/sys/fs/cgroup"})},
     INSIDE},
    {"", {LEAST, MOUNTS({.kind = MANIFEST_MOUNT_PROC, .target = "/etc"})}, "mount /etc"},
    {"", {LEAST, MOUNTS(TMPFS("/proc"))}, "mount /proc"},
    {"", {LEAST, MOUNTS({.kind = MANIFEST_MOUNT_PROC, .target = "/proc/"})}, "mount /proc/"},
    {"",
     {LEAST, MOUNTS({.kind = MANIFEST_MOUNT_SYSFS, .target = "/sys"},
                    {.kind = MANIFEST_MOUNT_SYSFS, .target = "/sys"})},
     "mount /sys"},
    {"", {LEAST, MOUNTS(HOST("/dev/shm", CLOSED))}, "mount /dev/shm"},
    {"", {LEAST, MOUNTS(TMPFS("/dev/shm", .options = "uid=7"))}, "mount /dev/shm"},
    {"", {LEAST, MOUNTS(HOST("/", CLOSED))}, "mount /"},
    {"",
     {LEAST, MOUNTS(HOST("/data", CLOSED))},
     "mount /data in this place of the order: the bound has no mounts"},
#define DATA ",\n\"mounts\": [{\"target\": \"/data\", \"kind\": \"host\"}]"
    {DATA, {LEAST, MOUNTS(HOST("/data", CLOSED))}, INSIDE},
    {DATA,
     {LEAST},
     "mount /data is missing or not in its place of the order: mounts (bound.json:4)"},
    {DATA,
     {LEAST, MOUNTS(TMPFS("/data"))},
     "mount /data with these options: mounts (bound.json:4)"},
    {DATA, {LEAST, MOUNTS(HOST("/data", CLOSED), HOST("/data", CLOSED))}, "mount /data"},
    {DATA, {LEAST, MOUNTS(HOST("/data", CLOSED), HOST("/bin", CLOSED))}, "mount /bin"},
    {DATA, {LEAST, MOUNTS(HOST("/data", 0))}, "mount /data with these options"},
    {DATA,
     {LEAST, MOUNTS(HOST("/data", CLOSED | MANIFEST_MOUNT_INSECURE_EXEC))},
     "mount /data with these options"},
    {DATA,
     {LEAST, MOUNTS(HOST("/data", CLOSED | MANIFEST_MOUNT_INSECURE_LINKS))},
     "mount /data with these options"},
#define MAY(text) \
    ",\n\"mounts\": [{\"target\": \"/data\", \"kind\": \"host\", \"may\": [" text "]}]"
    {MAY("\"write\""), {LEAST, MOUNTS(HOST("/data", 0))}, INSIDE},
    {MAY("\"write\""), {LEAST, MOUNTS(HOST("/data", CLOSED))}, INSIDE},
    {MAY("\"write\""), {LEAST, MOUNTS(HOST("/data", MANIFEST_MOUNT_INSECURE_EXEC))}, "mount /data"},
    {MAY("\"insecure-exec\""),
     {LEAST, MOUNTS(HOST("/data", CLOSED | MANIFEST_MOUNT_INSECURE_EXEC))},
     INSIDE},
    {MAY("\"insecure-exec\""),
     {LEAST, MOUNTS(HOST("/data", MANIFEST_MOUNT_INSECURE_EXEC))},
     "mount /data"},
    {MAY("\"insecure-exec\""),
     {LEAST, MOUNTS(HOST("/data", CLOSED | MANIFEST_MOUNT_INSECURE_LINKS))},
     "mount /data"},
    {MAY("\"insecure-links\""),
     {LEAST, MOUNTS(HOST("/data", CLOSED | MANIFEST_MOUNT_INSECURE_LINKS))},
     INSIDE},
    {"",
     {LEAST, MOUNTS({.kind = MANIFEST_MOUNT_DEVICE, .target = "/key", .source = "/dev/zero"})},
     "mount /key"},
#define KEY \
    ",\n\"mounts\": [{\"target\": \"/key\", \"kind\": \"device\", \"device\": \"/dev/null\"}]"
    {KEY,
     {LEAST, MOUNTS({.kind = MANIFEST_MOUNT_DEVICE, .target = "/key", .source = "/dev/null"})},
     INSIDE},
    {KEY,
     {LEAST, MOUNTS({.kind = MANIFEST_MOUNT_DEVICE, .target = "/key", .source = "/dev/zero"})},
     "mount /key"},
    {KEY, {LEAST, MOUNTS({.kind = MANIFEST_MOUNT_DEVICE, .target = "/key"})}, "mount /key"},
#define TWO                                                                      \
    ",\n\"mounts\": [{\"target\": \"/data\", \"kind\": \"host\", \"optional\": " \
    "true},\n{\"target\": \"/data/own\", \"kind\": \"tmpfs\"}]"
    {TWO, {LEAST, MOUNTS(HOST("/data", CLOSED), TMPFS("/data/own"))}, INSIDE},
    {TWO,
     {LEAST, MOUNTS({.kind = MANIFEST_MOUNT_PROC, .target = "/proc"}, TMPFS("/data/own"),
                    {.kind = MANIFEST_MOUNT_DEV, .target = "/dev"})},
     INSIDE},
    /* the host's mount would hide the enclave's */
    {TWO,
     {LEAST, MOUNTS(TMPFS("/data/own"), HOST("/data", CLOSED))},
     "mount /data in this place of the order"},
    {TWO,
     {LEAST, MOUNTS(HOST("/data", CLOSED))},
     "mount /data/own is missing or not in its place of the order: mounts (bound.json:5)"},
#define SHM                                                                                  \
    ",\n\"mounts\": [{\"target\": \"/a\", \"kind\": \"tmpfs\"}, {\"target\": \"/dev/shm\", " \
    "\"kind\": \"tmpfs\", \"mode\": \"700\", \"uid\": 7, \"optional\": true}]"
    {SHM,
     {LEAST, MOUNTS(TMPFS("/a"), TMPFS("/dev/shm", .mode = 0700, .options = "size=5,uid=7"))},
     INSIDE},
    {SHM,
     {LEAST, MOUNTS(TMPFS("/a"), TMPFS("/dev/shm", .mode = 0500, .options = "uid=7"))},
     INSIDE},
    {SHM,
     {LEAST, MOUNTS(TMPFS("/a"), TMPFS("/dev/shm", .mode = 0701, .options = "uid=7"))},
     "mount /dev/shm"},
    {SHM,
     {LEAST, MOUNTS(TMPFS("/a"), TMPFS("/dev/shm", .mode = 0, .options = "uid=7"))},
     "mount /dev/shm"}, /* 0 is 1777 */
    {SHM, {LEAST, MOUNTS(TMPFS("/a"), TMPFS("/dev/shm", .mode = 0700))}, "mount /dev/shm"},
    {SHM,
     {LEAST, MOUNTS(TMPFS("/dev/shm"), TMPFS("/a"))},
     "mount /a"}, /* a rule names it: not a usual one */

    /* limits, sysctls */
    {"",
     {LEAST, .rlimits = (const struct bundle_rlimit[]){{7, 10, 20}}, .rlimit_count = 1},
     "resource limit number 7"},
#define NOFILE \
    ",\n\"rlimits\": {\"RLIMIT_NOFILE\": {\"min\": 10, \"max\": 20}, \"RLIMIT_CORE\": {}}"
    {NOFILE, {LEAST}, INSIDE},
    {NOFILE,
     {LEAST, .rlimits = (const struct bundle_rlimit[]){{7, 10, 20}, {4, 0, UINT64_MAX}},
      .rlimit_count = 2},
     INSIDE},
    {NOFILE,
     {LEAST, .rlimits = (const struct bundle_rlimit[]){{7, 9, 20}}, .rlimit_count = 1},
     "limit number 7"},
    {NOFILE,
     {LEAST, .rlimits = (const struct bundle_rlimit[]){{7, 10, 21}}, .rlimit_count = 1},
     "limit number 7"},
    {NOFILE,
     {LEAST, .rlimits = (const struct bundle_rlimit[]){{0, 0, 0}}, .rlimit_count = 1},
     "limit number 0"},
    {"", {LEAST, .sysctls = LIST("a.b=1")}, "sysctl a.b: the bound has no sysctls"},
    {",\n\"sysctls\": [\"a.b=1\"]", {LEAST, .sysctls = LIST("a.b=1")}, INSIDE},
    {",\n\"sysctls\": [\"a.b=1\"]", {LEAST, .sysctls = LIST("a.b=2")}, "sysctl a.b"},
    {",\n\"sysctls\": [\"a.b=1\"]", {LEAST}, "sysctl a.b is missing"},

    /* root and paths: more hides the image's files, less shows them */
    {"", {LEAST, .readonly_root = true}, INSIDE},
    {",\n\"readonlyRoot\": true", {LEAST, .readonly_root = true}, INSIDE},
    {",\n\"readonlyRoot\": true",
     {LEAST},
     "a root that is not read-only: readonlyRoot (bound.json:4)"},
    {",\n\"readonlyRoot\": false", {LEAST, .readonly_root = true}, "a root that is read-only"},
    {"",
     {LEAST, .masked_paths = LIST("/proc/kcore", "/sys/devices/system/cpu/cpu12/thermal_throttle")},
     INSIDE},
    {"",
     {LEAST, .masked_paths = LIST("/etc/policy")},
     "masked path /etc/policy: the bound has no maskedPaths"},
    {"", {LEAST, .masked_paths = LIST("/proc/1/root/etc/policy")}, "masked path"},
    {",\n\"maskedPaths\": [\"/key\"]",
     {LEAST, .masked_paths = LIST("/proc/kcore", "/key")},
     INSIDE},
    {",\n\"maskedPaths\": [\"/key\"]",
     {LEAST, .masked_paths = LIST("/proc/kcore")},
     "masked /key is missing"},
    {",\n\"maskedPaths\": [{\"value\": \"/key\", \"optional\": true}]", {LEAST}, INSIDE},
    {"", {LEAST, .readonly_paths = LIST("/proc/sys")}, INSIDE},
    {"", {LEAST, .readonly_paths = LIST("/var/log")}, "read-only path /var/log"},
    {",\n\"readonlyPaths\": [\"/etc\"]", {LEAST}, "read-only /etc is missing"},

/* what the host may do */
#define TERMINAL .terminal = true, .policy.flags = MANIFEST_POLICY_STDIN | MANIFEST_POLICY_STDOUT
    {",\n\"stdin\": true, \"stdout\": true",
     {LEAST, TERMINAL},
     "a terminal: the bound has no terminal"},
    {",\n\"stdin\": true, \"stdout\": true, \"terminal\": true", {LEAST, TERMINAL}, INSIDE},
    {",\n\"stdin\": true, \"stdout\": true, \"terminal\": false",
     {LEAST, TERMINAL},
     "a terminal: terminal (bound.json:4) does not allow it"},
    {",\n\"terminal\": true", {LEAST, TERMINAL}, "standard input from the host"},
    {"", {LEAST, .policy.exec = MANIFEST_EXEC_ANY}, "exec of any command: the bound has no exec"},
    {",\n\"exec\": \"none\"", {LEAST, .policy.exec = MANIFEST_EXEC_ANY}, "exec (bound.json:4)"},
    {",\n\"exec\": [[\"/srv\"]]", {LEAST, .policy.exec = MANIFEST_EXEC_ANY}, "exec (bound.json:4)"},
    {",\n\"exec\": \"any\"", {LEAST, .policy.exec = MANIFEST_EXEC_ANY}, INSIDE},
    {",\n\"exec\": \"any\"", {LEAST}, INSIDE},
    {"", {LEAST, .policy.signals = 1 << 14}, "signal 15 from the host: the bound has no signals"},
    {",\n\"signals\": [\"TERM\", \"SIGINT\"]", {LEAST, .policy.signals = 1 << 14 | 1 << 1}, INSIDE},
    {",\n\"signals\": [\"TERM\", \"SIGINT\"]",
     {LEAST, .policy.signals = 1 << 14 | 1 << 9},
     "signal 10 from the host"},
    {",\n\"signals\": \"default\"", {LEAST, .policy.signals = MANIFEST_SIGNALS_DEFAULT}, INSIDE},
    {",\n\"signals\": \"default\"", {LEAST, .policy.signals = ~0ull}, "signals (bound.json:4)"},
    {",\n\"signals\": \"any\"", {LEAST, .policy.signals = ~0ull}, INSIDE},
    {",\n\"signals\": [\"RTMIN+3\"]", {LEAST, .policy.signals = 1ull << 36}, INSIDE},
    {"",
     {LEAST, .policy.flags = MANIFEST_POLICY_SIGNAL_ANY_PROCESS},
     "any process: the bound has no signalAnyProcess"},
    {",\n\"signalAnyProcess\": true",
     {LEAST, .policy.flags = MANIFEST_POLICY_SIGNAL_ANY_PROCESS},
     INSIDE},
    {"",
     {LEAST, .policy.flags = MANIFEST_POLICY_STDIN},
     "standard input from the host: the bound has no stdin"},
    {",\n\"stdin\": true", {LEAST, .policy.flags = MANIFEST_POLICY_STDIN}, INSIDE},
    {"",
     {LEAST, .policy.flags = MANIFEST_POLICY_STDOUT},
     "standard output to the host: the bound has no stdout"},
    {",\n\"stdout\": true", {LEAST, .policy.flags = MANIFEST_POLICY_STDOUT}, INSIDE},
    {"",
     {LEAST, .policy.flags = MANIFEST_POLICY_LOOPBACK_HOST},
     "the host's loopback: the bound has no loopback"},
    {",\n\"loopback\": \"enclave\"",
     {LEAST, .policy.flags = MANIFEST_POLICY_LOOPBACK_HOST},
     "loopback (bound.json:4)"},
    {",\n\"loopback\": \"host\"", {LEAST, .policy.flags = MANIFEST_POLICY_LOOPBACK_HOST}, INSIDE},
    {"", {LEAST, .policy.flags = MANIFEST_POLICY_NO_NEW_PRIVS}, INSIDE},
    {",\n\"noNewPrivileges\": true", {LEAST, .policy.flags = MANIFEST_POLICY_NO_NEW_PRIVS}, INSIDE},
    {",\n\"noNewPrivileges\": true",
     {LEAST},
     "without no_new_privs: noNewPrivileges (bound.json:4)"},
};

static void compile(const char *bound, struct buffer *blob)
{
    struct buffer text = BUFFER_INIT;
    struct error err = ERROR_INIT;
    if (bound[0] == '{')
        buffer_append_text(&text, bound);
    else
        buffer_append_format(&text, "%s%s}", HEAD, bound);
    if (bound_compile(buffer_text(&text), text.size, "bound.json", blob, &err) < 0)
        fail_msg("%s: %s", buffer_text(&text), error_text(&err));
    buffer_release(&text);
}

static void test_rows(void **state)
{
    for (size_t i = 0; i < sizeof(g_rows) / sizeof(g_rows[0]); i++) {
        struct buffer bound = BUFFER_INIT, deployment = BUFFER_INIT;
        const char *message, *wanted = g_rows[i].refusal;
        uint8_t hash[32];
        compile(g_rows[i].bound, &bound);
        assert_int_equal(bundle_deployment_build(&g_rows[i].d, &deployment, hash, NULL), 0);
        int r = bound_trial(deployment.data, deployment.size, bound.data, bound.size, &message);
        if ((r == 0) != (wanted == INSIDE) || (wanted && !strstr(message, wanted)) ||
            (wanted &&
             strncmp(message, "the deployment is outside of the image's bound: ", 48) != 0))
            fail_msg("row %zu, %s: %d, %s, wanted %s", i, g_rows[i].bound, r, message,
                     wanted ? wanted : "inside");
        buffer_release(&bound);
        buffer_release(&deployment);
    }
}

/* ---- lists of commands: each of the deployment's is covered by one of the bound's ---- */

/* Texts that begin with '~' are patterns. */
struct command {
    bool terminal;
    const char *args[5], *env[3], *cwd[3];
};

static const struct {
    const char *exec;
    struct command command;
    bool inside;
} g_commands[] = {
    {"[[\"a\", \"b\"]]", {.args = {"a", "b"}}, true},
    {"[[\"a\", \"b\"]]", {.args = {"a"}}, false},
    {"[[\"a\", \"b\"]]", {.args = {"a", "b", "c"}}, false},
    {"[[\"a\", \"b\"]]", {.args = {"a", "~b"}}, true},
    {"[[\"a\", \"b\"]]", {.args = {"a", "~?"}}, false},
    {"[[\"a\", \"b\"]]", {.args = {"a", "~*"}}, false},
    {"[[\"a\", {\"pattern\": \"-n?\"}]]", {.args = {"a", "-n1"}}, true},
    {"[[\"a\", {\"pattern\": \"-n?\"}]]", {.args = {"a", "~-n?"}}, true},
    {"[[\"a\", {\"pattern\": \"-n?\"}]]", {.args = {"a", "~-n*"}}, false},
    {"[[\"a\", {\"pattern\": \"-n?\"}]]", {.args = {"a", "-n*"}}, true}, /* a byte, no wildcard */
    {"[[\"a\", {\"pattern\": \"-n?\"}]]", {.args = {"a", "~-n\\*"}}, true},
    {"[[\"a\", {\"pattern\": \"/d/*\"}]]", {.args = {"a", "/d/../e"}}, false},
    {"[[\"a\", {\"pattern\": \"/d/*\"}]]", {.args = {"a", "~/d/?*"}}, true},
    {"[[\"a\", {\"any\": true}]]", {.args = {"a", "~*"}}, true},
    {"[[\"a\", {\"pattern\": \"-*\", \"repeat\": true}]]", {.args = {"a"}}, true},
    {"[[\"a\", {\"pattern\": \"-*\", \"repeat\": true}]]", {.args = {"a", "-x", "~-y*"}}, true},
    {"[[\"a\", {\"pattern\": \"-*\", \"repeat\": true}]]", {.args = {"a", "-x", "~*"}}, false},
    {"[[\"b\"], [\"a\"]]", {.args = {"a"}}, true},
    {"\"any\"", {.args = {"~*"}}, true},
    {"\"none\"", {.args = {"a"}}, false},
    {"[[\"a\"]]", {.args = {"a"}, .env = {"E=1"}}, false},
#define FULL                                                                      \
    "[{\"args\": [\"a\"], \"env\": [\"E=1\", {\"pattern\": \"F=x*\"}], \"cwd\": " \
    "[\"/c\"], \"terminal\": true}]"
    {FULL, {.args = {"a"}}, true},
    {FULL, {.args = {"a"}, .env = {"E=1", "~F=x?"}, .cwd = {"/c"}, .terminal = true}, true},
    {FULL, {.args = {"a"}, .env = {"E=2"}}, false},
    {FULL, {.args = {"a"}, .env = {"~F=*"}}, false},
    {FULL, {.args = {"a"}, .env = {"LD_PRELOAD=/x"}}, false},
    {FULL, {.args = {"a"}, .cwd = {"/c", "/d"}}, false},
    {FULL, {.args = {"a", "E=1"}}, false}, /* a variable of the bound is no argument */
    {FULL, {.args = {"/c"}}, false},
    {"[{\"args\": [\"a\"], \"terminal\": false}]", {.args = {"a"}, .terminal = true}, false},
    {"[{\"args\": [\"a\", {\"pattern\": \"b*\", \"repeat\": true}], \"env\": [\"E=1\"]}]",
     {.args = {"a", "b", "bb"}, .env = {"E=1"}},
     true},
    {"[{\"args\": [\"a\", {\"any\": true, \"repeat\": true}], \"env\": [\"E=1\"]}]",
     {.args = {"a", "b"}, .env = {"b=1"}},
     false},
};

static uint32_t add_texts(struct buffer *blob, const char *const *texts)
{
    uint32_t count = 0;
    for (; texts[count]; count++) {
        const char *text = texts[count];
        struct manifest_text t = {.flags = *text == '~' ? MANIFEST_TEXT_PATTERN : 0};
        text += *text == '~';
        t.size = (uint32_t)strlen(text);
        buffer_append(blob, &t, sizeof(t));
        buffer_append(blob, text, t.size);
    }
    return count;
}

/* The record, behind those of a deployment. */
static void append_command(struct buffer *deployment, const struct command *c)
{
    static const char zeros[8];
    struct manifest_deployment_header header;
    struct manifest_record record = {.type = MANIFEST_COMMAND};
    struct manifest_command command = {.flags = c->terminal ? MANIFEST_COMMAND_TERMINAL : 0};
    struct buffer texts = BUFFER_INIT;
    command.arg_count = add_texts(&texts, c->args);
    command.env_count = add_texts(&texts, c->env);
    command.cwd_count = add_texts(&texts, c->cwd);
    record.size = (uint32_t)(sizeof(command) + texts.size);
    buffer_append(deployment, &record, sizeof(record));
    buffer_append(deployment, &command, sizeof(command));
    buffer_append(deployment, texts.data, texts.size);
    buffer_append(deployment, zeros, (8 - deployment->size % 8) % 8);
    memcpy(&header, deployment->data, sizeof(header));
    header.record_count++;
    header.size = deployment->size;
    memcpy(deployment->data, &header, sizeof(header));
    buffer_release(&texts);
}

static void test_commands(void **state)
{
    for (size_t i = 0; i < sizeof(g_commands) / sizeof(g_commands[0]); i++) {
        struct bundle_deployment d = {
            LEAST, .policy = {.exec = MANIFEST_EXEC_LIST,
                              .flags = MANIFEST_POLICY_STDIN | MANIFEST_POLICY_STDOUT}};
        struct buffer text = BUFFER_INIT, bound = BUFFER_INIT, deployment = BUFFER_INIT;
        const char *message;
        uint8_t hash[32];
        buffer_append_format(&text, ", \"stdin\": true, \"stdout\": true,\n\"exec\": %s",
                             g_commands[i].exec);
        compile(buffer_text(&text), &bound);
        assert_int_equal(bundle_deployment_build(&d, &deployment, hash, NULL), 0);
        append_command(&deployment, &g_commands[i].command);
        int r = bound_trial(deployment.data, deployment.size, bound.data, bound.size, &message);
        if ((r == 0) != g_commands[i].inside ||
            (r != 0 &&
             !strstr(message, "command 0 of the exec list: no rule of exec (bound.json:4)")))
            fail_msg("command %zu of %s: %d, %s", i, g_commands[i].exec, r, message);
        buffer_release(&text);
        buffer_release(&bound);
        buffer_release(&deployment);
    }
}

/* ---- JSON that is refused ---- */

static const struct {
    const char *bound, *message;
} g_refused[] = {
    {"{", "bound.json:1:1: "},
    {"{}", "bound.json:1: bound: expected \"version\": 1"},
    {"[]", "bound.json:1: bound: expected an object"},
    {"{\"version\": 2}", "bound: expected \"version\": 1"},
    {"{\"version\": 1}", "args: is missing"},
    {"{\"version\": 1, \"args\": [[\"a\"]]}", "user.uid: is missing"},
    {"{\"version\": 1, \"args\": [[\"a\"]], \"user\": {\"uid\": 1}}", "user.gid: is missing"},
    {"{\"version\": 1, \"version\": 1}", "duplicate object key"},
    {"{\"version\": 1,\n\"secret-of-another-file\": 1}", "bound.json:2: bound: unknown member"},
    {",\n\"envs\": []", "bound.json:4: bound: unknown member"},
    {",\n\"env\": {}", "bound.json:4: env: expected a list"},
    {",\n\"env\": [\n\"A=1\",\n\"B\"]", "bound.json:6: env: expected NAME=value"},
    {",\n\"env\": [\"=1\"]", "env: expected NAME=value"},
    {",\n\"env\": [{\"name\": \"A\"}]", "env: expected one of value, pattern and any"},
    {",\n\"env\": [{\"name\": \"A\", \"any\": true, \"value\": \"x\"}]",
     "expected one of value, pattern and any"},
    {",\n\"env\": [{\"name\": \"A\", \"any\": false}]", "expected true for any"},
    {",\n\"env\": [{\"name\": \"A=B\", \"any\": true}]", "a name that is empty or has"},
    {",\n\"env\": [{\"name\": \"A\", \"namePattern\": \"A\", \"any\": true}]",
     "one of name and namePattern"},
    {",\n\"env\": [{\"name\": \"A\", \"any\": true, \"optinal\": true}]", "env: unknown member"},
    {",\n\"env\": [{\"name\": \"A\", \"any\": true, \"optional\": 1}]",
     "expected true or false for optional"},
    {",\n\"env\": [{\"name\": \"A\", \"pattern\": \"x\\\\\"}]",
     "a pattern that ends with a backslash"},
    {",\n\"env\": [\"A=\\u0000\"]", "bound.json:4:"},
    {ARGS("[\"a\"]"), "bound.json:2: args: expected a command"},
    {ARGS("[[]]"), "expected a command"},
    {ARGS("[[{\"any\": true, \"repeat\": true}]]"), "only the last word"},
    {ARGS("[[\"a\", {\"any\": true, \"repeat\": true}, \"b\"]]"), "only the last word"},
    {USER("\"uid\": -1, \"gid\": 1"), "user.uid: expected an id"},
    {USER("\"uid\": \"7-5\", \"gid\": 1"), "user.uid: expected an id"},
    {USER("\"uid\": \"5-7x\", \"gid\": 1"), "user.uid: expected an id"},
    {USER("\"uid\": 4294967296, \"gid\": 1"), "user.uid: expected an id"},
    {USER("\"uid\": 1, \"gid\": 1, \"capabilities\": [\"CAP_EVERYTHING\"]"),
     "user.capabilities: expected"},
    {USER("\"uid\": 1, \"gid\": 1, \"umask\": 22"),
     "user.umask: expected a string of octal digits"},
    {USER("\"uid\": 1, \"gid\": 1, \"name\": \"x\""), "user: unknown member"},
    {",\n\"mounts\": [{\"target\": \"data\", \"kind\": \"host\"}]",
     "mounts: expected an absolute path"},
    {",\n\"mounts\": [{\"target\": \"/data\", \"kind\": \"bind\"}]",
     "mounts: expected tmpfs, host"},
    {",\n\"mounts\": [{\"target\": \"/t\", \"kind\": \"tmpfs\", \"may\": []}]",
     "may is for mounts of kind host"},
    {",\n\"mounts\": [{\"target\": \"/t\", \"kind\": \"host\", \"uid\": 1}]",
     "for mounts of kind tmpfs"},
    {",\n\"mounts\": [{\"target\": \"/t\", \"kind\": \"host\", \"may\": [\"read\"]}]",
     "expected write, insecure-exec or insecure-links"},
    {",\n\"mounts\": [{\"target\": \"/t\", \"kind\": \"device\"}]",
     "device is for mounts of kind device"},
    {",\n\"mounts\": [{\"target\": \"/t\", \"kind\": \"tmpfs\", \"device\": \"/dev/null\"}]",
     "device is for mounts of kind device"},
    {",\n\"exec\": [[]]", "exec: expected a command"},
    {",\n\"exec\": [{\"env\": []}]", "exec: expected args"},
    {",\n\"exec\": [{\"args\": [\"a\"], \"user\": 1}]", "exec: unknown member"},
    {",\n\"exec\": [{\"args\": [\"a\"], \"env\": [{\"pattern\": \"A*=1\"}]}]",
     "exec: expected NAME=value with the name written out"},
    {",\n\"exec\": [{\"args\": [\"a\"], \"cwd\": \"/\"}]", "exec: expected a list"},
    {",\n\"rlimits\": {\"NOFILE\": {}}", "bound.json:4: rlimits: not a limit"},
    {",\n\"rlimits\": {\"RLIMIT_CORE\": {\"min\": 2, \"max\": 1}}", "a min that is not above max"},
    {",\n\"signals\": [\"BREAK\"]", "signals: expected"},
    {",\n\"exec\": \"some\"", "exec: expected \"none\", \"any\" or a list"},
    {",\n\"stdin\": \"yes\"", "bound.json:4: stdin: expected true or false"},
    {",\n\"loopback\": true", "loopback: expected \"enclave\" or \"host\""},
};

static void test_refused_json(void **state)
{
    for (size_t i = 0; i < sizeof(g_refused) / sizeof(g_refused[0]); i++) {
        struct buffer text = BUFFER_INIT, blob = BUFFER_INIT;
        struct error err = ERROR_INIT;
        if (g_refused[i].bound[0] == '{' || g_refused[i].bound[0] == '[')
            buffer_append_text(&text, g_refused[i].bound);
        else
            buffer_append_format(&text, "%s%s}", HEAD, g_refused[i].bound);
        int r = bound_compile(buffer_text(&text), text.size, "bound.json", &blob, &err);
        if (r == 0 || !strstr(error_text(&err), g_refused[i].message) ||
            strstr(error_text(&err), "secret-of-another-file"))
            fail_msg("%s: %d, %s", buffer_text(&text), r, error_text(&err));
        error_release(&err);
        buffer_release(&text);
        buffer_release(&blob);
    }
}

/* ---- blobs that no converter makes ---- */

static void test_blobs(void **state)
{
    static const char *const all[] = {DATA,
                                      NOFILE,
                                      SHM,
                                      ",\n\"env\": [\"A=1\"], \"signals\": [\"TERM\"]",
                                      ARGS("[[\"a\", {\"any\": true, \"repeat\": true}]]"),
                                      USER("\"uid\": [1, \"5-7\"], \"gid\": 8")};
    struct bundle_deployment d = {LEAST, .env = LIST("A=1"), MOUNTS(HOST("/data", CLOSED))};
    struct buffer deployment = BUFFER_INIT;
    uint8_t hash[32];
    const char *message;
    unsigned refused = 0;
    srand(11);
    assert_int_equal(bundle_deployment_build(&d, &deployment, hash, NULL), 0);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct buffer blob = BUFFER_INIT;
        compile(all[i], &blob);
        assert_true(bound_readable(blob.data, blob.size));
        for (size_t n = 0; n < blob.size; n++) { /* in a block of its own size */
            char *part = malloc(n + 1);
            memcpy(part, blob.data, n);
            assert_false(bound_readable(part, n));
            free(part);
        }
        for (int round = 0; round < 20000; round++) {
            char *copy = malloc(blob.size);
            memcpy(copy, blob.data, blob.size);
            for (int changes = 1 + rand() % 3; changes > 0; changes--)
                copy[rand() % (int)blob.size] = (char)(rand() % 2 ? rand() : rand() % 4);
            refused += !bound_readable(copy, blob.size);
            (void)bound_trial(deployment.data, deployment.size, copy, blob.size, &message);
            free(copy);
        }
        buffer_release(&blob);
    }
    assert_true(refused > 10000);
    assert_true(bound_trial(deployment.data, deployment.size, "", 0, &message) < 0);
    assert_string_equal(message, "the image's bound is malformed");
    buffer_release(&deployment);
}

/* Equal texts give equal bytes, whatever the addresses are; a line more is another bound. */
static void test_same_bytes(void **state)
{
    struct buffer one = BUFFER_INIT, two = BUFFER_INIT, other = BUFFER_INIT;
    compile(SHM, &one);
    void *moved = malloc(100000);
    compile(SHM, &two);
    compile("\n" SHM, &other);
    assert_int_equal(one.size, two.size);
    assert_memory_equal(one.data, two.data, one.size);
    assert_memory_not_equal(one.data, other.data, one.size);
    free(moved);
    buffer_release(&one);
    buffer_release(&two);
    buffer_release(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),         cmocka_unit_test(test_commands),
        cmocka_unit_test(test_refused_json), cmocka_unit_test(test_blobs),
        cmocka_unit_test(test_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
