/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the bound. It is measured, so the host cannot change it; but what a wrong builder wrote
 * must not become a bound that allows more than was meant, so anything odd refuses the whole.
 */
#include "bound_blob.h"
#include "manifest.h"
#include "process.h"

/* What the rules of a member are made of. */
enum content { TEXT, PAIR, COMMAND, RANGE, NUMBER, MOUNT, RLIMIT };

static const struct {
    const char *name;
    enum content content;
} g_members[BOUND_MEMBER_END] = {
    [BOUND_ARGS] = {"args", COMMAND},
    [BOUND_ENV] = {"env", PAIR},
    [BOUND_CWD] = {"cwd", TEXT},
    [BOUND_UID] = {"user.uid", RANGE},
    [BOUND_GID] = {"user.gid", RANGE},
    [BOUND_GROUPS] = {"user.groups", RANGE},
    [BOUND_CAPABILITIES] = {"user.capabilities", NUMBER},
    [BOUND_UMASK] = {"user.umask", NUMBER},
    [BOUND_MOUNTS] = {"mounts", MOUNT},
    [BOUND_HOSTNAME] = {"hostname", TEXT},
    [BOUND_DOMAINNAME] = {"domainname", TEXT},
    [BOUND_RLIMITS] = {"rlimits", RLIMIT},
    [BOUND_SYSCTLS] = {"sysctls", PAIR},
    [BOUND_TERMINAL] = {"terminal", NUMBER},
    [BOUND_READONLY_ROOT] = {"readonlyRoot", NUMBER},
    [BOUND_MASKED_PATHS] = {"maskedPaths", TEXT},
    [BOUND_READONLY_PATHS] = {"readonlyPaths", TEXT},
    [BOUND_EXEC] = {"exec", COMMAND},
    [BOUND_SIGNALS] = {"signals", NUMBER},
    [BOUND_SIGNAL_ANY] = {"signalAnyProcess", NUMBER},
    [BOUND_STDIN] = {"stdin", NUMBER},
    [BOUND_STDOUT] = {"stdout", NUMBER},
    [BOUND_LOOPBACK] = {"loopback", NUMBER},
    [BOUND_NO_NEW_PRIVS] = {"noNewPrivileges", NUMBER},
};

static bool take(const u8 **p, const u8 *end, void *out, size_t n)
{
    if (n > (size_t)(end - *p))
        return false;
    memcpy(out, *p, n);
    *p += n;
    return true;
}

/* A rule, without a look at its value. */
static bool take_rule(const u8 **p, const u8 *end, struct bound_entry *out)
{
    struct bound_rule r;
    size_t size, padded;

    if (!take(p, end, &r, sizeof(r)) || (r.flags & ~(BOUND_OPTIONAL | BOUND_WITH_TERMINAL)) != 0)
        return false;
    size = (size_t)r.name_size + r.value_size;
    padded = (size + 7) & ~7ul;
    if (padded > (size_t)(end - *p))
        return false;
    for (size_t i = size; i < padded; i++) {
        if ((*p)[i] != 0)
            return false;
    }
    out->line = r.line;
    out->flags = r.flags;
    out->name = (struct bound_text){(const char *)*p, r.name_size};
    out->value = (struct bound_text){(const char *)*p + r.name_size, r.value_size};
    *p += padded;
    return true;
}

bool bound_next_word(struct bound_text *command, struct bound_text *word, u32 *flags)
{
    struct bound_word w;

    if (command->size < sizeof(w))
        return false;
    memcpy(&w, command->p, sizeof(w));
    if (w.size > command->size - sizeof(w))
        return false;
    *flags = w.flags;
    *word = (struct bound_text){command->p + sizeof(w), w.size};
    command->p += sizeof(w) + w.size;
    command->size -= sizeof(w) + w.size;
    return true;
}

