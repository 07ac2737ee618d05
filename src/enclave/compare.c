/* SPDX-License-Identifier: Apache-2.0 */
/* Two deployments, record by record: each record becomes a line of words, then the lines are
 * compared. */
#include <stdlib.h>
#include <string.h>

#include "../../abi/manifest.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/predict.h"

enum { RECORDS_MAX = 65536 };

struct lines {
    char **items;
    size_t count;
};

static void release_lines(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->items[i]);
    free(lines->items);
}
#define cleanup_lines __attribute__((cleanup(release_lines)))

/* In quotes; what would disturb a terminal as \xNN. */
static void append_quoted(struct buffer *out, const char *text, size_t size)
{
    buffer_append_char(out, '"');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ' || c == 0x7f || c == '"' || c == '\\')
            buffer_append_format(out, "\\x%02x", c);
        else
            buffer_append_char(out, text[i]);
    }
    buffer_append_char(out, '"');
}

/* Records that are a text. */
static const char *const g_texts[MANIFEST_RECORD_END] = {
    [MANIFEST_ARG] = "argument",
    [MANIFEST_ENV] = "environment",
    [MANIFEST_CWD] = "working directory",
    [MANIFEST_HOSTNAME] = "host name",
    [MANIFEST_DOMAINNAME] = "domain name",
    [MANIFEST_SYSCTL] = "sysctl",
    [MANIFEST_MASKED_PATH] = "masked path",
    [MANIFEST_READONLY_PATH] = "read-only path",
    [MANIFEST_RATLS] = "RA-TLS ports",
    [MANIFEST_RATLS_CLIENTS] = "RA-TLS clients",
};

/* Copy the fixed part of a value; false when it is shorter. */
static bool head(const char *value, size_t size, void *out, size_t wanted)
{
    if (size < wanted)
        return false;
    memcpy(out, value, wanted);
    return true;
}

static bool say_user(const char *value, size_t size, struct buffer *out)
{
    struct manifest_user u;

    if (!head(value, size, &u, sizeof(u)))
        return false;
    buffer_append_format(out,
                         "user %u:%u, umask 0%o, capabilities %llx (bounding %llx, "
                         "inheritable %llx, ambient %llx), groups",
                         u.uid, u.gid, u.umask, (unsigned long long)u.capabilities,
                         (unsigned long long)u.bounding, (unsigned long long)u.inheritable,
                         (unsigned long long)u.ambient);
    for (size_t at = sizeof(u); at + 4 <= size; at += 4) {
        uint32_t group;
        memcpy(&group, value + at, sizeof(group));
        buffer_append_format(out, " %u", group);
    }
    return true;
}

static bool say_mount(const char *value, size_t size, struct buffer *out)
{
    static const char *const kinds[] = {
        [MANIFEST_MOUNT_TMPFS] = "tmpfs",
        [MANIFEST_MOUNT_PROC] = "proc",
        [MANIFEST_MOUNT_DEV] = "dev",
        [MANIFEST_MOUNT_DEVPTS] = "devpts",
        [MANIFEST_MOUNT_SYSFS] = "sysfs",
        [MANIFEST_MOUNT_PASSTHROUGH] = "the host's files",
        [MANIFEST_MOUNT_ENCRYPTED] = "encrypted",
        [MANIFEST_MOUNT_MQUEUE] = "mqueue",
        [MANIFEST_MOUNT_CGROUP] = "cgroup",
        [MANIFEST_MOUNT_DEVICE] = "device",
    };
    static const struct {
        uint32_t flag;
        const char *name;
    } flags[] = {{MANIFEST_MOUNT_READONLY, "read-only"},
                 {MANIFEST_MOUNT_NOEXEC, "noexec"},
                 {MANIFEST_MOUNT_NOSUID, "nosuid"},
                 {MANIFEST_MOUNT_NODEV, "nodev"},
                 {MANIFEST_MOUNT_IS_FILE, "a file"},
                 {MANIFEST_MOUNT_INSECURE_EXEC, "insecure-exec"},
                 {MANIFEST_MOUNT_INSECURE_LINKS, "insecure-links"}};
    struct manifest_mount m;

    if (!head(value, size, &m, sizeof(m)) ||
        (uint64_t)m.target_size + m.source_size + m.options_size > size - sizeof(m))
        return false;
    const char *text = value + sizeof(m);
    buffer_append_text(out, "mount on ");
    append_quoted(out, text, m.target_size);
    buffer_append_format(out, ": %s",
                         m.kind < array_count(kinds) && kinds[m.kind] ? kinds[m.kind] : "unknown");
    for (size_t i = 0; i < array_count(flags); i++)
        if (m.flags & flags[i].flag)
            buffer_append_format(out, ", %s", flags[i].name);
    if (m.source_size) {
        buffer_append_text(out, ", source ");
        append_quoted(out, text + m.target_size, m.source_size);
    }
    if (m.options_size) {
        buffer_append_text(out, ", options ");
        append_quoted(out, text + m.target_size + m.source_size, m.options_size);
    }
    if (m.mode)
        buffer_append_format(out, ", mode 0%o", m.mode);
    if (m.size)
        buffer_append_format(out, ", size %llu", (unsigned long long)m.size);
    if (m.index)
        buffer_append_format(out, ", number %u", m.index);
    return true;
}

