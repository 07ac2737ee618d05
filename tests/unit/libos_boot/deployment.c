/* SPDX-License-Identifier: Apache-2.0 */
/* The deployment half as the LibOS reads it: what the policy record may say, and that every
 * malformed one refuses the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "boundary.h"
#include "crypto.h"
#include "deployment.h"
#include "measured.h"
#include "policy.h"
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

/* ---- commands ---- */

struct entry {
    u8 bytes[2048];
    size_t size;
};

static void entry_begin(struct entry *e, u32 flags, u32 args, u32 env, u32 cwd)
{
    struct manifest_command m = {flags, args, env, cwd};

    memcpy(e->bytes, &m, sizeof(m));
    e->size = sizeof(m);
}

/* "~text" is a pattern. */
static void entry_text(struct entry *e, const char *text)
{
    bool pattern = text[0] == '~';
    struct manifest_text t = {pattern ? MANIFEST_TEXT_PATTERN : 0, (u32)strlen(text + pattern)};

    memcpy(e->bytes + e->size, &t, sizeof(t));
    memcpy(e->bytes + e->size + sizeof(t), text + pattern, t.size);
    e->size += sizeof(t) + t.size;
}

static const struct manifest_policy g_list = {
    .exec = MANIFEST_EXEC_LIST, .flags = MANIFEST_POLICY_STDIN | MANIFEST_POLICY_STDOUT};

static int parse_entry(const struct entry *e, size_t size)
{
    struct blob b = {.size = 0};

    put_record(&b, MANIFEST_POLICY, &g_list, sizeof(g_list));
    put_record(&b, MANIFEST_COMMAND, e->bytes, size);
    return parse(&b);
}

static int parse_texts(u32 args, u32 env, u32 cwd, const char *const *texts)
{
    struct entry e;

    entry_begin(&e, 0, args, env, cwd);
    for (u32 i = 0; i < args + env + cwd; i++)
        entry_text(&e, texts[i]);
    return parse_entry(&e, e.size);
}

static void test_malformed_commands(void **state)
{
    static const char *const good[] = {"cat", "~/log/*", "A=1", "~B_2=*", "/srv", "~/d?"};
    struct entry e;

    assert_int_equal(parse_texts(2, 2, 2, good), 0);
    assert_int_equal(g_deployment.command_count, 1);
    assert_false(g_deployment.commands[0].texts[0].pattern);
    assert_true(g_deployment.commands[0].texts[1].pattern);
    /* Names of variables are written out, directories absolute, patterns whole. */
    for (const char *const *bad =
             (const char *const[]){"~*=1", "NAME", "=1", "~A?=x", "A-B=1", "", NULL};
         *bad != NULL; bad++)
        assert_int_equal(parse_texts(1, 1, 0, (const char *const[]){"x", *bad}), -EINVAL);
    assert_int_equal(parse_texts(1, 0, 1, (const char *const[]){"x", "srv"}), -EINVAL);
    assert_int_equal(parse_texts(1, 0, 1, (const char *const[]){"x", "~*"}), -EINVAL);
    assert_int_equal(parse_texts(1, 0, 0, (const char *const[]){"~x\\"}), -EINVAL);
    assert_int_equal(parse_texts(0, 0, 0, good), -EINVAL);

    /* Cut anywhere, too long, counts that the bytes do not hold, unknown flags. */
    entry_begin(&e, 0, 2, 0, 0);
    entry_text(&e, "cat");
    entry_text(&e, "~/log/*");
    assert_int_equal(parse_entry(&e, e.size), 0);
    for (size_t size = 0; size < e.size; size++)
        assert_int_equal(parse_entry(&e, size), -EINVAL);
    e.bytes[e.size] = 0;
    assert_int_equal(parse_entry(&e, e.size + 1), -EINVAL);
    for (size_t at = 0; at < sizeof(struct manifest_command); at++) {
        struct entry changed = e;

        changed.bytes[at] ^= 0x80;
        assert_int_equal(parse_entry(&changed, changed.size), -EINVAL);
    }
    e.bytes[sizeof(struct manifest_command)] = 2;
    assert_int_equal(parse_entry(&e, e.size), -EINVAL);
    e.bytes[sizeof(struct manifest_command)] = 0;
    e.bytes[e.size - 1] = 0; /* a NUL in a text */
    assert_int_equal(parse_entry(&e, e.size), -EINVAL);
}