/* Arguments, the last of which may repeat, then what goes with them. */
static bool command_valid(struct bound_text command)
{
    struct bound_text word;
    bool arguments = true;
    u32 flags;

    while (command.size > 0) {
        if (!bound_next_word(&command, &word, &flags) || !pattern_valid(word.p, word.size))
            return false;
        if (flags != 0 && flags != BOUND_WORD_REPEAT && flags != BOUND_WORD_ENV &&
            flags != BOUND_WORD_CWD)
            return false;
        if (!arguments && (flags & (BOUND_WORD_ENV | BOUND_WORD_CWD)) == 0)
            return false;
        arguments = flags == 0;
    }
    return true;
}

static bool mount_valid(struct bound_text name, struct bound_text value)
{
    struct bound_mount m;
    const char *target = value.p + sizeof(m);

    if (value.size <= sizeof(m))
        return false;
    memcpy(&m, value.p, sizeof(m));
    return m.kind >= MANIFEST_MOUNT_TMPFS && m.kind <= MANIFEST_MOUNT_DEVICE && m.may <= 7 &&
           (name.size != 0) == (m.kind == MANIFEST_MOUNT_DEVICE) && m.mode <= 07777 &&
           m.reserved0 == 0 && target[0] == '/' &&
           memchr(target, 0, value.size - sizeof(m)) == NULL;
}

static bool value_valid(enum content content, const struct bound_entry *e)
{
    struct bound_range range;
    struct bound_rlimit limit;

    if (content != PAIR && content != MOUNT && e->name.size != 0)
        return false;
    switch (content) {
    case PAIR:
        return e->name.size != 0 && pattern_valid(e->name.p, e->name.size) &&
               memchr(e->name.p, '=', e->name.size) == NULL &&
               pattern_valid(e->value.p, e->value.size);
    case TEXT:
        return pattern_valid(e->value.p, e->value.size);
    case COMMAND:
        return command_valid(e->value);
    case RANGE:
        if (e->value.size != sizeof(range))
            return false;
        memcpy(&range, e->value.p, sizeof(range));
        return range.first <= range.last;
    case NUMBER:
        return e->value.size == 8;
    case MOUNT:
        return mount_valid(e->name, e->value);
    case RLIMIT:
        if (e->value.size != sizeof(limit))
            return false;
        memcpy(&limit, e->value.p, sizeof(limit));
        return limit.resource < 16 && limit.reserved0 == 0 && limit.min <= limit.max;
    }
    return false;
}

static bool member_valid(const struct bound_rules *rules, enum content content)
{
    const u8 *p = rules->p;
    struct bound_entry e;

    for (u32 i = 0; i < rules->count; i++) {
        if (!take_rule(&p, rules->end, &e) || !value_valid(content, &e))
            return false;
    }
    return p == rules->end && rules->line != 0 && (content != NUMBER || rules->count == 1);
}

int bound_open(const void *blob, size_t size, struct bound *out)
{
    const u8 *p = blob, *end = p + size;
    struct bound_header h;
    u32 last = 0;

    memset(out, 0, sizeof(*out));
    for (u32 i = 1; i < BOUND_MEMBER_END; i++)
        out->members[i].name = g_members[i].name;
    if (size > BOUND_MAX || !take(&p, end, &h, sizeof(h)) || h.magic != BOUND_MAGIC ||
        h.version != BOUND_VERSION || h.size != size)
        return -EINVAL;
    for (u32 i = 0; i < h.member_count; i++) {
        struct bound_member m;
        struct bound_rules *rules;

        if (!take(&p, end, &m, sizeof(m)) || m.number <= last || m.number >= BOUND_MEMBER_END ||
            m.size > (size_t)(end - p))
            return -EINVAL;
        rules = &out->members[m.number];
        rules->line = m.line;
        rules->count = m.rule_count;
        rules->p = p;
        rules->end = p += m.size;
        if (!member_valid(rules, g_members[m.number].content))
            return -EINVAL;
        last = m.number;
    }
    return p == end ? 0 : -EINVAL;
}

bool bound_next(struct bound_rules *rules, struct bound_entry *out)
{
    return rules->p != rules->end && take_rule(&rules->p, rules->end, out);
}
