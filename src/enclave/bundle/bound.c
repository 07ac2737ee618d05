/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bound from JSON to the form of abi/bound.h. Strict: what is misspelled would be a bound that
 * allows less or requires less than its author believes.
 */
#include "bound.h"
#include "enclave/bundle/bound_text.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "manifest.h"
#include "oci/config.h"

#define ID_ANY   UINT32_MAX
#define MODE_ALL 01777u

static void add_number(struct bound_compiler *c, const json_t *at, uint64_t value)
{
    bound_add_rule(c, at, 0, NULL, &value, sizeof(value));
}

/* ---- members, by their kind ---- */

static int text_item(struct bound_compiler *c, const json_t *item)
{
    cleanup_buffer struct buffer pattern = BUFFER_INIT;
    bool unused;
    if (bound_read_text(c, item, &pattern, NULL, &unused) < 0)
        return -1;
    bound_add_rule(c, item, 0, NULL, pattern.data, pattern.size);
    return 0;
}

static int path_item(struct bound_compiler *c, const json_t *item)
{
    cleanup_buffer struct buffer pattern = BUFFER_INIT;
    bool optional;
    if (bound_read_text(c, item, &pattern, "optional", &optional) < 0)
        return -1;
    bound_add_rule(c, item, optional ? BOUND_OPTIONAL : 0, NULL, pattern.data, pattern.size);
    return 0;
}

static int texts(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    return bound_each(c, value, true, count, text_item);
}

static int paths(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    return bound_each(c, value, false, count, path_item);
}

/* "NAME=value", or an object. */
static int read_pair(struct bound_compiler *c, const json_t *item, struct buffer *name,
                     struct buffer *value, bool *optional)
{
    static const char *const names[] = {"name", "namePattern", "value", "pattern",
                                        "any",  "optional",    NULL};
    const char *text = json_string_value(item);
    *optional = false;
    if (text) {
        const char *equal = strchr(text, '=');
        if (!equal || equal == text)
            return bound_wrong(c, item, "NAME=value");
        cleanup_free char *head = xstrndup(text, (size_t)(equal - text));
        bound_append_exact(name, head);
        bound_append_exact(value, equal + 1);
    } else {
        if (!json_is_object(item))
            return bound_wrong(c, item, "NAME=value, or an object with name or namePattern");
        const json_t *exact = json_object_get(item, "name");
        const json_t *pattern = json_object_get(item, "namePattern");
        if (bound_check_names(c, item, names) < 0)
            return -1;
        if (!exact == !pattern)
            return bound_wrong(c, item, "one of name and namePattern");
        if (exact && !json_is_string(exact))
            return bound_wrong(c, exact, "a string");
        if (exact)
            bound_append_exact(name, json_string_value(exact));
        else if (bound_append_pattern(c, name, pattern) < 0)
            return -1;
        if (!name->size || memchr(name->data, '=', name->size))
            return bound_fail(c, json_line(c->lines, item), "a name that is empty or has a \"=\"");
        if (bound_object_text(c, item, value) < 0 ||
            bound_object_flag(c, item, "optional", optional) < 0)
            return -1;
    }
    return 0;
}

static int pair_item(struct bound_compiler *c, const json_t *item)
{
    cleanup_buffer struct buffer name = BUFFER_INIT, value = BUFFER_INIT;
    bool optional;
    if (read_pair(c, item, &name, &value, &optional) < 0)
        return -1;
    bound_add_rule(c, item, optional ? BOUND_OPTIONAL : 0, &name, value.data, value.size);
    return 0;
}

static int pairs(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    return bound_each(c, value, false, count, pair_item);
}

static void add_word(struct buffer *command, uint32_t flags, const struct buffer *pattern)
{
    struct bound_word head = {(uint32_t)pattern->size, flags};
    buffer_append(command, &head, sizeof(head));
    buffer_append(command, pattern->data, pattern->size);
}