static bool say_policy(const char *value, size_t size, struct buffer *out)
{
    static const char *const kinds[] = {[MANIFEST_EXEC_NONE] = "none",
                                        [MANIFEST_EXEC_ANY] = "any (insecure)",
                                        [MANIFEST_EXEC_LIST] = "listed commands"};
    struct manifest_policy p;

    if (!head(value, size, &p, sizeof(p)))
        return false;
    buffer_append_format(
        out,
        "policy: exec %s, output %s, input %s, signals 0x%llx%s, loopback %s%s, "
        "log level %u",
        p.exec < array_count(kinds) ? kinds[p.exec] : "unknown",
        p.flags & MANIFEST_POLICY_STDOUT ? "to the host" : "none",
        p.flags & MANIFEST_POLICY_STDIN ? "from the host" : "none", (unsigned long long)p.signals,
        p.flags & MANIFEST_POLICY_SIGNAL_ANY_PROCESS ? " to any process" : "",
        p.flags & MANIFEST_POLICY_LOOPBACK_HOST ? "the host's (insecure)" : "the enclave's",
        p.flags & MANIFEST_POLICY_NO_NEW_PRIVS ? ", no new privileges" : "", p.log_level);
    return true;
}

static bool say_command(const char *value, size_t size, struct buffer *out)
{
    struct manifest_command c;
    size_t at = sizeof(c);

    if (!head(value, size, &c, sizeof(c)))
        return false;
    buffer_append_format(
        out, "allowed command (%u arguments, %u variables, %u directories%s):", c.arg_count,
        c.env_count, c.cwd_count, c.flags & MANIFEST_COMMAND_TERMINAL ? ", terminal" : "");
    while (at < size) {
        struct manifest_text t;
        if (!head(value + at, size - at, &t, sizeof(t)) || t.size > size - at - sizeof(t))
            return false;
        buffer_append_text(out, t.flags & MANIFEST_TEXT_PATTERN ? " pattern " : " ");
        append_quoted(out, value + at + sizeof(t), t.size);
        at += sizeof(t) + t.size;
    }
    return true;
}

static bool say_host_variable(const char *value, size_t size, struct buffer *out)
{
    static const char *const kinds[] = {"any value", "a host name", "an address",
                                        "a port",    "a protocol",  "a URL"};
    struct manifest_host_variable v;

    if (!head(value, size, &v, sizeof(v)))
        return false;
    buffer_append_text(out, "the host may give variables ");
    append_quoted(out, value + sizeof(v), size - sizeof(v));
    buffer_append_format(out, ": %s", v.value < array_count(kinds) ? kinds[v.value] : "unknown");
    return true;
}

static bool say_rlimit(const char *value, size_t size, struct buffer *out)
{
    struct manifest_rlimit r;

    if (!head(value, size, &r, sizeof(r)))
        return false;
    buffer_append_format(out, "limit %u: soft %llu, hard %llu", r.resource,
                         (unsigned long long)r.soft, (unsigned long long)r.hard);
    return true;
}