/* A list without commands, commands without a list, a terminal that does not go to the host. */
static void test_records_together(void **state)
{
    struct manifest_policy p = g_list;
    struct blob b = {.size = 0}, c = {.size = 0}, d = {.size = 0};
    struct entry e;
    u32 one = 1;

    assert_int_equal(parse_policy(&p, sizeof(p)), -EINVAL);
    entry_begin(&e, MANIFEST_COMMAND_TERMINAL, 1, 0, 0);
    entry_text(&e, "x");
    p.exec = MANIFEST_EXEC_ANY;
    put_record(&b, MANIFEST_COMMAND, e.bytes, e.size);
    put_record(&b, MANIFEST_POLICY, &p, sizeof(p));
    assert_int_equal(parse(&b), -EINVAL);
    p.exec = MANIFEST_EXEC_LIST;
    p.flags = MANIFEST_POLICY_STDIN;
    put_record(&c, MANIFEST_COMMAND, e.bytes, e.size);
    put_record(&c, MANIFEST_POLICY, &p, sizeof(p));
    assert_int_equal(parse(&c), -EINVAL);
    p.exec = MANIFEST_EXEC_NONE;
    put_record(&d, MANIFEST_TERMINAL, &one, sizeof(one));
    put_record(&d, MANIFEST_POLICY, &p, sizeof(p));
    assert_int_equal(parse(&d), -EINVAL);
}

/* ---- what the host asks for ---- */

static struct manifest_image g_image;

/* A deployment of user 1000 with one capability, and a policy with these records. */
static void deploy(u32 exec, const struct entry *entries, size_t count)
{
    struct blob b = {.size = 0};
    struct manifest_policy p = g_list;
    struct manifest_user user = {.uid = 1000,
                                 .gid = 100,
                                 .umask = 027,
                                 .group_count = 1,
                                 .capabilities = 1u << 10,
                                 .bounding = 1u << 10 | 1u << 7,
                                 .inheritable = 1u << 10,
                                 .ambient = 1u << 10};
    u8 value[sizeof(user) + 4];
    u32 group = 5;

    memcpy(value, &user, sizeof(user));
    memcpy(value + sizeof(user), &group, sizeof(group));
    p.exec = exec;
    put_record(&b, MANIFEST_ARG, "server", 6);
    put_record(&b, MANIFEST_ENV, "PATH=/bin", 9);
    put_record(&b, MANIFEST_ENV, "HOME=/home/own", 14);
    put_record(&b, MANIFEST_CWD, "/srv", 4);
    put_record(&b, MANIFEST_USER, value, sizeof(value));
    put_record(&b, MANIFEST_POLICY, &p, sizeof(p));
    for (size_t i = 0; i < count; i++)
        put_record(&b, MANIFEST_COMMAND, entries[i].bytes, entries[i].size);
    assert_int_equal(parse(&b), 0);
    g_manifest = &g_image;
}

#define WORDS(...) ((char **)(uintptr_t)(const char *const[]){__VA_ARGS__, NULL})

static struct process_spec wish(char **argv)
{
    static u32 groups[] = {5};
    static const char *const env[] = {"PATH=/bin", NULL};

    return (struct process_spec){.argv = argv,
                                 .env = (char **)(uintptr_t)env,
                                 .cwd = "/srv",
                                 .uid = 1000,
                                 .gid = 100,
                                 .umask = 0,
                                 .group_count = 1,
                                 .groups = groups,
                                 .capabilities = 1u << 10};
}