static int add_words(struct bound_compiler *c, const json_t *list, struct buffer *command)
{
    cleanup_buffer struct buffer pattern = BUFFER_INIT;
    size_t i, count = json_array_size(list);
    json_t *word;
    if (!json_is_array(list) || count == 0)
        return bound_wrong(c, list, "a command, which is a list of words");
    json_array_foreach (list, i, word) {
        bool repeat;
        if (bound_read_text(c, word, &pattern, "repeat", &repeat) < 0)
            return -1;
        if (repeat && (i == 0 || i + 1 < count))
            return bound_fail(c, json_line(c->lines, word),
                              "only the last word of a command, and not its first, may repeat");
        add_word(command, repeat ? BOUND_WORD_REPEAT : 0, &pattern);
    }
    return 0;
}

static int command_item(struct bound_compiler *c, const json_t *item)
{
    cleanup_buffer struct buffer command = BUFFER_INIT;
    if (add_words(c, item, &command) < 0)
        return -1;
    bound_add_rule(c, item, 0, NULL, command.data, command.size);
    return 0;
}

static int commands(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    return bound_each(c, value, false, count, command_item);
}

/* As in enclave.exec: one text NAME=value, whose name is written out. */
static bool names_variable(const struct buffer *pattern)
{
    size_t name = strspn(buffer_text(pattern), "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                               "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name > 0 && buffer_text(pattern)[name] == '=';
}

/* What a command may have besides its words: "env" or "cwd" of `item`, a list of texts. */
static int add_exec_texts(struct bound_compiler *c, const json_t *item, uint32_t kind,
                          struct buffer *command)
{
    const bool env = kind == BOUND_WORD_ENV;
    const json_t *list = json_object_get(item, env ? "env" : "cwd");
    cleanup_buffer struct buffer pattern = BUFFER_INIT;
    size_t i;
    json_t *text;
    if (list && !json_is_array(list))
        return bound_wrong(c, list, "a list");
    json_array_foreach (list, i, text) {
        bool unused;
        if (bound_read_text(c, text, &pattern, NULL, &unused) < 0)
            return -1;
        if (env && !names_variable(&pattern))
            return bound_wrong(c, text, "NAME=value with the name written out");
        add_word(command, kind, &pattern);
    }
    return 0;
}

/* A list of words, or {"args": words, "env": ..., "cwd": ..., "terminal": true}. */
static int exec_item(struct bound_compiler *c, const json_t *item)
{
    static const char *const names[] = {"args", "env", "cwd", "terminal", NULL};
    cleanup_buffer struct buffer command = BUFFER_INIT;
    bool terminal;
    if (!json_is_object(item))
        return command_item(c, item);
    const json_t *args = json_object_get(item, "args");
    if (bound_check_names(c, item, names) < 0 ||
        bound_object_flag(c, item, "terminal", &terminal) < 0)
        return -1;
    if (!args)
        return bound_wrong(c, item, "args");
    if (add_words(c, args, &command) < 0 || add_exec_texts(c, item, BOUND_WORD_ENV, &command) < 0 ||
        add_exec_texts(c, item, BOUND_WORD_CWD, &command) < 0)
        return -1;
    bound_add_rule(c, item, terminal ? BOUND_WITH_TERMINAL : 0, NULL, command.data, command.size);
    return 0;
}

static int exec(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    const char *word = json_string_value(value);
    if (word && strcmp(word, "none") == 0)
        return 0;
    if (word && strcmp(word, "any") == 0) {
        *count = 1;
        bound_add_rule(c, value, 0, NULL, NULL, 0);
        return 0;
    }
    return json_is_array(value) ? bound_each(c, value, false, count, exec_item)
                                : bound_wrong(c, value, "\"none\", \"any\" or a list of commands");
}

/* A number, "first-last" or "any". */
static int id_item(struct bound_compiler *c, const json_t *item)
{
    struct bound_range range = {0, ID_ANY};
    const char *text = json_string_value(item);
    if (json_is_integer(item)) {
        json_int_t id = json_integer_value(item);
        if (id < 0 || id > UINT32_MAX)
            return bound_wrong(c, item, "an id from 0 to 4294967295");
        range.first = range.last = (uint32_t)id;
    } else if (!text || strcmp(text, "any") != 0) {
        unsigned long long first, last;
        char *end = NULL;
        bool digit = text && *text >= '0' && *text <= '9';
        first = digit ? strtoull(text, &end, 10) : 0;
        digit = digit && *end == '-' && end[1] >= '0' && end[1] <= '9';
        last = digit ? strtoull(end + 1, &end, 10) : 0;
        if (!digit || *end || first > last || last > UINT32_MAX)
            return bound_wrong(c, item, "an id, \"first-last\" or \"any\"");
        range = (struct bound_range){(uint32_t)first, (uint32_t)last};
    }
    bound_add_rule(c, item, 0, NULL, &range, sizeof(range));
    return 0;
}

static int ids(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    return bound_each(c, value, true, count, id_item);
}

/* Bits by name, or "any": all. */
static int read_bits(struct bound_compiler *c, const json_t *value, int (*bit)(const char *name),
                     const char *wanted, uint64_t *out)
{
    size_t i;
    json_t *item;
    *out = 0;
    if (json_is_string(value) && strcmp(json_string_value(value), "any") == 0) {
        *out = UINT64_MAX;
        return 0;
    }
    if (!json_is_array(value))
        return bound_wrong(c, value, wanted);
    json_array_foreach (value, i, item) {
        int number = json_is_string(item) ? bit(json_string_value(item)) : -1;
        if (number < 0)
            return bound_wrong(c, item, wanted);
        *out |= UINT64_C(1) << number;
    }
    return 0;
}

static int capabilities(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    uint64_t bits;
    if (read_bits(c, value, oci_capability_number, "a list of capabilities, or \"any\"", &bits) < 0)
        return -1;
    add_number(c, value, bits);
    *count = 1;
    return 0;
}

/* "TERM", "SIGTERM", "RTMIN+3". */
static int signal_bit(const char *name)
{
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int sig = 1; sig < 32; sig++) {
        const char *known = sigabbrev_np(sig);
        if (known && strcmp(name, known) == 0)
            return sig - 1;
    }
    if (strncmp(name, "RTMIN+", 6) == 0 && name[6] >= '0' && name[6] <= '9') {
        char *end;
        unsigned long offset = strtoul(name + 6, &end, 10);
        if (!*end && offset <= 30) /* glibc's RTMIN is 34, as docker's is */
            return 34 + (int)offset - 1;
    }
    return -1;
}