static bool say(uint32_t type, const char *value, size_t size, unsigned *argument,
                struct buffer *out)
{
    switch (type) {
    case MANIFEST_ARG:
        buffer_append_format(out, "argument %u ", (*argument)++);
        append_quoted(out, value, size);
        return true;
    case MANIFEST_USER:
        return say_user(value, size, out);
    case MANIFEST_MOUNT:
        return say_mount(value, size, out);
    case MANIFEST_RLIMIT:
        return say_rlimit(value, size, out);
    case MANIFEST_TERMINAL:
        buffer_append_text(out, "a terminal");
        return true;
    case MANIFEST_READONLY_ROOT:
        buffer_append_text(out, "a read-only root");
        return true;
    case MANIFEST_POLICY:
        return say_policy(value, size, out);
    case MANIFEST_COMMAND:
        return say_command(value, size, out);
    case MANIFEST_HOST_VARIABLE:
        return say_host_variable(value, size, out);
    case MANIFEST_HOST_NAMES:
        buffer_append_text(out, "the host may give the host name");
        return true;
    default:
        if (type < MANIFEST_RECORD_END && g_texts[type]) {
            buffer_append_format(out, "%s ", g_texts[type]);
            append_quoted(out, value, size);
        } else {
            buffer_append_format(out, "record of type %u: ", type);
            append_quoted(out, value, size);
        }
        return true;
    }
}

static int say_all(const struct buffer *blob, struct lines *out, struct error *err)
{
    struct manifest_deployment_header header;
    size_t at = sizeof(header);
    unsigned argument = 0;

    if (!head(blob->data, blob->size, &header, sizeof(header)) ||
        header.magic != MANIFEST_DEPLOYMENT_MAGIC || header.record_count > RECORDS_MAX)
        return error_set(err, "not a deployment");
    out->items = xcalloc(header.record_count ? header.record_count : 1, sizeof(*out->items));
    while (out->count < header.record_count) {
        struct buffer line = BUFFER_INIT;
        struct manifest_record r;

        if (!head(blob->data + at, blob->size - at, &r, sizeof(r)) ||
            r.size > blob->size - at - sizeof(r))
            return error_set(err, "the deployment is cut short");
        bool good = say(r.type, blob->data + at + sizeof(r), r.size, &argument, &line);
        out->items[out->count++] = buffer_take(&line);
        if (!good)
            return error_set(err, "a record of type %u is damaged", r.type);
        at += sizeof(r) + (r.size + 7ul) / 8 * 8;
        if (at > blob->size)
            return error_set(err, "the deployment is cut short");
    }
    return 0;
}

int enclave_describe_deployment(const struct buffer *blob, struct buffer *out, struct error *err)
{
    cleanup_lines struct lines lines = {0};

    int rc = say_all(blob, &lines, err);
    for (size_t i = 0; rc == 0 && i < lines.count; i++)
        buffer_append_format(out, "%s\n", lines.items[i]);
    return rc;
}

/* Lines of `a` that `b` has fewer of. */
static void append_missing(const struct lines *a, const struct lines *b, char sign,
                           struct buffer *out)
{
    cleanup_free bool *used = xcalloc(b->count + 1, sizeof(*used));

    for (size_t i = 0; i < a->count; i++) {
        size_t found = 0;
        while (found < b->count && (used[found] || strcmp(a->items[i], b->items[found]) != 0))
            found++;
        if (found < b->count)
            used[found] = true;
        else
            buffer_append_format(out, "%c %s\n", sign, a->items[i]);
    }
}

int enclave_compare_deployments(const struct buffer *first, const struct buffer *second,
                                struct buffer *out, struct error *err)
{
    cleanup_lines struct lines a = {0};
    cleanup_lines struct lines b = {0};

    int rc = say_all(first, &a, err);
    if (rc == 0)
        rc = say_all(second, &b, err);
    if (rc < 0)
        return rc;
    size_t before = out->size;
    append_missing(&a, &b, '-', out);
    append_missing(&b, &a, '+', out);
    if (out->size == before)
        buffer_append_text(out, "the same things, in another order\n");
    return 0;
}
