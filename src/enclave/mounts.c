/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/mounts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../abi/manifest.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "enclave/canonical.h"

/* File systems that the LibOS has of its own; everything else the host mounts and the LibOS passes
 * through. */
static const struct {
    const char *type;
    enum manifest_mount_kind kind;
} g_kinds[] = {
    {"proc", MANIFEST_MOUNT_PROC},      {"tmpfs", MANIFEST_MOUNT_TMPFS},
    {"devpts", MANIFEST_MOUNT_DEVPTS},  {"sysfs", MANIFEST_MOUNT_SYSFS},
    {"mqueue", MANIFEST_MOUNT_MQUEUE},  {"cgroup", MANIFEST_MOUNT_CGROUP},
    {"cgroup2", MANIFEST_MOUNT_CGROUP},
};

/*
 * What engines bind by themselves. Nobody asked for these, so each is as little as it can be:
 * read-only inside unless programs have to write there. The kind of file is settled here and not by
 * a look at the host. docs/design/files.md shows the table.
 */
enum known_kind { KNOWN_FILE, KNOWN_DIRECTORY, KNOWN_PROGRAM, KNOWN_OWN };
static const struct {
    const char *target;
    enum known_kind kind;
    bool readonly;
    enum manifest_mount_kind own; /* what the LibOS has there in place of the host's */
    const char *source;
} g_known[] = {
    {"/etc/hosts", KNOWN_FILE, true},
    {"/etc/hostname", KNOWN_FILE, true},
    {"/etc/resolv.conf", KNOWN_FILE, true},
    {"/run/.containerenv", KNOWN_FILE, true},
    {"/dev/termination-log", KNOWN_FILE, false},
    {"/run/secrets/kubernetes.io/serviceaccount", KNOWN_DIRECTORY, true},
    {"/var/run/secrets/kubernetes.io/serviceaccount", KNOWN_DIRECTORY, true},
    {"/dev", KNOWN_OWN, false, MANIFEST_MOUNT_DEV, "tmpfs"},
    {"/dev/mqueue", KNOWN_OWN, false, MANIFEST_MOUNT_MQUEUE, "mqueue"},
    {"/dev/pts", KNOWN_OWN, false, MANIFEST_MOUNT_DEVPTS, "devpts"},
    {"/dev/shm", KNOWN_OWN, false, MANIFEST_MOUNT_TMPFS, "shm"},
    {"/proc", KNOWN_OWN, false, MANIFEST_MOUNT_PROC, "proc"},
    {"/sys", KNOWN_OWN, false, MANIFEST_MOUNT_SYSFS, "sysfs"},
    {"/sys/fs/cgroup", KNOWN_OWN, false, MANIFEST_MOUNT_CGROUP, "cgroup2"},
    {"/sbin/docker-init", KNOWN_PROGRAM, true},
    {"/run/podman-init", KNOWN_PROGRAM, true},
    {"/dev/init", KNOWN_PROGRAM, true},
};

/* Bound to hide a file, mostly: the LibOS's own devices, for those of the host do nothing. */
static const char *const g_devices[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                        "/dev/random", "/dev/urandom", "/dev/tty"};

static bool is_bind(const struct oci_mount *mount)
{
    if (mount->type != NULL && strcmp(mount->type, "bind") == 0)
        return true;
    for (size_t i = 0; i < mount->options.count; i++)
        if (strcmp(mount->options.items[i], "bind") == 0 ||
            strcmp(mount->options.items[i], "rbind") == 0)
            return true;
    return false;
}

static uint32_t kind_of(const struct oci_mount *mount)
{
    if (is_bind(mount) || mount->type == NULL)
        return MANIFEST_MOUNT_PASSTHROUGH;
    if (strcmp(mount->type, "tmpfs") == 0 && strcmp(mount->destination, "/dev") == 0)
        return MANIFEST_MOUNT_DEV;
    for (size_t i = 0; i < array_count(g_kinds); i++)
        if (strcmp(mount->type, g_kinds[i].type) == 0)
            return g_kinds[i].kind;
    return MANIFEST_MOUNT_PASSTHROUGH;
}

/* Size of a tmpfs: bytes with k, m or g; a percentage is of a memory that the enclave does not see:
 * no limit. */