static int signals(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    const char *word = json_string_value(value);
    uint64_t bits = MANIFEST_SIGNALS_DEFAULT;
    if ((!word || strcmp(word, "default") != 0) &&
        read_bits(c, value, signal_bit, "a list of signals (TERM, RTMIN+3), \"default\" or \"any\"",
                  &bits) < 0)
        return -1;
    add_number(c, value, bits);
    *count = 1;
    return 0;
}

static int read_mode(struct bound_compiler *c, const json_t *value, uint32_t most, uint32_t *out)
{
    const char *text = json_string_value(value);
    char *end = NULL;
    unsigned long mode = text && *text >= '0' && *text <= '7' ? strtoul(text, &end, 8) : 0;
    if (!end || *end || mode > most)
        return bound_wrong(c, value, "a string of octal digits");
    *out = (uint32_t)mode;
    return 0;
}

static int umask_bits(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    uint32_t mask = 0;
    if (read_mode(c, value, 0777, &mask) < 0)
        return -1;
    add_number(c, value, mask);
    *count = 1;
    return 0;
}

static int boolean(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    if (!json_is_boolean(value))
        return bound_wrong(c, value, "true or false");
    add_number(c, value, json_is_true(value));
    *count = 1;
    return 0;
}

static int loopback(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    const char *word = json_string_value(value);
    if (!word || (strcmp(word, "enclave") != 0 && strcmp(word, "host") != 0))
        return bound_wrong(c, value, "\"enclave\" or \"host\"");
    add_number(c, value, strcmp(word, "host") == 0 ? BOUND_MAY : 0);
    *count = 1;
    return 0;
}