static int ask(struct process_spec *s)
{
    char **env;

    return policy_exec(s, &env);
}

static void test_exec_none(void **state)
{
    struct process_spec s = wish(WORDS("true"));

    deploy(MANIFEST_EXEC_NONE, NULL, 0);
    assert_int_equal(ask(&s), REFUSED_EXEC);
    deploy(MANIFEST_EXEC_ANY, NULL, 0);
    assert_int_equal(ask(&s), 0);
}

/* Any command, but never more than the container has. */
static void test_exec_any(void **state)
{
    static const struct rlimit64 limits[16];
    static u32 groups[] = {5, 0};
    struct process_spec s = wish(WORDS("true"));

    deploy(MANIFEST_EXEC_ANY, NULL, 0);
    s.rlimits = limits;
    s.env = WORDS("LD_PRELOAD=/x");
    s.cwd = "/";
    assert_int_equal(ask(&s), 0);
    assert_null(s.rlimits);
    assert_int_equal(s.umask, 027);
    s.uid = 0;
    assert_int_equal(ask(&s), REFUSED_USER);
    s = wish(WORDS("true"));
    s.gid = 0;
    assert_int_equal(ask(&s), REFUSED_USER);
    s = wish(WORDS("true"));
    s.groups = groups;
    s.group_count = 2;
    assert_int_equal(ask(&s), REFUSED_USER);
    s = wish(WORDS("true"));
    s.capabilities = 1u << 10 | 1u << 1;
    assert_int_equal(ask(&s), REFUSED_CAPABILITIES);
    /* What later programs may get is the container's, whatever the host says, or less. */
    s = wish(WORDS("true"));
    s.bounding = s.inheritable = s.ambient = ~0ull;
    assert_int_equal(ask(&s), 0);
    assert_true(s.bounding == (1u << 10 | 1u << 7) && s.inheritable == 1u << 10 &&
                s.ambient == 1u << 10);
    s.capabilities = 0;
    assert_int_equal(ask(&s), 0);
    assert_true(s.bounding == 0 && s.inheritable == 0 && s.ambient == 0);
    /* Root that may change its user could do so itself. */
    s = wish(WORDS("true"));
    g_deployment.uid = 0;
    assert_int_equal(ask(&s), REFUSED_USER);
    g_deployment.capabilities = 1u << 6 | 1u << 7 | 1u << 10;
    assert_int_equal(ask(&s), 0);
}