static uint64_t parse_size(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    static const char units[] = "kmg";
    const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
    long shift = unit ? 10 * (unit - units + 1) : 0;
    if (*end == '%' || (shift != 0 && value > UINT64_MAX >> shift))
        return 0;
    return (uint64_t)value << shift;
}

static void read_option(const char *option, struct bundle_mount *out, struct buffer *rest)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } flags[] = {{"ro", MANIFEST_MOUNT_READONLY},
                 {"rro", MANIFEST_MOUNT_READONLY},
                 {"noexec", MANIFEST_MOUNT_NOEXEC},
                 {"nosuid", MANIFEST_MOUNT_NOSUID},
                 {"nodev", MANIFEST_MOUNT_NODEV}};
    /* Without a meaning in the enclave; engines add them as they like. */
    static const char *const outside[] = {
        "rw",    "bind",   "rbind",      "private",     "rprivate", "shared",   "rshared",
        "slave", "rslave", "unbindable", "runbindable", "defaults", "relatime",
    };
    for (size_t i = 0; i < array_count(flags); i++) {
        if (strcmp(option, flags[i].name) == 0) {
            out->flags |= flags[i].flag;
            return;
        }
    }
    if (strncmp(option, "size=", 5) == 0)
        out->size = parse_size(option + 5);
    else if (strncmp(option, "mode=", 5) == 0)
        out->mode = (uint32_t)strtoul(option + 5, NULL, 8) & 07777;
    for (size_t i = 0; i < array_count(outside); i++)
        if (strcmp(option, outside[i]) == 0)
            return;
    if (rest->size > 0)
        buffer_append_char(rest, ',');
    buffer_append_text(rest, option);
}

static bool same_path(const char *path, const char *clean)
{
    cleanup_free char *own = path_clean(path);
    return strcmp(own, clean) == 0;
}

/* Files of the host by the measured deployment: where, and what they may be. From where on the
 * host is no promise that anybody could hold it to, and differs from pod to pod. */
static void read_passed(const struct oci_mount *mount, struct bundle_mount *out)
{
    struct stat st;
    const char *source = mount->source;
    out->source = out->options = NULL;
    out->mode = 0;
    out->size = 0;
    for (size_t i = 0; source != NULL && i < array_count(g_devices); i++) {
        if (same_path(source, g_devices[i])) {
            out->kind = MANIFEST_MOUNT_DEVICE;
            out->source = g_devices[i];
            return;
        }
    }
    for (size_t i = 0; i < array_count(g_known); i++) {
        if (!same_path(mount->destination, g_known[i].target))
            continue;
        if (g_known[i].kind == KNOWN_OWN) {
            out->kind = g_known[i].own;
            out->source = g_known[i].source;
            out->mode = out->kind == MANIFEST_MOUNT_TMPFS ? 01777 : 0;
        } else if (g_known[i].kind != KNOWN_DIRECTORY) {
            /* Whatever else engines say of it: no program or device of the host counts. */
            out->flags = (out->flags & MANIFEST_MOUNT_READONLY) | MANIFEST_MOUNT_IS_FILE;
        }
        if (g_known[i].readonly)
            out->flags |= MANIFEST_MOUNT_READONLY;
        return;
    }
    if (source != NULL && stat(source, &st) == 0 && !S_ISDIR(st.st_mode))
        out->flags |= MANIFEST_MOUNT_IS_FILE;
}

void mounts_read(const struct oci_mount *mount, struct bundle_mount *out, struct buffer *options)
{
    out->kind = kind_of(mount);
    out->target = mount->destination;
    out->source = mount->source;
    out->mode = 01777; /* tmpfs's own default */
    cleanup_free const char **sorted = canonical_texts(&mount->options);
    for (const char **option = sorted; *option; option++)
        read_option(*option, out, options);
    out->options = buffer_text(options);
    if (out->kind == MANIFEST_MOUNT_PASSTHROUGH)
        read_passed(mount, out);
}

/* ---- enclave.mounts ---- */