/* ---- mounts and limits ---- */

static int word_of(const json_t *value, const char *const *words, size_t count)
{
    const char *word = json_string_value(value);
    for (size_t i = 0; word && i < count; i++)
        if (words[i] && strcmp(words[i], word) == 0)
            return (int)i;
    return -1;
}

static int mount_may(struct bound_compiler *c, const json_t *list, uint32_t *out)
{
    static const char *const words[] = {"write", "insecure-exec", "insecure-links"}; /* bits */
    size_t i;
    json_t *item;
    if (!json_is_array(list))
        return bound_wrong(c, list, "a list of write, insecure-exec, insecure-links");
    json_array_foreach (list, i, item) {
        int bit = word_of(item, words, array_count(words));
        if (bit < 0)
            return bound_wrong(c, item, "write, insecure-exec or insecure-links");
        *out |= 1u << bit;
    }
    return 0;
}

static int mount_owner(struct bound_compiler *c, const json_t *object, const char *name,
                       uint32_t *out)
{
    const json_t *value = json_object_get(object, name);
    json_int_t id = json_integer_value(value);
    if (value && (!json_is_integer(value) || id < 0 || id > UINT32_MAX))
        return bound_wrong(c, value, "an id from 0 to 4294967295");
    *out = (uint32_t)id;
    return 0;
}

static int mount_item(struct bound_compiler *c, const json_t *item)
{
    static const char *const names[] = {"target", "kind",   "may",      "mode", "uid",
                                        "gid",    "device", "optional", NULL};
    static const char *const kinds[] = {
        [MANIFEST_MOUNT_TMPFS] = "tmpfs",   [MANIFEST_MOUNT_PROC] = "proc",
        [MANIFEST_MOUNT_DEV] = "dev",       [MANIFEST_MOUNT_DEVPTS] = "devpts",
        [MANIFEST_MOUNT_SYSFS] = "sysfs",   [MANIFEST_MOUNT_PASSTHROUGH] = "host",
        [MANIFEST_MOUNT_MQUEUE] = "mqueue", [MANIFEST_MOUNT_CGROUP] = "cgroup",
        [MANIFEST_MOUNT_DEVICE] = "device"};
    struct bound_mount mount = {.mode = MODE_ALL};
    bool optional;
    if (!json_is_object(item))
        return bound_wrong(c, item, "an object with target and kind");
    if (bound_check_names(c, item, names) < 0 ||
        bound_object_flag(c, item, "optional", &optional) < 0)
        return -1;
    const char *target = json_string_value(json_object_get(item, "target"));
    int kind = word_of(json_object_get(item, "kind"), kinds, array_count(kinds));
    if (!target || target[0] != '/')
        return bound_wrong(c, item, "an absolute path for target");
    if (kind < 0)
        return bound_wrong(
            c, item, "tmpfs, host, proc, dev, devpts, sysfs, mqueue, cgroup or device for kind");
    mount.kind = (uint32_t)kind;
    const json_t *may = json_object_get(item, "may"), *mode = json_object_get(item, "mode");
    bool owner = json_object_get(item, "uid") || json_object_get(item, "gid");
    if (may && kind != MANIFEST_MOUNT_PASSTHROUGH)
        return bound_fail(c, json_line(c->lines, item), "may is for mounts of kind host");
    if ((mode || owner) && kind != MANIFEST_MOUNT_TMPFS)
        return bound_fail(c, json_line(c->lines, item),
                          "mode, uid and gid are for mounts of kind tmpfs");
    const char *device = json_string_value(json_object_get(item, "device"));
    if ((kind == MANIFEST_MOUNT_DEVICE) != (device && *device) ||
        (!device && json_object_get(item, "device")))
        return bound_fail(c, json_line(c->lines, item),
                          "device is for mounts of kind device, a path such as \"/dev/null\"");
    if ((may && mount_may(c, may, &mount.may) < 0) ||
        (mode && read_mode(c, mode, 07777, &mount.mode) < 0) ||
        mount_owner(c, item, "uid", &mount.uid) < 0 || mount_owner(c, item, "gid", &mount.gid) < 0)
        return -1;
    cleanup_buffer struct buffer name = BUFFER_INIT, value = BUFFER_INIT;
    if (device)
        buffer_append_text(&name, device);
    buffer_append(&value, &mount, sizeof(mount));
    buffer_append_text(&value, target);
    bound_add_rule(c, item, optional ? BOUND_OPTIONAL : 0, &name, value.data, value.size);
    return 0;
}

