/* SPDX-License-Identifier: Apache-2.0 */
#include "container/mount_options.h"

#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "container/feature_names.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

enum special {
    NONE,
    BIND,
    RBIND,
    TMPCOPYUP,
    IDMAP,
    RIDMAP,
};

static const struct option {
    const char *name;
    bool clear;
    unsigned long flag;   /* MS_* */
    uint64_t attr;        /* MOUNT_ATTR_* */
    unsigned propagation; /* MS_PRIVATE ... */
    enum special special;
} options[] = {
    {"acl", false, MS_POSIXACL, 0},
    {"async", true, MS_SYNCHRONOUS, 0},
    {"atime", true, MS_NOATIME, MOUNT_ATTR_NOATIME},
    {"bind", .special = BIND},
    {"defaults"},
    {"dev", true, MS_NODEV, MOUNT_ATTR_NODEV},
    {"diratime", true, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    {"dirsync", false, MS_DIRSYNC, 0},
    {"exec", true, MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {"iversion", false, MS_I_VERSION, 0},
    {"lazytime", false, MS_LAZYTIME, 0},
    {"loud", true, MS_SILENT, 0},
    {"mand", false, MS_MANDLOCK, 0},
    {"noacl", true, MS_POSIXACL, 0},
    {"noatime", false, MS_NOATIME, MOUNT_ATTR_NOATIME},
    {"nodev", false, MS_NODEV, MOUNT_ATTR_NODEV},
    {"nodiratime", false, MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    {"noexec", false, MS_NOEXEC, MOUNT_ATTR_NOEXEC},
    {"noiversion", true, MS_I_VERSION, 0},
    {"nolazytime", true, MS_LAZYTIME, 0},
    {"nomand", true, MS_MANDLOCK, 0},
    {"norelatime", true, MS_RELATIME, 0},
    {"nostrictatime", true, MS_STRICTATIME, 0},
    {"nosuid", false, MS_NOSUID, MOUNT_ATTR_NOSUID},
    {"nosymfollow", false, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    {"private", .propagation = MS_PRIVATE},
    {"rbind", .special = RBIND},
    {"relatime", false, MS_RELATIME, MOUNT_ATTR_RELATIME},
    {"remount", false, MS_REMOUNT, 0},
    {"ro", false, MS_RDONLY, MOUNT_ATTR_RDONLY},
    {"rprivate", .propagation = MS_PRIVATE | MS_REC},
    {"rshared", .propagation = MS_SHARED | MS_REC},
    {"rslave", .propagation = MS_SLAVE | MS_REC},
    {"runbindable", .propagation = MS_UNBINDABLE | MS_REC},
    {"rw", true, MS_RDONLY, MOUNT_ATTR_RDONLY},
    {"shared", .propagation = MS_SHARED},
    {"silent", false, MS_SILENT, 0},
    {"slave", .propagation = MS_SLAVE},
    {"strictatime", false, MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
    {"suid", true, MS_NOSUID, MOUNT_ATTR_NOSUID},
    {"symfollow", true, MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
    {"sync", false, MS_SYNCHRONOUS, 0},
    {"unbindable", .propagation = MS_UNBINDABLE},
    {"tmpcopyup", .special = TMPCOPYUP},
    {"idmap", .special = IDMAP},
    {"ridmap", .special = RIDMAP},
};

static const struct {
    const char *name;
    bool clear;
    uint64_t attr;
} recursive_options[] = {
    {"rro", false, MOUNT_ATTR_RDONLY},
    {"rrw", true, MOUNT_ATTR_RDONLY},
    {"rnosuid", false, MOUNT_ATTR_NOSUID},
    {"rsuid", true, MOUNT_ATTR_NOSUID},
    {"rnodev", false, MOUNT_ATTR_NODEV},
    {"rdev", true, MOUNT_ATTR_NODEV},
    {"rnoexec", false, MOUNT_ATTR_NOEXEC},
    {"rexec", true, MOUNT_ATTR_NOEXEC},
    {"rnodiratime", false, MOUNT_ATTR_NODIRATIME},
    {"rdiratime", true, MOUNT_ATTR_NODIRATIME},
    {"rrelatime", false, MOUNT_ATTR_RELATIME},
    {"rnorelatime", true, MOUNT_ATTR_RELATIME},
    {"rnoatime", false, MOUNT_ATTR_NOATIME},
    {"ratime", true, MOUNT_ATTR_NOATIME},
    {"rstrictatime", false, MOUNT_ATTR_STRICTATIME},
    {"rnostrictatime", true, MOUNT_ATTR_STRICTATIME},
    {"rnosymfollow", false, MOUNT_ATTR_NOSYMFOLLOW},
    {"rsymfollow", true, MOUNT_ATTR_NOSYMFOLLOW},
};

static const uint64_t atime_mask = MOUNT_ATTR__ATIME;

/* The three atime modes share one field, of which relatime is the value 0. */
static bool is_atime(uint64_t attr)
{
    return attr == MOUNT_ATTR_NOATIME || attr == MOUNT_ATTR_STRICTATIME ||
           attr == MOUNT_ATTR_RELATIME;
}

static void set_attr(uint64_t *set, uint64_t *clear, uint64_t attr, bool off)
{
    if (is_atime(attr)) {
        *set = (*set & ~atime_mask) | (off ? MOUNT_ATTR_RELATIME : attr);
        *clear |= atime_mask;
    } else if (off) {
        *set &= ~attr;
        *clear |= attr;
    } else {
        *set |= attr;
        *clear &= ~attr;
    }
}

static bool apply_recursive(struct mount_plan *plan, const char *name)
{
    for (size_t i = 0; i < array_count(recursive_options); i++) {
        if (strcmp(recursive_options[i].name, name) != 0)
            continue;
        set_attr(&plan->rec_set, &plan->rec_clear, recursive_options[i].attr,
                 recursive_options[i].clear);
        return true;
    }
    return false;
}

static bool apply_plain(struct mount_plan *plan, const char *name)
{
    const struct option *option = NULL;
    for (size_t i = 0; i < array_count(options) && !option; i++)
        if (strcmp(options[i].name, name) == 0)
            option = &options[i];
    if (!option)
        return false;

    if (option->propagation && plan->propagation_count < array_count(plan->propagation))
        plan->propagation[plan->propagation_count++] = option->propagation;
    if (option->clear)
        plan->flags &= ~option->flag;
    else
        plan->flags |= option->flag;
    /* MOUNT_ATTR_RELATIME is 0, so the flag decides whether there is an attribute. */
    if (option->attr || option->flag == MS_RELATIME)
        set_attr(&plan->attr_set, &plan->attr_clear, option->attr, option->clear);
    switch (option->special) {
    case NONE:
        break;
    case RBIND:
        plan->recursive = true;
        plan->bind = true;
        break;
    case BIND:
        plan->bind = true;
        break;
    case TMPCOPYUP:
        plan->tmpcopyup = true;
        break;
    case RIDMAP:
        plan->idmap_recursive = true;
        plan->idmap = true;
        break;
    case IDMAP:
        plan->idmap = true;
        break;
    }
    return true;
}

void mount_plan_parse(const struct oci_mount *mount, struct mount_plan *out)
{
    *out = (struct mount_plan){0};
    for (size_t i = 0; i < mount->options.count; i++) {
        const char *name = mount->options.items[i];
        if (apply_plain(out, name) || apply_recursive(out, name) || !*name)
            continue;
        if (out->data.size > 0)
            buffer_append_char(&out->data, ',');
        buffer_append_text(&out->data, name);
    }
    /* Docker and Kubernetes say type "bind" and leave the option out, or the other way round. */
    if (mount->type && strcmp(mount->type, "bind") == 0 && !out->bind)
        out->bind = true;
    if (mount->type && strcmp(mount->type, "rbind") == 0)
        out->bind = out->recursive = true;
}

void mount_plan_release(struct mount_plan *plan)
{
    buffer_release(&plan->data);
}

unsigned mount_propagation(const char *name)
{
    for (size_t i = 0; i < array_count(options); i++)
        if (options[i].propagation && strcmp(options[i].name, name) == 0)
            return options[i].propagation;
    return 0;
}

const char *const *features_mount_options(void)
{
    static const char *names[array_count(options) + array_count(recursive_options) + 1];
    size_t count = 0;
    for (size_t i = 0; i < array_count(options); i++)
        names[count++] = options[i].name;
    for (size_t i = 0; i < array_count(recursive_options); i++)
        names[count++] = recursive_options[i].name;
    return names;
}
