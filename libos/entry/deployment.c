/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The deployment half of the manifest: checked against CONFIGID (or, without KSS, against the
 * measured hash), then parsed. The parser is strict: an unknown record, a second one of a kind that
 * is single, a string with a NUL or a byte too many refuses the whole, for a verifier pinned every
 * byte of it.
 */
#include "deployment.h"
#include "boundary.h"
#include "crypto.h"
#include "manifest.h"
#include "measured.h"
#include "sgx.h"
#include "start.h"

#define LIST_MAX   65536u /* arguments, variables, mounts ... of each kind */
#define GROUPS_MAX 65536u

struct cursor {
    const u8 *p;
    size_t left;
};

static bool take(struct cursor *c, void *out, size_t n)
{
    if (n > c->left)
        return false;
    memcpy(out, c->p, n);
    c->p += n;
    c->left -= n;
    return true;
}

/* n bytes as a new string; *out must be NULL (each record once). */
static int take_string(struct cursor *c, size_t n, char **out)
{
    if (*out != NULL || n > c->left || memchr(c->p, 0, n) != NULL)
        return -EINVAL;
    *out = kmalloc(n + 1);
    if (*out == NULL)
        return -ENOMEM;
    memcpy(*out, c->p, n);
    (*out)[n] = '\0';
    c->p += n;
    c->left -= n;
    return 0;
}

static bool is_name_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static int append_string(struct cursor *c, char ***list)
{
    size_t count = 0;
    char **bigger;

    while (*list != NULL && (*list)[count] != NULL)
        count++;
    if (count >= LIST_MAX)
        return -EINVAL;
    /* Grows at powers of two; the terminator is in the count. */
    if (*list == NULL || ((count + 1) & count) == 0) {
        bigger = krealloc(*list, (count + 1) * 2 * sizeof(char *));
        if (bigger == NULL)
            return -ENOMEM;
        *list = bigger;
    }
    (*list)[count] = NULL;
    (*list)[count + 1] = NULL;
    return take_string(c, c->left, &(*list)[count]);
}

static int parse_user(struct cursor *c, struct deployment *d)
{
    struct manifest_user u;

    if (!take(c, &u, sizeof(u)) || u.group_count > GROUPS_MAX || u.umask > 0777 ||
        d->groups != NULL || c->left != (size_t)u.group_count * 4)
        return -EINVAL;
    d->uid = u.uid;
    d->gid = u.gid;
    d->umask = u.umask;
    d->capabilities = u.capabilities;
    d->bounding = u.bounding;
    d->inheritable = u.inheritable;
    d->ambient = u.ambient;
    d->group_count = u.group_count;
    d->groups = kmalloc(c->left + 4);
    if (d->groups == NULL)
        return -ENOMEM;
    take(c, d->groups, c->left);
    return 0;
}

static int parse_mount(struct cursor *c, struct deployment *d)
{
    struct manifest_mount m;
    struct deployment_mount *mounts, *out;
    int r;

    if (!take(c, &m, sizeof(m)) || m.kind < MANIFEST_MOUNT_TMPFS ||
        m.kind > MANIFEST_MOUNT_DEVICE || (m.flags & ~MANIFEST_MOUNT_FLAGS) != 0 ||
        m.reserved0 != 0 || m.index >= BOUNDARY_MOUNT_MAX || d->mount_count >= LIST_MAX)
        return -EINVAL;
    mounts = krealloc(d->mounts, (d->mount_count + 1) * sizeof(*mounts));
    if (mounts == NULL)
        return -ENOMEM;
    d->mounts = mounts;
    out = &mounts[d->mount_count++];
    *out = (struct deployment_mount){m.kind, m.flags, m.index, m.mode, m.size, NULL, NULL, NULL};
    r = take_string(c, m.target_size, &out->target);
    if (r == 0)
        r = take_string(c, m.source_size, &out->source);
    if (r == 0)
        r = take_string(c, m.options_size, &out->options);
    if (r == 0 && (c->left != 0 || out->target[0] != '/'))
        r = -EINVAL;
    return r;
}

static int parse_rlimit(struct cursor *c, struct deployment *d)
{
    struct manifest_rlimit l;

    if (!take(c, &l, sizeof(l)) || c->left != 0 || l.reserved0 != 0 ||
        l.resource >= ARRAY_SIZE(d->rlimits) || (d->rlimits_set & 1u << l.resource) != 0 ||
        l.soft > l.hard)
        return -EINVAL;
    d->rlimits[l.resource] = (struct rlimit64){l.soft, l.hard};
    d->rlimits_set |= 1u << l.resource;
    return 0;
}

static int parse_flag(struct cursor *c, bool *out)
{
    u32 v;

    if (!take(c, &v, sizeof(v)) || c->left != 0 || v > 1)
        return -EINVAL;
    *out = v != 0;
    return 0;
}