static int mounts(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    cleanup_json json_t *sorted = bound_sort_targets(value);
    return bound_each(c, sorted, false, count, mount_item);
}

/* {"RLIMIT_NOFILE": {"min": 1024, "max": 4096}}; what is not said is open. */
static int rlimits(struct bound_compiler *c, const json_t *value, uint32_t *count)
{
    static const char *const names[] = {"min", "max", NULL};
    const char *key;
    json_t *item;
    if (!json_is_object(value))
        return bound_wrong(c, value, "an object of limits");
    json_object_foreach ((json_t *)value, key, item) {
        struct bound_rlimit limit = {.max = UINT64_MAX};
        int resource = oci_rlimit_number(key);
        if (resource < 0)
            return bound_fail(c, json_member_line(c->lines, value, key),
                              "not a limit (RLIMIT_NOFILE)");
        if (!json_is_object(item))
            return bound_wrong(c, item, "an object with min and max");
        if (bound_check_names(c, item, names) < 0)
            return -1;
        const json_t *min = json_object_get(item, "min"), *max = json_object_get(item, "max");
        if ((min && (!json_is_integer(min) || json_integer_value(min) < 0)) ||
            (max && (!json_is_integer(max) || json_integer_value(max) < 0)))
            return bound_wrong(c, item, "numbers for min and max");
        limit.resource = (uint32_t)resource;
        limit.min = min ? (uint64_t)json_integer_value(min) : 0;
        limit.max = max ? (uint64_t)json_integer_value(max) : UINT64_MAX;
        if (limit.min > limit.max)
            return bound_wrong(c, item, "a min that is not above max");
        bound_add_rule(c, item, 0, NULL, &limit, sizeof(limit));
        (*count)++;
    }
    return 0;
}

/* ---- the whole ---- */

#define IN_USER "user"

static const struct {
    const char *object; /* NULL: at the top */
    const char *name, *path;
    uint32_t number;
    bool needed;
    int (*compile)(struct bound_compiler *c, const json_t *value, uint32_t *count);
} g_members[] = {
    {NULL, "args", "args", BOUND_ARGS, true, commands},
    {NULL, "env", "env", BOUND_ENV, false, pairs},
    {NULL, "cwd", "cwd", BOUND_CWD, false, texts},
    {IN_USER, "uid", "user.uid", BOUND_UID, true, ids},
    {IN_USER, "gid", "user.gid", BOUND_GID, true, ids},
    {IN_USER, "groups", "user.groups", BOUND_GROUPS, false, ids},
    {IN_USER, "capabilities", "user.capabilities", BOUND_CAPABILITIES, false, capabilities},
    {IN_USER, "umask", "user.umask", BOUND_UMASK, false, umask_bits},
    {NULL, "mounts", "mounts", BOUND_MOUNTS, false, mounts},
    {NULL, "hostname", "hostname", BOUND_HOSTNAME, false, texts},
    {NULL, "domainname", "domainname", BOUND_DOMAINNAME, false, texts},
    {NULL, "rlimits", "rlimits", BOUND_RLIMITS, false, rlimits},
    {NULL, "sysctls", "sysctls", BOUND_SYSCTLS, false, pairs},
    {NULL, "terminal", "terminal", BOUND_TERMINAL, false, boolean},
    {NULL, "readonlyRoot", "readonlyRoot", BOUND_READONLY_ROOT, false, boolean},
    {NULL, "maskedPaths", "maskedPaths", BOUND_MASKED_PATHS, false, paths},
    {NULL, "readonlyPaths", "readonlyPaths", BOUND_READONLY_PATHS, false, paths},
    {NULL, "exec", "exec", BOUND_EXEC, false, exec},
    {NULL, "signals", "signals", BOUND_SIGNALS, false, signals},
    {NULL, "signalAnyProcess", "signalAnyProcess", BOUND_SIGNAL_ANY, false, boolean},
    {NULL, "stdin", "stdin", BOUND_STDIN, false, boolean},
    {NULL, "stdout", "stdout", BOUND_STDOUT, false, boolean},
    {NULL, "loopback", "loopback", BOUND_LOOPBACK, false, loopback},
    {NULL, "noNewPrivileges", "noNewPrivileges", BOUND_NO_NEW_PRIVS, false, boolean},
};

