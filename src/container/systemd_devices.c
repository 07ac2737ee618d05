/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules as systemd knows them: a policy and a list of what is allowed. It cannot say all
 * that the rules can; the cgroup driver's own filter, which comes on top, says the rest. Runs in
 * rune.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "container/private.h"
#include "container/systemd_unit.h"

enum { READ = 1, WRITE = 2, MKNOD = 4, EVERYTHING = 7 };

struct exception {
    char type;
    int64_t major, minor;
    unsigned access;
};

/* The state of a devices cgroup after its rules: an answer, and the devices that get the other. */
struct rule_set {
    bool allow;
    struct exception *items;
    size_t count, room;
};

static unsigned access_of(const char *letters)
{
    unsigned bits = 0;
    for (; *letters; letters++) {
        if (*letters == 'r')
            bits |= READ;
        else
            bits |= *letters == 'w' ? WRITE : MKNOD;
    }
    return bits;
}

/* As the kernel does when a rule is written to devices.allow or devices.deny. */
static void apply_rule(struct rule_set *set, const struct oci_device_rule *rule)
{
    if (rule->type == 'a') {
        set->allow = rule->allow;
        set->count = 0;
        return;
    }
    unsigned access = access_of(rule->access);
    struct exception *same = NULL;
    for (size_t i = 0; i < set->count; i++) {
        struct exception *item = &set->items[i];
        if (item->type == rule->type && item->major == rule->major && item->minor == rule->minor)
            same = item;
    }
    if (rule->allow == set->allow) {
        if (same)
            same->access &= ~access;
        return;
    }
    if (same) {
        same->access |= access;
        return;
    }
    if (set->count == set->room) {
        set->room = set->room ? set->room * 2 : 32;
        set->items = xreallocarray(set->items, set->room, sizeof(*set->items));
    }
    set->items[set->count++] = (struct exception){rule->type, rule->major, rule->minor, access};
}

static void apply_rules(struct rule_set *set, const struct oci_resources *r)
{
    for (size_t i = 0; i < r->device_count; i++)
        apply_rule(set, &r->devices[i]);
    if (set->allow)
        return;
    for (size_t i = 0; i < cgroup_default_device_count; i++)
        apply_rule(set, &cgroup_default_devices[i]);
}

/* The driver's name of a major number (/proc/devices), malloc'd; NULL when there is none. */
static char *device_group(char type, int64_t major)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_file_at(AT_FDCWD, "/proc/devices", &text, 1 << 20, NULL) < 0)
        return NULL;
    char section = 'c', *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strcmp(line, "Block devices:") == 0)
            section = 'b';
        char *end;
        long long number = strtoll(line, &end, 10);
        if (section == type && end != line && number == major)
            return xstrdup(end + strspn(end, " "));
    }
    return NULL;
}

/* The name of an exception in DeviceAllow, malloc'd; NULL when systemd has none for it. */
static char *device_name(const struct exception *item)
{
    const char *kind = item->type == 'b' ? "block" : "char";
    if (item->major < 0)
        return item->minor < 0 ? xasprintf("%s-*", kind) : NULL;
    if (item->minor < 0) {
        cleanup_free char *group = device_group(item->type, item->major);
        return group ? xasprintf("%s-%s", kind, group) : NULL;
    }
    /* systemd complains of devices that are not there. */
    char *path = xasprintf("/dev/%s/%lld:%lld", kind, (long long)item->major,
                           (long long)item->minor);
    cleanup_free char *in_sys = xasprintf("/sys%s", path);
    if (access(path, F_OK) == 0 || access(in_sys, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static void add_allowed(struct systemd_call *call, const struct exception *item)
{
    char access[4];
    size_t n = 0;
    for (size_t i = 0; i < 3; i++)
        if (item->access & 1u << i)
            access[n++] = "rwm"[i];
    access[n] = '\0';
    if (n == 0)
        return;
    cleanup_free char *name = device_name(item);
    if (!name) {
        log_debug("systemd has no name for device rule %c %lld:%lld: left to the cgroup's filter",
                  item->type, (long long)item->major, (long long)item->minor);
        return;
    }
    systemd_append(call, "(ss)", name, access);
}

void systemd_devices(struct systemd_call *call, const struct oci_resources *r)
{
    if (r->device_count == 0)
        return;
    struct rule_set set = {0};
    apply_rules(&set, r);
    bool everything = set.allow && set.count == 0;
    if (set.allow && !everything)
        log_warning("systemd knows no list of forbidden devices: only the cgroup's filter has it");
    systemd_property(call, "DevicePolicy", "s", everything ? "auto" : "strict");
    /* Emptied first, then filled. */
    systemd_property(call, "DeviceAllow", "a(ss)", 0);
    if (!set.allow) {
        systemd_property_open(call, "DeviceAllow", "a(ss)");
        systemd_open_array(call, "(ss)");
        for (size_t i = 0; i < set.count; i++)
            add_allowed(call, &set.items[i]);
        systemd_close_array(call);
        systemd_property_close(call);
    }
    free(set.items);
}