static int parse_policy(struct cursor *c, struct deployment *d)
{
    struct manifest_policy p;

    if (!take(c, &p, sizeof(p)) || c->left != 0 || d->policy.present ||
        p.exec > MANIFEST_EXEC_LIST || (p.flags & ~MANIFEST_POLICY_FLAGS) != 0 ||
        (p.signals & MANIFEST_SIGNALS_NEVER) != 0 || p.log_level > LOG_TRACE || p.reserved0 != 0)
        return -EINVAL;
    d->policy = (struct deployment_policy){
        .present = true,
        .exec = p.exec,
        .signals = p.signals,
        .signal_any = (p.flags & MANIFEST_POLICY_SIGNAL_ANY_PROCESS) != 0,
        .stdin_host = (p.flags & MANIFEST_POLICY_STDIN) != 0,
        .stdout_host = (p.flags & MANIFEST_POLICY_STDOUT) != 0,
        .loopback_host = (p.flags & MANIFEST_POLICY_LOOPBACK_HOST) != 0,
        .no_new_privs = (p.flags & MANIFEST_POLICY_NO_NEW_PRIVS) != 0,
        .log_level = p.log_level,
    };
    return 0;
}

/* What the verifier reads is what is matched: the name of a variable is written out, a directory is
 * absolute. */
static bool text_is_sound(const struct deployment_text *t, u32 index,
                          const struct manifest_command *m)
{
    size_t name = 0;

    if (t->pattern && !pattern_valid(t->text, strlen(t->text)))
        return false;
    if (index < m->arg_count)
        return true;
    if (index >= m->arg_count + m->env_count)
        return t->text[0] == '/';
    while (is_name_character(t->text[name]))
        name++;
    return name > 0 && t->text[name] == '=';
}

static int parse_text(struct cursor *c, struct deployment_text *out)
{
    struct manifest_text t;

    if (!take(c, &t, sizeof(t)) || (t.flags & ~MANIFEST_TEXT_PATTERN) != 0)
        return -EINVAL;
    out->pattern = (t.flags & MANIFEST_TEXT_PATTERN) != 0;
    return take_string(c, t.size, &out->text);
}

static int parse_command(struct cursor *c, struct deployment *d)
{
    struct manifest_command m;
    struct deployment_command *commands, *out;
    u32 count;
    int r = 0;

    if (!take(c, &m, sizeof(m)) || (m.flags & ~MANIFEST_COMMAND_TERMINAL) != 0 ||
        m.arg_count == 0 || m.arg_count > LIST_MAX || m.env_count > LIST_MAX ||
        m.cwd_count > LIST_MAX || d->command_count >= LIST_MAX)
        return -EINVAL;
    count = m.arg_count + m.env_count + m.cwd_count;
    if (c->left / sizeof(struct manifest_text) < count)
        return -EINVAL;
    commands = krealloc(d->commands, (d->command_count + 1) * sizeof(*commands));
    if (commands == NULL)
        return -ENOMEM;
    d->commands = commands;
    out = &commands[d->command_count];
    *out = (struct deployment_command){.terminal = (m.flags & MANIFEST_COMMAND_TERMINAL) != 0,
                                       .arg_count = m.arg_count,
                                       .env_count = m.env_count,
                                       .cwd_count = m.cwd_count,
                                       .texts = kmalloc(count * sizeof(*out->texts))};
    if (out->texts == NULL)
        return -ENOMEM;
    memset(out->texts, 0, count * sizeof(*out->texts));
    d->command_count++;
    for (u32 i = 0; r == 0 && i < count; i++) {
        r = parse_text(c, &out->texts[i]);
        if (r == 0 && !text_is_sound(&out->texts[i], i, &m))
            r = -EINVAL;
    }
    return r == 0 && c->left != 0 ? -EINVAL : r;
}

/* A rule is for names: a verifier that reads it sees which. */
static bool pattern_is_of_names(const char *pattern)
{
    bool literal = false;

    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p != '*' && *p != '?' && !is_name_character(*p))
            return false;
        literal |= is_name_character(*p);
    }
    return literal;
}

static int parse_host_variable(struct cursor *c, struct deployment *d)
{
    struct manifest_host_variable m;
    struct deployment_host_variable *rules, *out;
    int r;

    if (!take(c, &m, sizeof(m)) || m.value >= MANIFEST_VALUE_END || m.reserved0 != 0 ||
        d->host_variable_count >= LIST_MAX)
        return -EINVAL;
    rules = krealloc(d->host_variables, (d->host_variable_count + 1) * sizeof(*rules));
    if (rules == NULL)
        return -ENOMEM;
    d->host_variables = rules;
    out = &rules[d->host_variable_count++];
    *out = (struct deployment_host_variable){m.value, NULL};
    r = take_string(c, c->left, &out->pattern);
    return r == 0 && !pattern_is_of_names(out->pattern) ? -EINVAL : r;
}