static int check_tree(struct bound_compiler *c, const json_t *root)
{
    const char *top[array_count(g_members) + 3] = {"version", IN_USER};
    const char *user[array_count(g_members) + 1] = {NULL};
    size_t tops = 2, users = 0;
    for (size_t i = 0; i < array_count(g_members); i++) {
        if (g_members[i].object)
            user[users++] = g_members[i].name;
        else
            top[tops++] = g_members[i].name;
    }
    c->path = "bound";
    if (!json_is_object(root))
        return bound_wrong(c, root, "an object");
    if (bound_check_names(c, root, top) < 0)
        return -1;
    const json_t *version = json_object_get(root, "version");
    if (!json_is_integer(version) || json_integer_value(version) != BOUND_VERSION)
        return bound_fail(c, json_member_line(c->lines, root, "version"),
                          "expected \"version\": %u", BOUND_VERSION);
    const json_t *who = json_object_get(root, IN_USER);
    c->path = IN_USER;
    if (who && !json_is_object(who))
        return bound_wrong(c, who, "an object with uid and gid");
    return who ? bound_check_names(c, who, user) : 0;
}

static int compile_member(struct bound_compiler *c, const json_t *root, size_t i)
{
    const json_t *object = g_members[i].object ? json_object_get(root, g_members[i].object) : root;
    const json_t *value = json_object_get(object, g_members[i].name);
    struct bound_member head = {.number = g_members[i].number};
    c->path = g_members[i].path;
    if (!value)
        return g_members[i].needed ? bound_fail(c, json_line(c->lines, object ? object : root),
                                                "is missing; a bound "
                                                "says at least args, "
                                                "user.uid and user.gid")
                                   : 0;
    size_t at = c->blob->size;
    head.line = c->line = json_member_line(c->lines, object, g_members[i].name);
    buffer_append(c->blob, &head, sizeof(head));
    if (g_members[i].compile(c, value, &head.rule_count) < 0)
        return -1;
    head.size = (uint32_t)(c->blob->size - at - sizeof(head));
    memcpy(c->blob->data + at, &head, sizeof(head));
    c->members++;
    return 0;
}

int bound_compile(const char *text, size_t size, const char *origin, struct buffer *blob,
                  struct error *err)
{
    struct bound_compiler c = {.origin = origin, .blob = blob, .err = err};
    struct bound_header header = {.magic = BOUND_MAGIC, .version = BOUND_VERSION};
    cleanup_json json_t *root = json_lines_parse(text, size, origin, &c.lines, err);
    if (!root)
        return -1;
    buffer_clear(blob);
    buffer_append(blob, &header, sizeof(header));
    int ret = check_tree(&c, root);
    for (size_t i = 0; ret == 0 && i < array_count(g_members); i++)
        ret = compile_member(&c, root, i);
    json_lines_free(c.lines);
    if (ret == 0 && blob->size > BOUND_MAX)
        ret = error_set(err, "%s: the bound takes %zu bytes, at most %u", origin, blob->size,
                        BOUND_MAX);
    if (ret < 0)
        return ret;
    header.member_count = c.members;
    header.size = blob->size;
    memcpy(blob->data, &header, sizeof(header));
    return 0;
}