static void test_exec_list(void **state)
{
    struct entry entries[2];
    struct process_spec s;
    static u32 groups[] = {0};

    entry_begin(&entries[0], 0, 2, 0, 0);
    entry_text(&entries[0], "redis-cli");
    entry_text(&entries[0], "ping");
    entry_begin(&entries[1], 0, 2, 0, 0);
    entry_text(&entries[1], "cat");
    entry_text(&entries[1], "~/log/*.log");
    deploy(MANIFEST_EXEC_LIST, entries, 2);

    static const char *const bad[][4] = {
        {"redis-cli"},
        {"redis-cli", "ping", "x"},
        {"redis-cli", "pin"},
        {"redis-cli", "ping "},
        {"redis-cli ping"},
        {"cat", "/log/a"},
        {"cat", "/log/../etc/shadow.log"},
        {"cat", "/log/..", "x.log"},
        {"cat", "/log/a.log", "/etc/shadow"},
        {"/bin/cat", "/log/a.log"},
        {"", "ping"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        s = wish(WORDS(bad[i][0], bad[i][1], bad[i][2], bad[i][3]));
        assert_int_equal(ask(&s), REFUSED_COMMAND);
    }
    s = wish(WORDS("redis-cli", "ping"));
    assert_int_equal(ask(&s), 0);
    s = wish(WORDS("cat", "/log/sub/a.log"));
    assert_int_equal(ask(&s), 0);
    /* Arguments of the entry, and another program under its name. */
    s = wish(WORDS("redis-cli", "ping"));
    s.path = "/bin/sh";
    assert_int_equal(ask(&s), REFUSED_COMMAND);

    /* Who it is, the host does not say. */
    s = wish(WORDS("redis-cli", "ping"));
    s.gid = 0;
    s.groups = groups;
    s.capabilities = 0;
    s.umask = 0;
    assert_int_equal(ask(&s), 0);
    assert_true(s.gid == 100 && s.group_count == 1 && s.groups[0] == 5);
    assert_true(s.capabilities == 1u << 10 && s.umask == 027);
    assert_true(s.bounding == (1u << 10 | 1u << 7) && s.ambient == 1u << 10);
    s.uid = 0;
    assert_int_equal(ask(&s), REFUSED_USER);
    s = wish(WORDS("redis-cli", "ping"));
    s.capabilities = ~0ull;
    assert_int_equal(ask(&s), REFUSED_CAPABILITIES);
    s = wish(WORDS("redis-cli", "ping"));
    s.terminal = true;
    assert_int_equal(ask(&s), REFUSED_TERMINAL);
}

static bool has(char **env, const char *entry)
{
    size_t count = 0, size = (size_t)(strchr(entry, '=') - entry) + 1, named = 0;

    for (; env[count] != NULL; count++)
        named += strncmp(env[count], entry, size) == 0;
    for (count = 0; env[count] != NULL; count++) {
        if (strcmp(env[count], entry) == 0)
            return named == 1;
    }
    return false;
}

static void test_list_environment(void **state)
{
    struct entry e;
    struct process_spec s;

    entry_begin(&e, MANIFEST_COMMAND_TERMINAL, 1, 2, 1);
    entry_text(&e, "x");
    entry_text(&e, "~LANG=*.UTF-8");
    entry_text(&e, "MODE=fast");
    entry_text(&e, "~/srv/*");
    deploy(MANIFEST_EXEC_LIST, &e, 1);

    for (char **bad = WORDS("LD_PRELOAD=/evil.so", "PATH=/evil", "PATH=/bin:/evil", "MODE=faster",
                            "LANG=C", "PYTHONSTARTUP=/x", "novalue", "=x", "LANG=/../x.UTF-8");
         *bad != NULL; bad++) {
        s = wish(WORDS("x"));
        s.env = WORDS("PATH=/bin", *bad);
        assert_int_equal(ask(&s), REFUSED_ENVIRONMENT);
    }
    s = wish(WORDS("x"));
    s.terminal = true;
    s.env = WORDS("LANG=de.UTF-8", "MODE=fast", "TERM=xterm-256color", "HOME=/root");
    s.cwd = "/srv/a";
    assert_int_equal(ask(&s), 0);
    assert_true(has(s.env, "PATH=/bin") && has(s.env, "HOME=/home/own"));
    assert_true(has(s.env, "LANG=de.UTF-8") && has(s.env, "MODE=fast"));
    assert_true(has(s.env, "TERM=xterm-256color"));
    /* Without a terminal, and with a path for one, TERM is not the host's. */
    s = wish(WORDS("x"));
    s.env = WORDS("TERM=xterm");
    assert_int_equal(ask(&s), 0);
    assert_false(has(s.env, "TERM=xterm"));
    s = wish(WORDS("x"));
    s.terminal = true;
    s.env = WORDS("TERM=../../srv/evil");
    assert_int_equal(ask(&s), 0);
    assert_false(has(s.env, "TERM=../../srv/evil"));
    /* The container's own variables are there although the host leaves them out. */
    s = wish(WORDS("x"));
    s.env = NULL;
    assert_int_equal(ask(&s), 0);
    assert_true(has(s.env, "PATH=/bin"));

    for (char **bad = WORDS("/", "/srv/../etc", "srv", "", "/srv2"); *bad != NULL; bad++) {
        s = wish(WORDS("x"));
        s.cwd = *bad;
        assert_int_equal(ask(&s), REFUSED_DIRECTORY);
    }
}

static void test_signal(void **state)
{
    deploy(MANIFEST_EXEC_NONE, NULL, 0);
    g_deployment.policy.signals = 1u << 14 | 1ull << 63;
    assert_true(policy_signal(15) && policy_signal(64));
    assert_false(policy_signal(9) || policy_signal(0) || policy_signal(65) || policy_signal(-1));
}

/* Two of what there can be one of, and bits without a meaning: a verifier must not read another
 * deployment than the LibOS. */
static void test_said_once(void **state)
{
    static const u32 flags[] = {MANIFEST_TERMINAL, MANIFEST_READONLY_ROOT, MANIFEST_HOST_NAMES};
    static const u32 texts[] = {MANIFEST_CWD, MANIFEST_HOSTNAME, MANIFEST_DOMAINNAME,
                                MANIFEST_RATLS, MANIFEST_RATLS_CLIENTS};
    const struct manifest_policy p = {.flags = MANIFEST_POLICY_STDIN | MANIFEST_POLICY_STDOUT};
    const struct manifest_policy none = {0};
    struct manifest_user user = {.umask = 022};
    struct manifest_rlimit limit = {.resource = 7};
    struct {
        struct manifest_mount m;
        char target[2];
    } mount = {.m = {.kind = MANIFEST_MOUNT_TMPFS, .target_size = 2}, .target = "/a"};
    const size_t mount_size = sizeof(mount.m) + sizeof(mount.target);
    const u32 on = 1, off = 0;
    struct blob b;

    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        for (u32 records = 1; records <= 2; records++) {
            b = (struct blob){.size = 0};
            put_record(&b, MANIFEST_POLICY, &p, sizeof(p));
            put_record(&b, flags[i], &on, sizeof(on));
            if (records == 2)
                put_record(&b, flags[i], &off, sizeof(off));
            assert_int_equal(parse(&b), records == 1 ? 0 : -EINVAL);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        b = (struct blob){.size = 0};
        put_record(&b, MANIFEST_POLICY, &p, sizeof(p));
        put_record(&b, texts[i], "/a", 2);
        put_record(&b, texts[i], "/b", 2);
        assert_int_equal(parse(&b), -EINVAL);
    }
    b = (struct blob){.size = 0};
    put_record(&b, MANIFEST_POLICY, &p, sizeof(p));
    put_record(&b, MANIFEST_POLICY, &none, sizeof(none));
    assert_int_equal(parse(&b), -EINVAL);

    for (int wrong = 0; wrong < 4; wrong++) {
        user.umask = wrong == 1 ? 01022 : 022;
        limit.reserved0 = wrong == 2;
        mount.m.reserved0 = wrong == 3;
        b = (struct blob){.size = 0};
        put_record(&b, MANIFEST_POLICY, &p, sizeof(p));
        put_record(&b, MANIFEST_USER, &user, sizeof(user));
        put_record(&b, MANIFEST_RLIMIT, &limit, sizeof(limit));
        put_record(&b, MANIFEST_MOUNT, &mount, mount_size);
        assert_int_equal(parse(&b), wrong == 0 ? 0 : -EINVAL);
    }
    b = (struct blob){.size = 0};
    put_record(&b, MANIFEST_POLICY, &p, sizeof(p));
    put_record(&b, MANIFEST_USER, &user, sizeof(user));
    put_record(&b, MANIFEST_USER, &user, sizeof(user));
    assert_int_equal(parse(&b), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_commands),
        cmocka_unit_test(test_records_together),
        cmocka_unit_test(test_said_once),
        cmocka_unit_test(test_exec_none),
        cmocka_unit_test(test_exec_any),
        cmocka_unit_test(test_exec_list),
        cmocka_unit_test(test_list_environment),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_malformed_policy),
        cmocka_unit_test(test_signals_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