/* What the records say together: a list has commands, and what is a terminal goes to the host. */
static bool policy_is_sound(const struct deployment *d)
{
    const struct deployment_policy *p = &d->policy;
    bool terminal = d->terminal;

    for (u32 i = 0; i < d->command_count; i++)
        terminal |= d->commands[i].terminal;
    return p->present && (p->exec == MANIFEST_EXEC_LIST) == (d->command_count > 0) &&
           (!terminal || (p->stdin_host && p->stdout_host));
}

static int parse_record(u32 type, struct cursor *c, struct deployment *d)
{
    switch (type) {
    case MANIFEST_ARG:
        return append_string(c, &d->argv);
    case MANIFEST_ENV:
        return append_string(c, &d->env);
    case MANIFEST_CWD:
        return take_string(c, c->left, &d->cwd);
    case MANIFEST_USER:
        return parse_user(c, d);
    case MANIFEST_HOSTNAME:
        return take_string(c, c->left, &d->hostname);
    case MANIFEST_DOMAINNAME:
        return take_string(c, c->left, &d->domainname);
    case MANIFEST_MOUNT:
        return parse_mount(c, d);
    case MANIFEST_RLIMIT:
        return parse_rlimit(c, d);
    case MANIFEST_TERMINAL:
        return parse_flag(c, &d->terminal);
    case MANIFEST_READONLY_ROOT:
        return parse_flag(c, &d->readonly_root);
    case MANIFEST_SYSCTL:
        return append_string(c, &d->sysctls);
    case MANIFEST_MASKED_PATH:
        return append_string(c, &d->masked_paths);
    case MANIFEST_READONLY_PATH:
        return append_string(c, &d->readonly_paths);
    case MANIFEST_POLICY:
        return parse_policy(c, d);
    case MANIFEST_COMMAND:
        return parse_command(c, d);
    case MANIFEST_HOST_VARIABLE:
        return parse_host_variable(c, d);
    case MANIFEST_HOST_NAMES:
        return parse_flag(c, &d->host_names);
    case MANIFEST_RATLS:
        return take_string(c, c->left, &d->ratls);
    case MANIFEST_RATLS_CLIENTS:
        return take_string(c, c->left, &d->ratls_clients);
    default:
        return -EINVAL;
    }
}

/* Records of which a second one would say something else than the first. */
static bool is_single(u32 type)
{
    return type == MANIFEST_CWD || type == MANIFEST_USER || type == MANIFEST_HOSTNAME ||
           type == MANIFEST_TERMINAL || type == MANIFEST_DOMAINNAME ||
           type == MANIFEST_READONLY_ROOT || type == MANIFEST_POLICY ||
           type == MANIFEST_HOST_NAMES || type == MANIFEST_RATLS || type == MANIFEST_RATLS_CLIENTS;
}

int deployment_parse(const void *blob, size_t size)
{
    struct cursor c = {blob, size};
    struct manifest_deployment_header h;
    u64 seen = 0; /* single records, bit n: type n */

    if (!take(&c, &h, sizeof(h)) || h.magic != MANIFEST_DEPLOYMENT_MAGIC ||
        h.version != MANIFEST_VERSION || h.size != size)
        return -EINVAL;
    for (u32 i = 0; i < h.record_count; i++) {
        struct manifest_record r;
        struct cursor value;
        size_t padded;
        int e;

        if (!take(&c, &r, sizeof(r)) || r.size > c.left)
            return -EINVAL;
        padded = ((size_t)r.size + 7) & ~7ul;
        if (padded > c.left)
            return -EINVAL;
        for (size_t j = r.size; j < padded; j++) {
            if (c.p[j] != 0)
                return -EINVAL;
        }
        if (is_single(r.type) && (seen >> r.type & 1) != 0)
            return -EINVAL;
        seen |= is_single(r.type) ? 1ull << r.type : 0;
        value = (struct cursor){c.p, r.size};
        e = parse_record(r.type, &value, &g_deployment);
        if (e < 0)
            return e;
        c.p += padded;
        c.left -= padded;
    }
    return c.left == 0 && policy_is_sound(&g_deployment) ? 0 : -EINVAL;
}

int deployment_load(const void *blob, size_t size)
{
    u8 digest[SHA256_SIZE];
    const u8 *expected = g_manifest->deployment_hash;
    static const u8 zero[32];
    int r;

    sha256_once(NULL, 0, blob, size, digest);
    if ((g_manifest->flags & MANIFEST_KSS) != 0) {
        if ((g_self.attributes.flags & SGX_ATTR_KSS) == 0 ||
            memcmp(g_self.config_id + 32, zero, 32) != 0) {
            log_error("the enclave has no CONFIGID, which the manifest binds the deployment to");
            return -EPERM;
        }
        expected = g_self.config_id;
    }
    if (memcmp(digest, expected, SHA256_SIZE) != 0) {
        log_error("the deployment manifest is not the one that %s names",
                  expected == g_self.config_id ? "CONFIGID" : "the measured manifest");
        return -EPERM;
    }
    r = deployment_parse(blob, size);
    if (r < 0)
        log_error("the deployment manifest is malformed: error %d", -r);
    return r;
}
