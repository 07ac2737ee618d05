/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds the deployment against the image's bound, before anything of it is used. Who writes
 * deployments is the adversary: what the bound does not allow is refused, what it requires must be
 * there, and what a deployment leaves out counts as what the LibOS then takes.
 */
#include "bound_blob.h"
#include "deployment.h"
#include "filesystems.h"
#include "manifest.h"
#include "start.h"

#define OUTSIDE       "the deployment is outside of the image's bound: "
#define UMASK_DEFAULT 022u
#define MODE_DEFAULT  01777u

/* ---- what is said of a refusal ---- */

/* A name that the host chose, as a word that cannot pass for something else in a log. */
struct shown {
    char text[72];
};

static const char *show(struct shown *out, const char *text, size_t size)
{
    size_t n = MIN(size, sizeof(out->text) - 1);

    for (size_t i = 0; i < n; i++)
        out->text[i] = text[i] > ' ' && text[i] < 127 ? text[i] : '?';
    out->text[n] = '\0';
    return out->text;
}

/* line: of the rule that would be for it, 0: there is none. */
static __printf(3, 4) int refuse(const struct bound_rules *rules, u32 line, const char *fmt, ...)
{
    char what[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (rules->line == 0)
        log_error(OUTSIDE "%s: the bound has no %s, so it is not allowed", what, rules->name);
    else if (line == 0)
        log_error(OUTSIDE "%s: no rule of %s (bound.json:%u) allows it", what, rules->name,
                  rules->line);
    else
        log_error(OUTSIDE "%s: %s (bound.json:%u) does not allow it", what, rules->name, line);
    return -EPERM;
}

static int refuse_missing(const struct bound_rules *rules, u32 line, const char *what,
                          struct bound_text name, const char *how)
{
    struct shown s;

    log_error(OUTSIDE "%s %s is missing%s: %s (bound.json:%u) requires it", what,
              show(&s, name.p, name.size), how, rules->name, line);
    return -EPERM;
}

/* ---- parts that members share ---- */

/*
 * A text that goes up ("/data/../etc") is never what was meant by a pattern for a path: only an
 * exact text matches it, and `*` alone, which is anything.
 */
static bool matches(struct bound_text pattern, const char *text, size_t size)
{
    bool any = pattern.size == 1 && pattern.p[0] == '*';

    return pattern_match(pattern.p, pattern.size, text, size) &&
           (any || !path_goes_up(text) || pattern_is_exact(pattern.p, pattern.size));
}

/* One text; `value` is what the LibOS takes, `neutral` what it takes when nothing is said. */
static int check_text(const struct bound *b, u32 number, const char *what, const char *value,
                      const char *neutral)
{
    struct bound_rules rules = b->members[number];
    struct bound_entry e;
    struct shown s;

    if (value == NULL)
        value = neutral;
    if (rules.line == 0 && strcmp(value, neutral) == 0)
        return 0;
    while (bound_next(&rules, &e)) {
        if (matches(e.value, value, strlen(value)))
            return 0;
    }
    return refuse(&b->members[number], 0, "%s %s", what, show(&s, value, strlen(value)));
}

static u64 number_of(const struct bound *b, u32 number, u64 absent)
{
    struct bound_rules rules = b->members[number];
    struct bound_entry e;
    u64 value;

    if (!bound_next(&rules, &e))
        return absent;
    memcpy(&value, e.value.p, sizeof(value));
    return value;
}

/* What the host gains by, and a deployment has only where the bound says so. */
static int check_may(const struct bound *b, u32 number, const char *what, bool wanted)
{
    if (!wanted || number_of(b, number, 0) == BOUND_MAY)
        return 0;
    return refuse(&b->members[number], b->members[number].line, "%s", what);
}

static int check_range(const struct bound *b, u32 number, const char *what, u32 id)
{
    struct bound_rules rules = b->members[number];
    struct bound_entry e;
    struct bound_range range;

    while (bound_next(&rules, &e)) {
        memcpy(&range, e.value.p, sizeof(range));
        if (id >= range.first && id <= range.last)
            return 0;
    }
    return refuse(&b->members[number], 0, "%s %u", what, id);
}

/* ---- NAME=value: environment, sysctls ---- */

static bool pair_allowed(struct bound_rules rules, const char *entry, size_t name, u32 *line)
{
    struct bound_entry e;
    const char *value = entry + name + 1;

    *line = 0;
    while (bound_next(&rules, &e)) {
        if (!matches(e.name, entry, name))
            continue;
        if (matches(e.value, value, strlen(value)))
            return true;
        *line = e.line;
    }
    return false;
}

static bool pair_is_there(char **list, struct bound_text name)
{
    for (; list != NULL && *list != NULL; list++) {
        if (matches(name, *list, (size_t)(strchr(*list, '=') - *list)))
            return true;
    }
    return false;
}

static int check_pairs(const struct bound *b, u32 number, const char *what, char **list)
{
    struct bound_rules rules = b->members[number];
    struct bound_entry e;
    struct shown s;
    u32 line;

    for (char **p = list; p != NULL && *p != NULL; p++) {
        const char *equal = strchr(*p, '=');
        size_t name = equal != NULL ? (size_t)(equal - *p) : 0;

        /* Programs disagree on what such entries mean, and which of two counts. */
        if (name == 0)
            return refuse(&rules, rules.line, "%s without a name or a value", what);
        for (char **before = list; before < p; before++) {
            if (strncmp(*before, *p, name + 1) == 0)
                return refuse(&rules, rules.line, "%s %s twice", what, show(&s, *p, name));
        }
        if (!pair_allowed(rules, *p, name, &line))
            return refuse(&rules, line, "%s %s", what, show(&s, *p, name));
    }
    while (bound_next(&rules, &e)) {
        if ((e.flags & BOUND_OPTIONAL) == 0 && !pair_is_there(list, e.name))
            return refuse_missing(&b->members[number], e.line, what, e.name, "");
    }
    return 0;
}

/* ---- commands ---- */

/* *reached: the furthest argument that some rule came to. */
static bool command_allows(struct bound_text command, char **argv, u32 *reached)
{
    struct bound_text word;
    bool good = true;
    u32 i = 0, flags;

    while (good && bound_next_word(&command, &word, &flags)) {
        bool repeat = (flags & BOUND_WORD_REPEAT) != 0;

        while (repeat && argv[i] != NULL && matches(word, argv[i], strlen(argv[i])))
            i++;
        if (!repeat) {
            good = argv[i] != NULL && matches(word, argv[i], strlen(argv[i]));
            i += good;
        }
    }
    *reached = MAX(*reached, i);
    return good && argv[i] == NULL;
}

static int check_args(const struct bound *b, const struct deployment *d)
{
    static char *none[1];
    char **argv = d->argv != NULL ? d->argv : none;
    struct bound_rules rules = b->members[BOUND_ARGS];
    struct bound_entry e;
    u32 reached = 0;

    while (bound_next(&rules, &e)) {
        if (command_allows(e.value, argv, &reached))
            return 0;
    }
    return refuse(&b->members[BOUND_ARGS], 0, "argument %u of process 1%s", reached,
                  argv[reached] == NULL ? " (missing)" : "");
}

/* ---- who the first process is ---- */

static int check_user(const struct bound *b, const struct deployment *d)
{
    u64 sets = d->capabilities | d->bounding | d->inheritable | d->ambient;
    u64 capabilities = sets & ~number_of(b, BOUND_CAPABILITIES, 0);
    u64 umask = number_of(b, BOUND_UMASK, UMASK_DEFAULT) & ~(u64)d->umask;
    int r = check_range(b, BOUND_UID, "user", d->uid);

    if (r == 0)
        r = check_range(b, BOUND_GID, "group", d->gid);
    for (u32 i = 0; r == 0 && i < d->group_count; i++) {
        if (d->groups[i] != d->gid)
            r = check_range(b, BOUND_GROUPS, "additional group", d->groups[i]);
    }
    if (r == 0 && capabilities != 0)
        r = refuse(&b->members[BOUND_CAPABILITIES], b->members[BOUND_CAPABILITIES].line,
                   "capability number %d", __builtin_ctzll(capabilities));
    if (r == 0 && umask != 0)
        r = refuse(&b->members[BOUND_UMASK], b->members[BOUND_UMASK].line,
                   "umask %03o without the bits %03o", d->umask, (u32)umask);
    return r;
}

static int check_rlimits(const struct bound *b, const struct deployment *d)
{
    for (u32 i = 0; i < ARRAY_SIZE(d->rlimits); i++) {
        struct bound_rules rules = b->members[BOUND_RLIMITS];
        struct bound_entry e;
        struct bound_rlimit limit;
        bool allowed = (d->rlimits_set & 1u << i) == 0;

        while (!allowed && bound_next(&rules, &e)) {
            memcpy(&limit, e.value.p, sizeof(limit));
            allowed = limit.resource == i && d->rlimits[i].soft >= limit.min &&
                      d->rlimits[i].hard <= limit.max;
        }
        if (!allowed)
            return refuse(&b->members[BOUND_RLIMITS], 0, "resource limit number %u", i);
    }
    return 0;
}

/* ---- mounts ---- */

/* The LibOS's own file systems in their usual places: nothing of the host's, and nothing of the
 * image's is hidden by them. */
static const struct {
    u32 kind;
    const char *target;
} g_usual_mounts[] = {
    {MANIFEST_MOUNT_PROC, "/proc"},
    {MANIFEST_MOUNT_DEV, "/dev"},
    {MANIFEST_MOUNT_DEVPTS, "/dev/pts"},
    {MANIFEST_MOUNT_TMPFS, "/dev/shm"},
    {MANIFEST_MOUNT_MQUEUE, "/dev/mqueue"},
    {MANIFEST_MOUNT_SYSFS, "/sys"},
    {MANIFEST_MOUNT_CGROUP, "/sys/fs/cgroup"},
};

_Static_assert(MANIFEST_MOUNT_FLAGS == 127u, "what a host mount may be needs a BOUND_MOUNT_*");

/* mode, uid, gid: of a tmpfs's root. */
static bool mount_fits(const struct bound_mount *rule, struct bound_text device,
                       const struct deployment_mount *m)
{
    if (m->kind != rule->kind)
        return false;
    if (m->kind == MANIFEST_MOUNT_PASSTHROUGH) {
        return ((rule->may & BOUND_MOUNT_WRITE) != 0 ||
                (m->flags & MANIFEST_MOUNT_READONLY) != 0) &&
               ((rule->may & BOUND_MOUNT_EXEC) != 0 ||
                (m->flags & MANIFEST_MOUNT_INSECURE_EXEC) == 0) &&
               ((rule->may & BOUND_MOUNT_LINKS) != 0 ||
                (m->flags & MANIFEST_MOUNT_INSECURE_LINKS) == 0);
    }
    if (m->kind == MANIFEST_MOUNT_DEVICE)
        return strlen(m->source) == device.size && memcmp(m->source, device.p, device.size) == 0;
    if (m->kind != MANIFEST_MOUNT_TMPFS)
        return true;
    return ((m->mode != 0 ? m->mode : MODE_DEFAULT) & ~rule->mode) == 0 &&
           mount_option_number(m->options, "uid") == rule->uid &&
           mount_option_number(m->options, "gid") == rule->gid;
}

static bool target_is(const struct bound_entry *e, const char *target)
{
    struct bound_text t = {e->value.p + sizeof(struct bound_mount),
                           e->value.size - sizeof(struct bound_mount)};

    return strlen(target) == t.size && memcmp(target, t.p, t.size) == 0;
}

/* Once each, and where no rule says more of that place. */
static bool usual_mount(struct bound_rules rules, const struct deployment_mount *m, u32 *seen)
{
    struct bound_entry e;

    while (bound_next(&rules, &e)) {
        if (target_is(&e, m->target))
            return false;
    }
    for (u32 i = 0; i < ARRAY_SIZE(g_usual_mounts); i++) {
        const struct bound_mount rule = {.kind = g_usual_mounts[i].kind, .mode = MODE_DEFAULT};

        if (strcmp(m->target, g_usual_mounts[i].target) != 0)
            continue;
        if (!mount_fits(&rule, (struct bound_text){0}, m) || (*seen & 1u << i) != 0)
            return false;
        *seen |= 1u << i;
        return true;
    }
    return false;
}

/*
 * Rules and mounts are walked together: a later mount hides what an earlier one put below it, so
 * their order is part of what the bound says. Each rule serves once.
 */
static int check_mounts(const struct bound *b, const struct deployment *d)
{
    const struct bound_rules *member = &b->members[BOUND_MOUNTS];
    struct bound_rules rules = *member;
    struct bound_entry e;
    u32 seen = 0, i = 0;
    struct shown s;

    while (bound_next(&rules, &e)) {
        struct bound_mount rule;

        while (i < d->mount_count && !target_is(&e, d->mounts[i].target) &&
               usual_mount(*member, &d->mounts[i], &seen))
            i++;
        memcpy(&rule, e.value.p, sizeof(rule));
        if (i < d->mount_count && target_is(&e, d->mounts[i].target)) {
            if (!mount_fits(&rule, e.name, &d->mounts[i]))
                return refuse(member, e.line, "mount %s with these options",
                              show(&s, d->mounts[i].target, strlen(d->mounts[i].target)));
            i++;
        } else if ((e.flags & BOUND_OPTIONAL) == 0) {
            return refuse_missing(
                member, e.line, "mount",
                (struct bound_text){e.value.p + sizeof(rule), e.value.size - sizeof(rule)},
                " or not in its place of the order");
        }
    }
    while (i < d->mount_count && usual_mount(*member, &d->mounts[i], &seen))
        i++;
    if (i == d->mount_count)
        return 0;
    return refuse(member, 0, "mount %s in this place of the order",
                  show(&s, d->mounts[i].target, strlen(d->mounts[i].target)));
}

/* ---- masked and read-only paths: these at least, and no others but the usual ---- */

static const char *const g_usual_masked[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/system/cpu/cpu*/thermal_throttle",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
    NULL,
};
static const char *const g_usual_readonly[] = {
    "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static int check_paths(const struct bound *b, u32 number, const char *what, char **list,
                       const char *const *usual)
{
    const struct bound_rules *member = &b->members[number];
    struct bound_rules rules = *member;
    struct bound_entry e;
    struct shown s;

    for (char **p = list; p != NULL && *p != NULL; p++) {
        struct bound_rules left = *member;
        size_t size = strlen(*p);
        bool allowed = false;

        for (const char *const *u = usual; !allowed && *u != NULL; u++)
            allowed = pattern_match(*u, strlen(*u), *p, size);
        while (!allowed && bound_next(&left, &e))
            allowed = matches(e.value, *p, size);
        if (!allowed)
            return refuse(member, 0, "%s path %s", what, show(&s, *p, size));
    }
    while (bound_next(&rules, &e)) {
        bool there = (e.flags & BOUND_OPTIONAL) != 0;

        for (char **p = list; !there && p != NULL && *p != NULL; p++)
            there = matches(e.value, *p, strlen(*p));
        if (!there)
            return refuse_missing(member, e.line, what, e.value, "");
    }
    return 0;
}

static int check_readonly_root(const struct bound *b, const struct deployment *d)
{
    const struct bound_rules *member = &b->members[BOUND_READONLY_ROOT];

    if (member->line == 0 || number_of(b, BOUND_READONLY_ROOT, 0) == d->readonly_root)
        return 0;
    return refuse(member, member->line, "a root that is %s",
                  d->readonly_root ? "read-only" : "not read-only");
}

/* ---- what the host may do while the enclave runs ---- */

_Static_assert(MANIFEST_POLICY_FLAGS == 31u, "a flag of the policy needs a member of the bound");

static bool exec_is_any(const struct bound_rules *member)
{
    struct bound_rules rules = *member;
    struct bound_entry e;

    return bound_next(&rules, &e) && e.value.size == 0;
}

/* All that the deployment's text allows is allowed by the bound's pattern. */
static bool text_within(const struct deployment_text *t, struct bound_text pattern)
{
    size_t size = strlen(t->text);

    return t->pattern ? pattern_within(t->text, size, pattern.p, pattern.size)
                      : matches(pattern, t->text, size);
}

static bool within_some(const struct deployment_text *t, struct bound_text command, u32 kind)
{
    struct bound_text word;
    u32 flags;

    while (bound_next_word(&command, &word, &flags)) {
        if (flags == kind && text_within(t, word))
            return true;
    }
    return false;
}

static bool arguments_within(const struct deployment_command *c, struct bound_text command)
{
    struct bound_text word;
    u32 i = 0, flags;

    while (bound_next_word(&command, &word, &flags)) {
        if ((flags & (BOUND_WORD_ENV | BOUND_WORD_CWD)) != 0)
            break;
        if (flags == 0 && (i == c->arg_count || !text_within(&c->texts[i++], word)))
            return false;
        while (flags != 0 && i < c->arg_count && text_within(&c->texts[i], word))
            i++;
    }
    return i == c->arg_count;
}

static bool command_within(const struct deployment_command *c, const struct bound_entry *rule)
{
    if ((c->terminal && (rule->flags & BOUND_WITH_TERMINAL) == 0) ||
        !arguments_within(c, rule->value))
        return false;
    for (u32 i = 0; i < c->env_count + c->cwd_count; i++) {
        if (!within_some(&c->texts[c->arg_count + i], rule->value,
                         i < c->env_count ? BOUND_WORD_ENV : BOUND_WORD_CWD))
            return false;
    }
    return true;
}

/* Each command of the deployment's list is covered by one of the bound's. */
static int check_commands(const struct bound *b, const struct deployment *d)
{
    const struct bound_rules *member = &b->members[BOUND_EXEC];

    for (u32 i = 0; i < d->command_count; i++) {
        struct bound_rules rules = *member;
        struct bound_entry e;
        bool allowed = exec_is_any(member);

        while (!allowed && bound_next(&rules, &e))
            allowed = command_within(&d->commands[i], &e);
        if (!allowed)
            return refuse(member, 0, "command %u of the exec list", i);
    }
    return 0;
}

static int check_policy(const struct bound *b, const struct deployment_policy *p)
{
    const struct bound_rules *member = &b->members[BOUND_EXEC];
    u64 signals = p->signals & ~number_of(b, BOUND_SIGNALS, 0);
    int r = 0;

    if (p->exec != MANIFEST_EXEC_NONE && p->exec != MANIFEST_EXEC_LIST && !exec_is_any(member))
        return refuse(member, member->line, "exec of any command");
    if (signals != 0)
        r = refuse(&b->members[BOUND_SIGNALS], b->members[BOUND_SIGNALS].line,
                   "signal %d from the host", __builtin_ctzll(signals) + 1);
    if (r == 0)
        r = check_may(b, BOUND_SIGNAL_ANY, "signals from the host to any process", p->signal_any);
    if (r == 0)
        r = check_may(b, BOUND_STDIN, "standard input from the host", p->stdin_host);
    if (r == 0)
        r = check_may(b, BOUND_STDOUT, "standard output to the host", p->stdout_host);
    if (r == 0)
        r = check_may(b, BOUND_LOOPBACK, "the host's loopback", p->loopback_host);
    if (r == 0 && !p->no_new_privs && number_of(b, BOUND_NO_NEW_PRIVS, 0) == BOUND_MUST)
        r = refuse(&b->members[BOUND_NO_NEW_PRIVS], b->members[BOUND_NO_NEW_PRIVS].line,
                   "a process without no_new_privs");
    return r;
}

/* A record of the deployment that is not bounded here does not compile. */
static int check_record(enum manifest_record_type type, const struct bound *b,
                        const struct deployment *d)
{
    switch (type) {
    case MANIFEST_ARG:
        return check_args(b, d);
    case MANIFEST_ENV:
        return check_pairs(b, BOUND_ENV, "environment variable", d->env);
    case MANIFEST_CWD:
        return check_text(b, BOUND_CWD, "working directory", d->cwd, "/");
    case MANIFEST_USER:
        return check_user(b, d);
    case MANIFEST_HOSTNAME:
        return check_text(b, BOUND_HOSTNAME, "hostname", d->hostname, "localhost");
    case MANIFEST_MOUNT:
        return check_mounts(b, d);
    case MANIFEST_RLIMIT:
        return check_rlimits(b, d);
    case MANIFEST_TERMINAL:
        return check_may(b, BOUND_TERMINAL, "a terminal", d->terminal);
    case MANIFEST_DOMAINNAME:
        return check_text(b, BOUND_DOMAINNAME, "domainname", d->domainname, "(none)");
    case MANIFEST_SYSCTL:
        return check_pairs(b, BOUND_SYSCTLS, "sysctl", d->sysctls);
    case MANIFEST_READONLY_ROOT:
        return check_readonly_root(b, d);
    case MANIFEST_MASKED_PATH:
        return check_paths(b, BOUND_MASKED_PATHS, "masked", d->masked_paths, g_usual_masked);
    case MANIFEST_READONLY_PATH:
        return check_paths(b, BOUND_READONLY_PATHS, "read-only", d->readonly_paths,
                           g_usual_readonly);
    case MANIFEST_POLICY:
        return check_policy(b, &d->policy);
    case MANIFEST_COMMAND:
        return check_commands(b, d);
    case MANIFEST_HOST_VARIABLE: /* what came by these is bounded as MANIFEST_ENV and the names */
    case MANIFEST_HOST_NAMES:
    case MANIFEST_RATLS_CLIENTS: /* without MANIFEST_RATLS it asks for nothing */
        return 0;
    case MANIFEST_RATLS:
        if (!d->ratls)
            return 0;
        log_error(OUTSIDE "a bound does not allow enclave.ratls, which opens a port of the "
                          "loopback to others");
        return -EPERM;
    case MANIFEST_RECORD_END:
        break;
    }
    return -EINVAL;
}

bool bound_allows_text(const void *blob, size_t size, u32 number, const char *text)
{
    struct bound b;
    struct bound_entry e;
    bool allowed = false;

    if (bound_open(blob, size, &b) < 0)
        return false;
    while (!allowed && bound_next(&b.members[number], &e))
        allowed = matches(e.value, text, strlen(text));
    return allowed;
}

int bound_check(const void *blob, size_t size, const struct deployment *d)
{
    struct bound b;
    int r = bound_open(blob, size, &b);

    if (r < 0)
        log_error("the image's bound is malformed");
    for (u32 type = MANIFEST_ARG; r == 0 && type < MANIFEST_RECORD_END; type++)
        r = check_record((enum manifest_record_type)type, &b, d);
    return r;
}