static int apply_word(const char *entry, const char *word, bool config_readonly,
                      struct bundle_mount *mount, struct error *err)
{
    if (strcmp(word, "ro") == 0) {
        mount->flags |= MANIFEST_MOUNT_READONLY;
    } else if (strcmp(word, "insecure-exec") == 0) {
        mount->flags |= MANIFEST_MOUNT_INSECURE_EXEC;
    } else if (strcmp(word, "insecure-links") == 0) {
        mount->flags |= MANIFEST_MOUNT_INSECURE_LINKS;
    } else if (strcmp(word, "rw") != 0) {
        return error_set(err,
                         "enclave.mounts \"%s\": \"%s\" is not known: use ro, rw, insecure-exec or "
                         "insecure-links",
                         entry, word);
    } else if (config_readonly) {
        return error_set(err, "enclave.mounts \"%s\": config.json says ro, and that holds", entry);
    } else {
        mount->flags &= ~MANIFEST_MOUNT_READONLY;
    }
    return 0;
}

static bool says_readonly(const struct oci_mount *mount)
{
    for (size_t i = 0; i < mount->options.count; i++)
        if (strcmp(mount->options.items[i], "ro") == 0 ||
            strcmp(mount->options.items[i], "rro") == 0)
            return true;
    return false;
}

/* entry: TARGET=WORD,WORD */
static int apply_entry(const char *entry, const struct oci_config *config, const size_t *numbers,
                       size_t count, struct bundle_mount *mounts, struct error *err)
{
    const char *equal = strrchr(entry, '=');
    if (entry[0] != '/' || equal == NULL || equal[1] == '\0')
        return error_set(err,
                         "enclave.mounts \"%s\": give TARGET=WORD,WORD..., a path in the container "
                         "and ro, rw, insecure-exec or insecure-links",
                         entry);
    cleanup_free char *head = xstrndup(entry, (size_t)(equal - entry));
    cleanup_free char *target = path_clean(head);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (mounts[i].kind != MANIFEST_MOUNT_PASSTHROUGH || !same_path(mounts[i].target, target))
            continue;
        found = true;
        cleanup_free char *words = xstrdup(equal + 1);
        char *rest = words, *word;
        while ((word = strsep(&rest, ",")) != NULL)
            if (apply_word(entry, word, says_readonly(&config->mounts[numbers[i]]), &mounts[i],
                           err) < 0)
                return -1;
    }
    return found ? 0
                 : error_set(err, "enclave.mounts \"%s\": no bind mount of config.json is at %s",
                             entry, target);
}

int mounts_apply(const char *setting, const struct oci_config *config, const size_t *numbers,
                 size_t count, struct bundle_mount *mounts, struct error *err)
{
    cleanup_free char *text = setting != NULL ? xstrdup(setting) : NULL;
    char *rest = text, *entry;
    while (rest != NULL && (entry = strsep(&rest, " \t\n")) != NULL)
        if (entry[0] != '\0' && apply_entry(entry, config, numbers, count, mounts, err) < 0)
            return -1;
    return 0;
}

/* ---- the first program ---- */

int mounts_check_program(const char *program, const struct bundle_mount *mounts, size_t count,
                         struct error *err)
{
    const struct bundle_mount *in = NULL;
    size_t longest = 0;
    if (program == NULL || program[0] != '/')
        return 0;
    cleanup_free char *path = path_clean(program);
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *target = path_clean(mounts[i].target);
        size_t size = strcmp(target, "/") == 0 ? 0 : strlen(target);
        if (size >= longest && strncmp(path, target, size) == 0 &&
            (path[size] == '/' || path[size] == '\0')) {
            in = &mounts[i];
            longest = size;
        }
    }
    if (in == NULL || in->kind != MANIFEST_MOUNT_PASSTHROUGH ||
        (in->flags & MANIFEST_MOUNT_INSECURE_EXEC) != 0)
        return 0;
    for (size_t i = 0; i < array_count(g_known); i++)
        if (g_known[i].kind == KNOWN_PROGRAM && same_path(in->target, g_known[i].target))
            return error_set(err,
                             "%s is the engine's own program, and an enclave runs no program of "
                             "the host's: leave out --init",
                             path);
    return error_set(err,
                     "%s is in the bind mount %s, and an enclave runs no program of the host's: "
                     "put it into the image, or let the operator's programs run by enclave.mounts "
                     "\"%s=insecure-exec\"",
                     path, in->target, in->target);
}
